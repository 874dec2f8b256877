"""Code around every call: authentication, access, limits, errors as statuses, Idempotency-Keys."""
