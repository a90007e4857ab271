"""SQLite puts the words of new tickets into their index some hundred tickets at a time."""

from __future__ import annotations

from alembic import op

from api.store.work.words import index_at_once, index_later

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go one revision up."""
    index_later(op.get_bind())


def downgrade() -> None:
    """Go one revision down."""
    index_at_once(op.get_bind())
