"""Webhook deliveries, updates owed to a helpdesk, and marks of how far it has been read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "deliveries",
        sa.Column("source", sa.String(64), primary_key=True),
        sa.Column("id", sa.String(255), primary_key=True),
        sa.Column("received_at", _MOMENT, nullable=False),
    )
    op.create_index("ix_deliveries_received", "deliveries", ["received_at"])
    op.create_table(
        "updates",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("target", sa.String(64), nullable=False),
        sa.Column("ticket_id", sa.Text, nullable=False),
        sa.Column("decision_id", sa.String(36), nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("last_error", sa.Text),
        sa.Column("due_at", _MOMENT, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("sent_at", _MOMENT),
    )
    op.create_index("ix_updates_due", "updates", ["state", "due_at"])
    op.create_table(
        "marks",
        sa.Column("name", sa.String(128), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Go one revision down."""
    for table in ("marks", "updates", "deliveries"):
        op.drop_table(table)
