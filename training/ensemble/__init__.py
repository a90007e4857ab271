"""Fitting a head: base estimators cross-fitted, stacked and calibrated."""
