"""How long the queue takes with 100,000 stored decisions: first paint on the server, filters, searches, the API.

Decides 500 shipped tickets by the default rules, copies their rows until the store has as many as asked, half of them
waiting, and asks the service in this process; each figure is the median and the worst of 15 requests after one: the
time that passed, and beside it the processor time of this process, which other work on the machine does not lengthen.

    python bench/queue_page.py [--decisions 100000]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from uuid import uuid4

from fastapi.testclient import TestClient
from sqlalchemy import text

from api.app import create_app
from api.settings import load_settings
from api.store.repository import open_repository
from api.store.rows import NewDecision
from api.store.work.words import drop_index, make_index
from api.telemetry import configure_logs
from models.triager import Triager
from models.wire import DecisionDocument
from triage.ticket import Ticket

SHIPPED = Path(__file__).parents[1] / "datasets" / "tickets.jsonl"
SEED, REQUESTS = 500, 15
PATHS = {
    "queue page, first paint": "/",
    "queue page, one group": "/?resolver_group=service-desk",
    "queue page, least sure first": "/?sort=unsure",
    "queue page, everything newest first": "/?view=all&sort=newest",
    "queue page, corrected": "/?view=corrected",
    "search for two words": "/?q=printer+jam",
    "search for a word in most tickets": "/?view=all&sort=unsure&q=the",
    "search that finds nothing": "/?view=all&q=zzzzzz",
    "search for two letters": "/?view=all&q=qx",
    "search for five common words": "/?view=all&sort=oldest&q=the+and+for+not+you",
    "search and every filter": "/?q=the&tier=L1&category=software&reason=rule&attention=any&sort=unsure",
    "every filter, nothing found": "/?view=all&tier=L4&category=security&automation=automatic&reviewed=true",
    "automatic, nobody spoke": "/?view=automatic",
    "one kind of alarm": "/?view=all&attention=outage",
    "GET /v1/decisions": "/v1/decisions",
    "GET /v1/decisions, tier and reviewed": "/v1/decisions?tier=L2&reviewed=false",
}


def fill(home: Path, size: int) -> None:
    store, triager = open_repository(home), Triager()
    rows = [json.loads(line) for line in SHIPPED.read_text("utf-8").splitlines()[:SEED]]
    tickets = [
        Ticket(id=f"T-{place}", subject=row.get("subject") or "", body=row["body"]) for place, row in enumerate(rows)
    ]
    documents = [DecisionDocument.from_decision(one, str(uuid4())) for one in triager.decide(tickets)]
    store.record([NewDecision(ticket, document) for ticket, document in zip(tickets, documents, strict=True)])
    copies = {
        "tickets": ("seq, source, ticket_id, revision, digest", "seq + :step, source, ticket_id || :tag, revision, substr(digest, 1, 52) || :tag"),  # noqa: E501
        "decisions": ("seq, id, ticket_seq", "seq + :step, substr(id, 1, 24) || :tag, ticket_seq + :step"),
        "queue_entries": ("decision_seq, decision_id", "decision_seq + :step, substr(decision_id, 1, 24) || :tag"),
    }  # fmt: skip
    with store.database.writing() as session:
        drop_index(session.connection())
        for table, (own, changed) in copies.items():
            columns = [row[1] for row in session.execute(text(f"PRAGMA table_info({table})"))]
            rest = ", ".join(column for column in columns if column not in own.split(", "))
            chosen = f"SELECT {changed}, {rest} FROM {table} WHERE {columns[0]} <= {SEED}"
            copy = text(f"INSERT INTO {table} ({own}, {rest}) {chosen}")
            for number in range(1, size // SEED):
                session.execute(copy, {"step": number * SEED, "tag": f"{number:012d}"})
        half = "UPDATE queue_entries SET waiting = 0, calm = 1, verdict = :verdict WHERE decision_seq % 4 = :part"
        for part, verdict in enumerate(("accepted", "corrected")):
            session.execute(text(half), {"part": part, "verdict": verdict})
        make_index(session.connection())
    store.close()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--decisions", type=int, default=100_000)
    size = options.parse_args().decisions
    configure_logs("warning")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        fill(home, size)
        with TestClient(create_app(load_settings(home=home, open_loopback=True, rules_only=True))) as client:
            for name, path in PATHS.items():
                client.get(path)
                taken, worked = [], []
                for _ in range(REQUESTS):
                    began, clock = time.perf_counter(), time.process_time()
                    answer = client.get(path)
                    taken.append((time.perf_counter() - began) * 1000)
                    worked.append((time.process_time() - clock) * 1000)
                assert answer.status_code == 200, answer.text
                for what, times in (("passed", taken), ("processor", worked)):
                    figures = f"median {statistics.median(times):7.1f} ms   worst {max(times):7.1f} ms"
                    print(f"{name if what == 'passed' else '':38} {what:9} {figures}", flush=True)


if __name__ == "__main__":
    main()
