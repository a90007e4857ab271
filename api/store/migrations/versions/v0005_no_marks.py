"""The table of marks goes: nothing was ever kept in it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go one revision up."""
    op.drop_table("marks")


def downgrade() -> None:
    """Go one revision down."""
    op.create_table(
        "marks",
        sa.Column("name", sa.String(128), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
