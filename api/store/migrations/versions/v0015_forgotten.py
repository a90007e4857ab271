"""The last ticket that was forgotten is found at once, so that every process can ask for it all the time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_GONE = sa.text("forgotten_at IS NOT NULL")


def upgrade() -> None:
    """Go one revision up."""
    op.create_index("ix_tickets_forgotten", "tickets", ["forgotten_at"], sqlite_where=_GONE, postgresql_where=_GONE)


def downgrade() -> None:
    """Go one revision down."""
    op.drop_index("ix_tickets_forgotten", "tickets")
