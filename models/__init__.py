"""From text to calibrated probabilities: encoders, features, heads, novelty, neighbours, the bundle, and `Triager`."""
