"""One classifier per target: base estimators and their calibrated combination."""
