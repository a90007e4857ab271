"""Feedback names the resolver group that takes the ticket."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go one revision up."""
    op.add_column("feedback", sa.Column("resolver_group", sa.Text, nullable=True))


def downgrade() -> None:
    """Go one revision down."""
    op.drop_column("feedback", "resolver_group")
