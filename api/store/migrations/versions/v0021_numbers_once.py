"""An update of the helpdesk never gets the number of one that is gone: SQLite gave it away again."""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go one revision up."""
    _count_on(from_the_last=True)


def downgrade() -> None:
    """Go one revision down."""
    _count_on(from_the_last=False)


def _count_on(*, from_the_last: bool) -> None:
    """Have SQLite go on from the last number given away, or from the highest there is; PostgreSQL does the former."""
    if op.get_bind().dialect.name == "sqlite":
        stated = {"sqlite_autoincrement": from_the_last}
        with op.batch_alter_table("updates", recreate="always", table_kwargs=stated):
            pass
