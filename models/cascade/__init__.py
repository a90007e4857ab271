"""The first of two stages: where a guessed vector makes the case clear, nobody pays for the encoder."""
