"""Show the newcomer where things are, one ticket decided by the model, and one that is left to people.

`show.py URL` has the example tickets decided, but those that the store of the service at that address has already.
"""

import json
import shlex
import sys
import urllib.error
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # which `python -P` leaves out
day: Any = import_module("sample_day")

TICKETS = [
    {
        "id": "EXAMPLE-1",
        "subject": "Password",
        "body": "I forgot my password for the portal, where can I reset it myself?",
    },
    {
        "id": "EXAMPLE-2",
        "subject": "Invoices",
        "body": "Since the release last night every invoice total is wrong for all of us, reproducible on each order.",
    },
    {
        "id": "EXAMPLE-3",
        "subject": "Line down",
        "body": "The carrier's line to our branch is dead, their status page shows an outage in our area.",
    },
    {"id": "EXAMPLE-4", "subject": "Locked", "body": "My account is locked after three wrong tries, please unlock it."},
    {"id": "EXAMPLE-5", "subject": "Hello", "body": "it does not work, please help"},
    {
        "id": "EXAMPLE-6",
        "subject": "Lunch",
        "body": "Which wine goes with roast duck and red cabbage on a rainy Sunday in Burgundy?",
    },
]


def decide(url: str) -> list[tuple[dict[str, str], dict[str, Any]]] | None:
    """Return the examples, each with its decision, and file those that were not; None where the store cannot be read.

    Args:
        url: Where the service is.
    """
    try:
        known = {ticket["id"]: day.filed(url, ticket["id"]) for ticket in TICKETS}
    except urllib.error.HTTPError as error:
        if error.code not in day.CLOSED:
            raise
        print("\n· the service is open to people with accounts only: no example tickets are filed")
        return None
    before = sum(decision is not None for decision in known.values())
    if before:
        print(f"\n· {before} of {len(TICKETS)} example tickets were filed before, and are not filed again")
    return [(ticket, known[ticket["id"]] or day.call(f"{url}/v1/predict", ticket)) for ticket in TICKETS]


def show(url: str, title: str, ticket: dict[str, str], decision: dict[str, Any]) -> None:
    """Print one decision and the command that repeats it."""
    print(f"\n{title}")
    print(f"  curl -s {url}/v1/predict -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(ticket))}")
    print(
        f"  → tier {decision['tier']}, category {decision['category']}, group {decision['resolver_group']}: "
        f"{decision['automation']} (source {decision['source']}, reason {decision['reason']})"
    )


def main(url: str) -> None:
    """Print what there is to see at a service."""
    decided = decide(url)
    print(f"\nagent page   {url}/\nAPI docs     {url}/docs\nmake stop    ends the service")
    if decided is None:
        return
    by_model = next(
        (pair for pair in decided if (pair[1]["automation"], pair[1]["source"]) == ("automatic", "model")), None
    )
    sure = next((pair for pair in decided if pair[1]["reason"] in ("confident", "not_earned")), decided[0])
    held = next((pair for pair in reversed(decided) if pair[1]["automation"] != "automatic"), decided[-1])
    title = "A ticket that the model decides:" if by_model else "A ticket that the model is sure of:"
    show(url, title, *(by_model or sure))
    show(url, "A ticket that is left to people:", *held)


if __name__ == "__main__":
    main(sys.argv[1])
