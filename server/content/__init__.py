"""What messages, documents and requests hold: their forms, rules and bounds. Reads no store."""
