"""Show how automation is earned: a reviewed day of an organisation that the model has never seen.

`hold-out FOLDER` writes the shipped tickets in two files, one without that organisation to train on, one with its day;
`replay URL FILE` sends the day to a running service, and says of each decision what the people of that day said.
"""

import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from api.store.rows import SAMPLE_REQUESTER
from triage.defaults import default_policy

ORGANISATION = "asterin"
SHIPPED = Path(__file__).parents[1] / "datasets" / "tickets.jsonl"
HISTORY, DAY = "history.jsonl", "sample-day.jsonl"
AGENTS = ("ana", "ben", "chris")


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


def review(url: str, row: dict[str, Any], agent: str, requester: str = SAMPLE_REQUESTER) -> None:
    """Have one ticket of the day decided, and say what a person said about it then."""
    words = {name: row[name] for name in ("channel", "opened_at", "language", "subject", "body") if row.get(name)}
    decision = call(f"{url}/v1/predict", {"id": f"SAMPLE-{row['id']}", "requester": requester, **words})
    right = {"tier": row["tier"], "category": row["category"]}
    agrees = all(decision[target] == label for target, label in right.items())
    said = {"verdict": "accepted"} if agrees else {"verdict": "corrected", **right}
    call(f"{url}/v1/decisions/{decision['decision_id']}/feedback", {"agent": agent, **said})


def replay(url: str, day: Path) -> None:
    """Send the day, and say when automation opens."""
    rows = sorted(map(json.loads, day.read_text("utf-8").splitlines()), key=lambda row: row["opened_at"])
    print(f"\n· a reviewed day of {ORGANISATION}, an organisation that the model has never seen: {len(rows)} tickets")
    modes = dict.fromkeys(call(f"{url}/v1/autonomy")["targets"], "suggest")
    for place, row in enumerate(rows):
        review(url, row, AGENTS[place % len(AGENTS)])
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
