"""The verbs of training on the command line: one module a verb or a small family."""
