"""The processes that serve: one server, several workers, and protection against slow clients."""
