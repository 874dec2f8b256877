"""Where deliveries go, one file per kind of receiver."""
