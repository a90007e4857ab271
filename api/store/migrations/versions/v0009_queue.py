"""Every decision has a line in the queue, as it stands now."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
_SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_WAITS = sa.text("waiting")
_SURE = ("confident", "rule", "not_earned")
_CHUNK = 500
_PARTIAL: dict[str, Any] = {"sqlite_where": _WAITS, "postgresql_where": _WAITS}


def upgrade() -> None:
    """Go one revision up."""
    entries = op.create_table(
        "queue_entries",
        sa.Column(
            "decision_seq", _SEQUENCE, sa.ForeignKey("decisions.seq", ondelete="CASCADE"), primary_key=True,
            autoincrement=False,
        ),
        sa.Column("decision_id", sa.String(36), nullable=False, unique=True),
        sa.Column("waiting", sa.Boolean, nullable=False),
        sa.Column("calm", sa.Boolean, nullable=False),
        sa.Column("attention", sa.Text, nullable=False),
        sa.Column("tier", sa.Text),
        sa.Column("category", sa.Text),
        sa.Column("resolver_group", sa.Text),
        sa.Column("automation", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("rule", sa.Text),
        sa.Column("model_version", sa.Text),
        sa.Column("abstained", sa.Boolean, nullable=False),
        sa.Column("audit", sa.Boolean, nullable=False),
        sa.Column("verdict", sa.String(16)),
        sa.Column("disputed", sa.Boolean, nullable=False),
        sa.Column("superseded", sa.Boolean, nullable=False),
        sa.Column("confidence", sa.Float),
        sa.Column("claimed_by", sa.Text),
        sa.Column("claimed_at", _MOMENT),
    )  # fmt: skip
    counted = ["tier", "resolver_group", "automation", "abstained", "audit", "calm"]
    op.create_index("ix_queue_order", "queue_entries", ["calm", "decision_seq"], **_PARTIAL)
    op.create_index("ix_queue_unsure", "queue_entries", ["confidence", "decision_seq"], **_PARTIAL)
    op.create_index("ix_queue_counts", "queue_entries", counted, **_PARTIAL)
    op.create_index("ix_queue_verdict", "queue_entries", ["verdict", "decision_seq"])
    op.create_index("ix_queue_disputed", "queue_entries", ["disputed", "decision_seq"])
    op.create_index("ix_queue_claimed", "queue_entries", ["claimed_by", "claimed_at"])
    op.create_table(
        "viewers",
        sa.Column("decision_id", sa.String(36), sa.ForeignKey("decisions.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("agent", sa.Text, primary_key=True),
        sa.Column("seen_at", _MOMENT, nullable=False),
    )
    _fill(op.get_bind(), entries)


def downgrade() -> None:
    """Go one revision down."""
    op.drop_table("viewers")
    op.drop_table("queue_entries")


def _fill(connection: sa.Connection, entries: sa.Table) -> None:
    """Give every decision that is there already its line."""
    after, newest = 0, _newest(connection)
    query = sa.text("SELECT seq, id, answer FROM decisions WHERE seq > :after ORDER BY seq LIMIT :most")
    while rows := connection.execute(query, {"after": after, "most": _CHUNK}).all():
        said = _feedback(connection, [row.id for row in rows])
        lines = [_entry(row.seq, row.id, json.loads(row.answer), said=said[row.id]) for row in rows]
        for line in lines:
            line["superseded"] = line["decision_seq"] not in newest
            line["waiting"] = line["waiting"] and not line["superseded"]
            line["calm"] = line["calm"] or line["superseded"]
        connection.execute(entries.insert(), lines)
        after = rows[-1].seq


def _newest(connection: sa.Connection) -> set[int]:
    """Return the numbers of the last decision about each ticket id, and of those about tickets without one."""
    query = sa.text(
        "SELECT max(d.seq) FROM decisions d JOIN tickets t ON t.seq = d.ticket_seq "
        "GROUP BY t.source, coalesce(t.ticket_id, d.id)"
    )
    return set(connection.scalars(query))


def _feedback(connection: sa.Connection, ids: list[str]) -> defaultdict[str, list[Any]]:
    query = sa.text(
        "SELECT id, decision_id, verdict, tier, category, resolver_group, agent, undoes FROM feedback "
        "WHERE decision_id IN :ids ORDER BY seq"
    ).bindparams(sa.bindparam("ids", expanding=True))
    said: defaultdict[str, list[Any]] = defaultdict(list)
    for row in connection.execute(query, {"ids": ids}):
        said[row.decision_id].append(row)
    return said


def _entry(seq: int, decision_id: str, document: dict[str, Any], *, said: list[Any]) -> dict[str, Any]:
    undone = {row.undoes for row in said if row.undoes}
    valid = [row for row in said if row.verdict != "undone" and row.id not in undone]
    standing = valid[-1] if valid else None
    last = {row.agent: (row.tier, row.category) for row in valid if row.verdict != "unsure"}
    verdict = standing.verdict if standing else None
    corrected = standing if verdict == "corrected" else None
    targets = document.get("targets", {}).values()
    audit = any(target.get("audit") for target in targets)
    attention = [one["kind"] for one in document.get("attention", ())]
    needed = document["automation"] != "automatic" or audit or bool(attention)
    route = {name: getattr(corrected, name, None) or document[name] for name in ("tier", "category", "resolver_group")}
    sure = [target["confidence"] for target in targets if target.get("confidence") is not None]
    return {
        **route,
        "decision_seq": seq,
        "decision_id": decision_id,
        "waiting": verdict is None and needed,
        "calm": not attention or verdict is not None,
        "attention": f" {' '.join(attention)} " if attention else "",
        "automation": document["automation"],
        "reason": document["reason"],
        "rule": document.get("rule"),
        "model_version": document.get("model_version"),
        "abstained": document["reason"] not in _SURE,
        "audit": audit,
        "verdict": verdict,
        "disputed": len(set(last.values())) > 1,
        "confidence": min(sure, default=None),
    }
