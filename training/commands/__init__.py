"""The verbs of this wing, by what they work on: history, learning, routing, the registry."""
