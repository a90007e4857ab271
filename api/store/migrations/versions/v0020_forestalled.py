"""An id that was answered for a decision which another one had forestalled leads to the one that stands."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "forestalled",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column(
            "decision_id", sa.String(36), sa.ForeignKey("decisions.id", ondelete="CASCADE"), nullable=False, index=True
        ),
    )


def downgrade() -> None:
    """Go one revision down."""
    op.drop_table("forestalled")
