"""What happens to tickets after they were decided, and the routes that it led to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from api.store.tables import Sequence, Utc

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "ticket_events",
        sa.Column("seq", Sequence, primary_key=True, autoincrement=True),
        sa.Column("ticket_seq", Sequence, sa.ForeignKey("tickets.seq", ondelete="CASCADE"), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("ticket_id", sa.Text, nullable=False),
        sa.Column("event_id", sa.String(255), nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("route", sa.Text, nullable=True),
        sa.Column("key_id", sa.String(36), nullable=True),
        sa.Column("at", Utc, nullable=False),
        sa.Column("created_at", Utc, nullable=False),
        sa.UniqueConstraint("source", "ticket_id", "event_id", name="uq_ticket_events_id"),
    )
    op.create_index("ix_ticket_events_ticket", "ticket_events", ["ticket_seq"])


def downgrade() -> None:
    """Go one revision down."""
    op.drop_table("ticket_events")
