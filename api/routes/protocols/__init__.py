"""Protocols of others that the service speaks besides its own API, one module each."""
