"""What happens around every call: who calls, limits, errors as statuses, Idempotency-Keys."""
