"""Who may call: API keys, roles, sessions and rate limits."""
