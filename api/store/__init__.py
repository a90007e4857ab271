"""The service's store: decisions, feedback, keys, idempotency, deliveries and the outbox, in SQLite or PostgreSQL."""
