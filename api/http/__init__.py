"""What HTTP asks of every route: schemas, problem documents, middleware, OpenAPI."""
