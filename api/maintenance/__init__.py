"""Work over the whole store: backup and restore, the retention job, forgotten embeddings."""
