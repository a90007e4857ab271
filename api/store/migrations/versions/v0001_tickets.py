"""Tickets, decisions, feedback and idempotency."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "tickets",
        sa.Column("seq", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("ticket_id", sa.Text),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("channel", sa.Text),
        sa.Column("language", sa.Text),
        sa.Column("requester", sa.Text),
        sa.Column("attributes", sa.Text, nullable=False),
        sa.Column("opened_at", _MOMENT),
        sa.Column("received_at", _MOMENT, nullable=False),
        sa.Column("forgotten_at", _MOMENT),
        sa.UniqueConstraint("source", "ticket_id", "digest", name="uq_tickets_text"),
        sa.UniqueConstraint("source", "ticket_id", "revision", name="uq_tickets_revision"),
    )
    op.create_index("ix_tickets_received", "tickets", ["received_at"])
    op.create_table(
        "decisions",
        sa.Column("seq", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(36), nullable=False, unique=True),
        sa.Column("ticket_seq", _NUMBER, sa.ForeignKey("tickets.seq", ondelete="CASCADE"), nullable=False),
        sa.Column("key_id", sa.String(36)),
        sa.Column("tier", sa.Text),
        sa.Column("category", sa.Text),
        sa.Column("automation", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("model_version", sa.Text),
        sa.Column("sensitive", sa.Boolean, nullable=False),
        sa.Column("clearance", sa.Integer, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
    )
    op.create_index("ix_decisions_ticket", "decisions", ["ticket_seq"])
    op.create_index("ix_decisions_created", "decisions", ["created_at"])
    op.create_table(
        "feedback",
        sa.Column("seq", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(36), nullable=False, unique=True),
        sa.Column("decision_id", sa.String(36), sa.ForeignKey("decisions.id", ondelete="CASCADE"), nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("tier", sa.Text),
        sa.Column("category", sa.Text),
        sa.Column("agent", sa.Text, nullable=False),
        sa.Column("key_id", sa.String(36)),
        sa.Column("reason", sa.Text),
        sa.Column("comment", sa.Text),
        sa.Column("undoes", sa.String(36)),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.UniqueConstraint("undoes", name="uq_feedback_undoes"),
    )
    op.create_index("ix_feedback_decision", "feedback", ["decision_id"])
    op.create_index("ix_feedback_agent", "feedback", ["agent", "created_at"])
    op.create_index("ix_feedback_key", "feedback", ["key_id", "created_at"])
    op.create_table(
        "attempts",
        sa.Column("owner", sa.String(36), primary_key=True),
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("refs", sa.Text, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
    )
    op.create_index("ix_attempts_created", "attempts", ["created_at"])


def downgrade() -> None:
    """Go one revision down."""
    for table in ("attempts", "feedback", "decisions", "tickets"):
        op.drop_table(table)
