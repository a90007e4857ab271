"""Redaction of personal data from texts that are exported, logged, stored or handed to somebody outside."""
