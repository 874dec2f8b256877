"""The bytes of each HTTP form, and the error body of each door."""
