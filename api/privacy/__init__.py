"""Redaction of personal data from texts that are exported."""
