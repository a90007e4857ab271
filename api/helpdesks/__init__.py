"""Connections to helpdesks: configured webhooks, incoming payloads, outgoing updates."""
