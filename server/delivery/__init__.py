"""What leaves the service by itself: webhooks, server events, text messages; from the outbox to their
receivers."""
