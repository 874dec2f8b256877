"""History as JSON Lines: out of an org, and into one."""
