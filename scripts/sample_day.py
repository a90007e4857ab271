"""Show how automation is earned: a reviewed day of an organisation that the model has never seen.

`hold-out FOLDER` writes the shipped tickets in two files, one without that organisation to train on, one with its day;
`replay URL FILE` sends the day to a running service, and says of each decision what the people of that day said. What
the service has got already is not sent again.
"""

import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from api.store.rows import SAMPLE_REQUESTER
from triage.defaults import default_policy

ORGANISATION = "asterin"
SHIPPED = Path(__file__).parents[1] / "datasets" / "tickets.jsonl"
HISTORY, DAY = "history.jsonl", "sample-day.jsonl"
AGENTS = ("ana", "ben", "chris")
CLOSED = (401, 403)
"""Statuses of a service that shows its tickets to people with accounts only."""


def hold_out(folder: Path) -> None:
    """Write what the first model learns from, and the day that it does not see."""
    parts: dict[str, list[str]] = {HISTORY: [], DAY: []}
    policy = default_policy()
    for line in SHIPPED.read_text("utf-8").splitlines():
        row = json.loads(line)
        if row["organisation"] != ORGANISATION:
            parts[HISTORY].append(line + "\n")
            continue
        if not policy.may_see(row["tier"], row["category"] in policy.sensitive_categories):
            row["tier"] = policy.cleared_tier(row["tier"])  # the people of the day keep to the policy
        parts[DAY].append(json.dumps(row, ensure_ascii=False) + "\n")
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in parts.items():
        (folder / name).write_text("".join(lines), "utf-8")


def call(url: str, document: object = None) -> dict[str, Any]:
    """Send a document, or ask for one, and return the answer; one that is refused for now is sent again."""
    body = None if document is None else json.dumps(document).encode()
    for attempt in range(5):
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            if error.code not in (429, 503) or attempt == 4:
                raise
            time.sleep(1 + attempt)
    raise AssertionError("not reached")


def filed(url: str, ticket_id: str) -> dict[str, Any] | None:
    """Return the newest decision about a ticket as the service has it, with what was said of it; None where none is."""
    found = call(f"{url}/v1/decisions?{urlencode({'ticket_id': ticket_id, 'limit': 1})}")["decisions"]
    return dict(found[0]) if found else None


def review(url: str, row: dict[str, Any], agent: str, requester: str = SAMPLE_REQUESTER) -> None:
    """Have one ticket of the day decided, and say what a person said about it then."""
    words = {name: row[name] for name in ("channel", "opened_at", "language", "subject", "body") if row.get(name)}
    judge(url, row, call(f"{url}/v1/predict", {"id": sample_id(row), "requester": requester, **words}), agent)


def judge(url: str, row: dict[str, Any], decision: dict[str, Any], agent: str) -> None:
    """Say what a person said about a ticket of the day."""
    right = {"tier": row["tier"], "category": row["category"]}
    agrees = all(decision[target] == label for target, label in right.items())
    said = {"verdict": "accepted"} if agrees else {"verdict": "corrected", **right}
    call(f"{url}/v1/decisions/{decision['decision_id']}/feedback", {"agent": agent, **said})


def sample_id(row: dict[str, Any]) -> str:
    """Return the id of a ticket of the day at the service."""
    return f"SAMPLE-{row['id']}"


def follow(url: str, row: dict[str, Any], decision: dict[str, Any] | None, agent: str) -> None:
    """Do what is left to do with a ticket of the day: all where it was not filed, nothing where it was judged."""
    if decision is None:
        review(url, row, agent)
    elif decision["ticket"] and not decision["feedback"]:  # it was not forgotten since, and nobody spoke of it
        judge(url, row, decision, agent)


def filed_before(url: str, rows: list[dict[str, Any]]) -> dict[str, dict[str, Any] | None]:
    """Return the decisions about tickets of the day that the service has, by id; None for each that it has not got."""
    try:
        return {row["id"]: filed(url, sample_id(row)) for row in rows}
    except urllib.error.HTTPError as error:
        if error.code not in CLOSED:
            raise
        sys.exit("  the service is open to people with accounts only: the day is not replayed")


def replay(url: str, day: Path) -> None:
    """Send what the service has not got of the day, and say when automation opens."""
    rows = sorted(map(json.loads, day.read_text("utf-8").splitlines()), key=lambda row: row["opened_at"])
    print(f"\n· a reviewed day of {ORGANISATION}, an organisation that the model has never seen: {len(rows)} tickets")
    known = filed_before(url, rows)
    before = sum(one is not None for one in known.values())
    if before:
        print(f"  {before} of them were filed before, and are not filed again")
    modes = {target: one["mode"] for target, one in call(f"{url}/v1/autonomy")["targets"].items()}
    for place, row in enumerate(rows):
        follow(url, row, known[row["id"]], AGENTS[place % len(AGENTS)])
        for target, one in call(f"{url}/v1/autonomy")["targets"].items():
            if one["mode"] != modes[target]:
                print(f"  ticket {place + 1}: the {target} is {one['mode']} now: {one['because']}")
            modes[target] = one["mode"]
    for target, one in call(f"{url}/v1/autonomy")["targets"].items():
        left = f", {one['reviews_to_go']} clean reviews to go" if one["reviews_to_go"] else ""
        print(f"  {target}: {one['mode']} after {one['reviews']} reviews with {one['errors']} errors{left}")
    print("  how automation is earned and lost: docs/autonomy.md; make run SAMPLE=0 leaves the sample day out")


if __name__ == "__main__":
    if sys.argv[1] == "hold-out":
        hold_out(Path(sys.argv[2]))
    else:
        replay(sys.argv[2], Path(sys.argv[3]))
