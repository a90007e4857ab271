"""The history of the store's shape, read by Alembic."""
