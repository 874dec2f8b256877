"""The Parley server: one engine and one store behind every door."""
