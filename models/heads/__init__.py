"""One classifier per target: base estimators, their calibrated combination, and the baselines beside it."""
