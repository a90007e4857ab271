"""The verbs of training on the command line, one module for each group."""
