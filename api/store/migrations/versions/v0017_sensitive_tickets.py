"""A ticket is sensitive with all its texts, and an event remembers that it made it so."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_SAME_TICKET = """
    FROM tickets AS mine
    JOIN tickets AS other ON other.source = mine.source AND other.ticket_id = mine.ticket_id
    JOIN decisions AS said ON said.ticket_seq = other.seq
    WHERE said.sensitive
"""


def upgrade() -> None:
    """Go one revision up."""
    op.add_column("ticket_events", sa.Column("sensitive", sa.Boolean, nullable=False, server_default=sa.false()))
    # Nobody knows any more which event closed a ticket: all events of a closed one count, so that none is opened.
    for table in ("decisions", "ticket_events"):
        op.execute(f"UPDATE {table} SET sensitive = true WHERE ticket_seq IN (SELECT mine.seq {_SAME_TICKET})")


def downgrade() -> None:
    """Go one revision down."""
    op.drop_column("ticket_events", "sensitive")
