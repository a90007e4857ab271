"""Connections to helpdesks: their configuration, webhooks received, updates sent, and where calls may go."""
