"""Jobs in the background."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("log", sa.Text, nullable=False),
        sa.Column("result", sa.Text),
        sa.Column("verdict", sa.String(16)),
        sa.Column("asked_by", sa.Text, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("seen_at", _MOMENT, nullable=False),
        sa.Column("ended_at", _MOMENT),
    )


def downgrade() -> None:
    """Go one revision down."""
    op.drop_table("jobs")
