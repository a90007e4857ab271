"""Data validation: faults, leaks and doubtful labels in a data set; start at `checks.diagnose`."""
