"""Work over the whole store: backup and restore, the retention job, and decisions that could not be stored."""
