"""Tickets over time in the store: what happened to each, once each, in order."""
