"""The history of the store's shape, read by Alembic, and how a store is brought to the newest one."""
