"""Words of tickets are found by an index, where the database has one for parts of words."""

from __future__ import annotations

from alembic import op

from api.store.work.words import drop_index, make_index

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go one revision up."""
    make_index(op.get_bind())


def downgrade() -> None:
    """Go one revision down."""
    drop_index(op.get_bind())
