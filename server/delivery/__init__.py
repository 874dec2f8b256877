"""Delivery from the outbox to the receivers: webhooks, server events and text messages."""
