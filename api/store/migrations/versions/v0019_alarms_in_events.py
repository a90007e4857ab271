"""Events keep what must not wait, and routes whether all was automatic: versions before read neither, so it is told."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go one revision up: what was written before is read as it is."""


def downgrade() -> None:
    """Go one revision down: what versions before cannot read is left out."""
    connection = op.get_bind()
    found = (
        "SELECT seq, event, route FROM ticket_events WHERE event LIKE '%\"attention\"%' OR route LIKE '%\"wholly\"%'"
    )
    for seq, event, route in connection.execute(sa.text(found)).all():
        connection.execute(
            sa.text("UPDATE ticket_events SET event = :event, route = :route WHERE seq = :seq"),
            {"seq": seq, "event": _without(event, "attention"), "route": route and _without(route, "wholly")},
        )


def _without(document: str, name: str) -> str:
    kept = {key: value for key, value in json.loads(document).items() if key != name}
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":"))
