"""Create, list and revoke the API keys of the service.

Examples:
    triage keys create desk --scope predict,feedback --expires 52w
    triage keys list
    triage keys revoke 3f9a1c20
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from api.cli.options import age, clearance, opened_store
from api.security.api_keys import create_key, prefix_of
from api.settings import load_settings
from api.store.rows import SCOPES, KeyRow
from models.terminal import Family, JsonOption, argument, option, print_json, print_result, print_table
from triage.errors import InvalidRequest

keys = Family("keys", __doc__)

_USUAL = ("predict", "feedback", "read")


@dataclass(frozen=True, kw_only=True)
class CreateOptions(JsonOption):
    """The options of `triage keys create`."""

    label: str | None = argument("what to call the key", "NAME", None)
    name: str | None = option("what to call the key, instead of NAME", None, "NAME")
    scope: list[str] = option(
        f"what it is good for: {', '.join(SCOPES)}, or all; may be repeated (default: {', '.join(_USUAL)})",
        [],
        "SCOPE[,SCOPE…]",
        names=("--scope", "--scopes"),
    )
    expires: timedelta | None = option(
        "how long it is valid, such as 12h, 90d or 52w (default: for ever)",
        None,
        "90d",
        names=("--expires", "--expires-in"),
        read=age,
    )
    clearance: int = option(
        "which sensitive tickets it may see, in the numbers of the policy's tiers", 0, "N", read=clearance
    )


@keys.verb("create")
def create(options: CreateOptions) -> None:
    """Make a key and show it, once.

    Examples:
        triage keys create desk --scope predict,feedback --expires 52w
        triage keys create --scope all --json
    """
    if options.name and options.label:
        raise InvalidRequest("the key is named twice: give NAME or --name, not both")
    stated = [scope.strip() for part in options.scope for scope in part.replace(" ", ",").split(",") if scope.strip()]
    scopes = list(SCOPES) if "all" in stated else stated or list(_USUAL)
    name = options.name or options.label or "unnamed"
    with opened_store(is_made=True) as store:
        text, row = create_key(store, name, scopes, clearance=options.clearance, lifetime=options.expires)
        accounts = store.has_users()
    if options.json:
        print_json({"key": text, **_document(row)})
        return
    until = f" until {row.expires_at:%Y-%m-%d %H:%M} UTC" if row.expires_at else ""
    print(f"{text}\n")
    print(
        f"This is the key {row.name!r}: good for {', '.join(sorted(row.scopes))}{until}. "
        "It is not shown again: keep it where your helpdesk keeps its secrets."
    )
    print("\nWhat to do next:")
    print("\n".join(f"  {line}" for line in _next_steps(text, row, accounts=accounts)))


def _next_steps(text: str, row: KeyRow, *, accounts: bool) -> list[str]:
    """Say what can be done with a key; nobody signs in to the pages with one where people have accounts."""
    settings = load_settings()
    base = f"http://{settings.host}:{settings.port}"
    steps = ["start the service, if it does not run yet:", "  triage serve"]
    if "predict" in row.scopes:
        steps += [
            "send it a ticket:",
            f"  curl -s {base}/v1/predict -H 'Authorization: Bearer {text}' \\",
            '       -H \'Content-Type: application/json\' -d \'{"id": "T-1", "text": "the printer on floor 3 jams"}\'',
        ]
    if "read" in row.scopes and not accounts:
        steps += [f"or open {base}/ in a browser and sign in with the key"]
    return [*steps, f"revoke it when it is no longer needed: triage keys revoke {row.prefix}"]


@keys.verb("list")
def list_keys(options: JsonOption) -> None:
    """Show all keys, but for their secrets.

    Examples:
        triage keys list
    """
    with opened_store() as store:
        rows = store.keys()
    if options.json:
        print_json({"keys": [_document(row) for row in rows]})
    elif not rows:
        print("no keys yet: make one with triage keys create")
    else:
        days = [[moment.date() if moment else None for moment in _moments(row).values()] for row in rows]
        print_table(
            ("prefix", "name", "scopes", "clearance", "created", "expires", "revoked", "id"),
            [
                (row.prefix, row.name, ",".join(sorted(row.scopes)), row.clearance, *day, row.id)
                for row, day in zip(rows, days, strict=True)
            ],
        )


@dataclass(frozen=True, kw_only=True)
class RevokeOptions(JsonOption):
    """The options of `triage keys revoke`."""

    key: str = argument("its id, prefix or name", "KEY")


@keys.verb("revoke")
def revoke(options: RevokeOptions) -> None:
    """Make a key invalid, within seconds and for good.

    Examples:
        triage keys revoke 3f9a1c20
    """
    with opened_store() as store:
        row = store.revoke_key(prefix_of(options.key) or options.key)  # somebody may paste the key itself
    text = f"revoked {row.prefix} {row.name!r}: every worker refuses it within 5 seconds"
    print_result(_document(row), text, as_json=options.json)


def _document(row: KeyRow) -> dict[str, object]:
    moments = {name: moment.isoformat() if moment else None for name, moment in _moments(row).items()}
    return {
        "id": row.id,
        "name": row.name,
        "prefix": row.prefix,
        "scopes": sorted(row.scopes),
        "clearance": row.clearance,
        **moments,
    }


def _moments(row: KeyRow) -> dict[str, datetime | None]:
    return {"created_at": row.created_at, "expires_at": row.expires_at, "revoked_at": row.revoked_at}
