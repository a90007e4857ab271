"""Deliveries keep their answer, updates their kind, and channels how far they were read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from api.store.tables import Utc

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go one revision up."""
    op.add_column("deliveries", sa.Column("answer", sa.Text, nullable=True))
    op.add_column("updates", sa.Column("kind", sa.String(8), nullable=False, server_default="route"))
    op.create_table(
        "positions",
        sa.Column("source", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("updated_at", Utc, nullable=False),
    )


def downgrade() -> None:
    """Go one revision down."""
    op.drop_table("positions")
    op.drop_column("updates", "kind")
    op.drop_column("deliveries", "answer")
