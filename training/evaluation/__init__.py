"""Measuring a bundle on unseen rows: predictions, metrics, slices and comparison; start at `evaluate.evaluate`."""
