"""From text to calibrated belief: encoders, features, heads, novelty, neighbours, the bundle, and the one door."""
