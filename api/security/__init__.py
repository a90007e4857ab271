"""Who may ask, and how often: API keys, page sessions, scopes, rate limits."""
