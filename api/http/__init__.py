"""The language of the HTTP API: payloads, problems, refusals, OpenAPI, and the middleware around every request."""
