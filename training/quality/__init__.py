"""The data doctor: faults, leaks and doubtful labels in a data set."""
