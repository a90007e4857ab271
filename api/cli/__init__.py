"""The verbs of the service on the command line: serve, store, keys and feedback, one module each."""
