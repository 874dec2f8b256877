"""The command `parley`, and the processes that it starts."""
