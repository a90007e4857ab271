"""The verbs of the service on the command line: serve, store, keys, users, feedback and mcp, one module each."""
