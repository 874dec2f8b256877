"""Export and import of history as JSON Lines."""
