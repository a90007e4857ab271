"""Show the newcomer where things are, one ticket decided by the model, and one that is left to people."""

import json
import sys
import urllib.request

URL = sys.argv[1]
TICKETS = [
    {"subject": "Password", "body": "I forgot my password for the portal, where can I reset it myself?"},
    {
        "subject": "Invoices",
        "body": "Since the release last night every invoice total is wrong for all of us, reproducible on each order.",
    },
    {
        "subject": "Line down",
        "body": "The carrier's line to our branch is dead, their status page shows an outage in our area.",
    },
    {"subject": "Locked", "body": "My account is locked after three wrong tries, please unlock it."},
    {"subject": "Hello", "body": "it does not work, please help"},
    {"subject": "Lunch", "body": "Which wine goes with roast duck and red cabbage on a rainy Sunday in Burgundy?"},
]


def predict(ticket: dict[str, str]) -> dict[str, object]:
    """Ask the service for a decision."""
    request = urllib.request.Request(
        f"{URL}/v1/predict", json.dumps(ticket).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return dict(json.load(answer))


def show(title: str, ticket: dict[str, str], decision: dict[str, object]) -> None:
    """Print one decision and the command that repeats it."""
    print(f"\n{title}")
    print(f"  curl -s {URL}/v1/predict -H 'Content-Type: application/json' -d '{json.dumps(ticket)}'")
    print(
        f"  → tier {decision['tier']}, category {decision['category']}, group {decision['resolver_group']}: "
        f"{decision['automation']} (source {decision['source']}, reason {decision['reason']})"
    )


decided = [(ticket, predict(ticket)) for ticket in TICKETS]
by_model = next(
    (pair for pair in decided if (pair[1]["automation"], pair[1]["source"]) == ("automatic", "model")), None
)
sure = next((pair for pair in decided if pair[1]["reason"] in ("confident", "not_earned")), decided[0])
held = next((pair for pair in reversed(decided) if pair[1]["automation"] != "automatic"), decided[-1])
print(f"\nagent page   {URL}/\nAPI docs     {URL}/docs\nmake stop    ends the service")
show(*(("A ticket that the model decides:", *by_model) if by_model else ("A ticket that the model is sure of:", *sure)))
show("A ticket that is left to people:", *held)
