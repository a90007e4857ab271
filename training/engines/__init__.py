"""Where work is done: in this process, or on the cores of a Ray cluster."""
