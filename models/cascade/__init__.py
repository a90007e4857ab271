"""The first of two stages: a model without a transformer answers what it is sure of, the rest pays for the encoder."""
