"""The forms, rules and bounds of messages, documents and requests. Reads no store."""
