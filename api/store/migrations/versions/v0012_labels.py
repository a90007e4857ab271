"""What a person says of every target of a decision, beside the route that follows from it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go one revision up."""
    op.add_column("feedback", sa.Column("labels", sa.Text, nullable=True))


def downgrade() -> None:
    """Go one revision down."""
    op.drop_column("feedback", "labels")
