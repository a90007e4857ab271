"""Choosing the gate: thresholds with a certified risk, and correction for label shift."""
