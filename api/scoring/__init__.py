"""Scoring behind the routes: service, batching, the model in use, and writing decisions."""
