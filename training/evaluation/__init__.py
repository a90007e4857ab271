"""Measuring a bundle: predictions on rows it has not seen, metrics, slices and comparison."""
