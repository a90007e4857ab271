"""The ids of what was forgotten are kept, so that no backup brings it back; events of such tickets lose all words."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_GONE = "SELECT seq FROM tickets WHERE forgotten_at IS NOT NULL"


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "forgotten",
        sa.Column("source", sa.String(64), primary_key=True),
        sa.Column("ticket_id", sa.Text, primary_key=True),
        sa.Column("forgotten_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.execute(
        "INSERT INTO forgotten (source, ticket_id, forgotten_at) SELECT source, ticket_id, max(forgotten_at) "
        "FROM tickets WHERE forgotten_at IS NOT NULL AND ticket_id IS NOT NULL GROUP BY source, ticket_id"
    )
    connection = op.get_bind()
    rows = connection.execute(sa.text(f"SELECT seq, event, route FROM ticket_events WHERE ticket_seq IN ({_GONE})"))
    for seq, event, route in rows.all():
        connection.execute(
            sa.text("UPDATE ticket_events SET event = :event, route = :route WHERE seq = :seq"),
            {"seq": seq, "event": _without(event, status=None, priority=None), "route": route and _unexplained(route)},
        )


def _unexplained(route: str) -> str:
    return _without(route, because="") if json.loads(route)["by"] == "person" else route


def _without(document: str, **blank: str | None) -> str:
    return json.dumps({**json.loads(document), **blank}, ensure_ascii=False, separators=(",", ":"))


def downgrade() -> None:
    """Go one revision down."""
    op.drop_table("forgotten")
