"""Accounts of people, what other systems call them, and sessions that an account has opened."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Go one revision up; whoever is signed in signs in again."""
    op.create_table(
        "users",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("login", sa.Text, nullable=False, unique=True),
        sa.Column("password", sa.Text),
        sa.Column("roles", sa.Text, nullable=False),
        sa.Column("clearance", sa.Integer, nullable=False),
        sa.Column("groups", sa.Text, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("disabled_at", _MOMENT),
    )
    op.create_table(
        "identities",
        sa.Column("issuer", sa.String(255), primary_key=True),
        sa.Column("subject", sa.String(255), primary_key=True),
        sa.Column("user_id", sa.String(36), sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
    )
    _sessions(by_key_alone=False)


def downgrade() -> None:
    """Go one revision down; whoever is signed in signs in again."""
    _sessions(by_key_alone=True)
    op.drop_table("identities")
    op.drop_table("users")


def _sessions(*, by_key_alone: bool) -> None:
    op.drop_table("sessions")
    key = sa.Column("key_id", sa.String(36), sa.ForeignKey("keys.id", ondelete="CASCADE"), nullable=not by_key_alone)
    user = sa.Column("user_id", sa.String(36), sa.ForeignKey("users.id", ondelete="CASCADE"))
    op.create_table(
        "sessions",
        sa.Column("digest", sa.String(64), primary_key=True),
        *([key] if by_key_alone else [key, user]),
        sa.Column("agent", sa.Text, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
    )
