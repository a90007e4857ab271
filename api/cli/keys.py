"""`triage keys`: make, show and revoke the API keys of the service."""

from __future__ import annotations

import argparse
from typing import Any

from api.cli.console import age, opened, run, table
from api.security.api_keys import create_key
from api.settings import Settings
from api.store.rows import SCOPES, KeyRow
from triage.__main__ import print_json
from triage.arguments import Parser
from triage.errors import InvalidRequest

_USUAL = ("predict", "feedback", "read")


def keys(arguments: list[str]) -> int:
    """Create, list and revoke the API keys of the service."""
    parser = Parser(prog="triage keys", description=keys.__doc__)
    verbs = parser.add_subparsers(metavar="create|list|revoke", required=True)
    create = verbs.add_parser("create", help="make a key and show it, once")
    create.add_argument("label", nargs="?", metavar="NAME", help="what to call it")
    create.add_argument("--name", help="what to call it")
    good_for = f"what it is good for: {', '.join(SCOPES)}, or all; may be repeated (default: {', '.join(_USUAL)})"
    create.add_argument("--scope", "--scopes", action="append", default=[], metavar="SCOPE[,SCOPE…]", help=good_for)
    create.add_argument(
        "--expires",
        "--expires-in",
        type=age,
        metavar="90d",
        help="how long it is valid, such as 12h, 90d or 52w (default: for ever)",
    )
    create.add_argument(
        "--clearance",
        type=int,
        default=0,
        help="which sensitive tickets it may see, in the numbers of the policy's tiers (default: 0)",
    )
    create.set_defaults(do=_create)
    verbs.add_parser("list", help="show all keys, but for their secrets").set_defaults(do=_list)
    revoke = verbs.add_parser("revoke", help="make a key invalid, within seconds and for good")
    revoke.add_argument("which", metavar="KEY", help="its id, prefix or name")
    revoke.set_defaults(do=_revoke)
    return run(parser, verbs.choices.values(), arguments)


def _create(chosen: argparse.Namespace, settings: Settings) -> int:
    if chosen.name and chosen.label:
        raise InvalidRequest("the key is named twice: give NAME or --name, not both")
    scopes = [scope.strip() for part in chosen.scope for scope in part.replace(" ", ",").split(",") if scope.strip()]
    scopes = list(SCOPES) if "all" in scopes else scopes or list(_USUAL)
    with opened(settings) as repository:
        text, row = create_key(
            repository,
            chosen.name or chosen.label or "unnamed",
            scopes,
            clearance=chosen.clearance,
            lifetime=chosen.expires,
        )
    if chosen.json:
        print_json({"key": text, **_document(row)})
        return 0
    print(f"{text}\n")
    print(
        f"This is the key {row.name!r}: good for {', '.join(sorted(row.scopes))}{_until(row)}. "
        "It is not shown again: keep it where your helpdesk keeps its secrets."
    )
    print("\nWhat to do next:")
    for line in _next_steps(text, row, settings):
        print(f"  {line}")
    return 0


def _next_steps(text: str, row: KeyRow, settings: Settings) -> list[str]:
    base = f"http://{settings.host}:{settings.port}"
    steps = ["start the service, if it does not run yet:", "  triage serve"]
    if "predict" in row.scopes:
        steps += [
            "send it a ticket:",
            f"  curl -s {base}/v1/predict -H 'Authorization: Bearer {text}' \\",
            '       -H \'Content-Type: application/json\' -d \'{"id": "T-1", "text": "the printer on floor 3 jams"}\'',
        ]
    if "read" in row.scopes:
        steps += [f"or open {base}/ in a browser and sign in with the key"]
    return [*steps, f"revoke it when it is no longer needed: triage keys revoke {row.prefix}"]


def _list(chosen: argparse.Namespace, settings: Settings) -> int:
    with opened(settings) as repository:
        rows = repository.keys()
    if chosen.json:
        print_json({"keys": [_document(row) for row in rows]})
    elif rows:
        heads = ("prefix", "name", "scopes", "clearance", "created", "expires", "revoked", "id")
        days = [
            tuple(moment.date() if moment else None for moment in (row.created_at, row.expires_at, row.revoked_at))
            for row in rows
        ]
        print(
            table(
                heads,
                [
                    (row.prefix, row.name, ",".join(sorted(row.scopes)), row.clearance, *day, row.id)
                    for row, day in zip(rows, days, strict=True)
                ],
            )
        )
    else:
        print("no keys yet: make one with triage keys create")
    return 0


def _revoke(chosen: argparse.Namespace, settings: Settings) -> int:
    which = chosen.which
    if which.count("_") >= 2:  # somebody pasted the key itself: its prefix names it
        which = which.split("_", 2)[1]
    with opened(settings) as repository:
        row = repository.revoke_key(which)
    if chosen.json:
        print_json(_document(row))
    else:
        print(f"revoked {row.prefix} {row.name!r}: every worker refuses it within 5 seconds")
    return 0


def _until(row: KeyRow) -> str:
    return f" until {row.expires_at:%Y-%m-%d %H:%M} UTC" if row.expires_at else ""


def _document(row: KeyRow) -> dict[str, Any]:
    moments = {name: moment.isoformat() if moment else None for name, moment in _moments(row)}
    return {
        "id": row.id,
        "name": row.name,
        "prefix": row.prefix,
        "scopes": sorted(row.scopes),
        "clearance": row.clearance,
        **moments,
    }


def _moments(row: KeyRow) -> list[tuple[str, Any]]:
    return [("created_at", row.created_at), ("expires_at", row.expires_at), ("revoked_at", row.revoked_at)]
