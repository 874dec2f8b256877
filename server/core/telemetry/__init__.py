"""What operators see of a server: log lines, metrics, traces. Decides nothing about calls."""
