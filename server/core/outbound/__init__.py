"""HTTP to servers that others name: guarded addresses, bounded answers."""
