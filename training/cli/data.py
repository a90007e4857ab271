"""Examine a history of tickets, or fetch a public data set.

Examples:
    triage data check export.csv --map id=Number --map body=Description
    triage data fetch clinc150
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from models.atomic_write import check_writable
from models.terminal import (
    Family,
    JsonOption,
    argument,
    log_step,
    option,
    print_json,
    print_result,
    print_table,
    progress,
    seed,
)
from training.cli.options import FilesOption, check_mapping, keep_mapping
from training.data.dataset import read_dataset
from training.data.labels import listed_labels, with_learned_group
from training.data.public import SETS
from training.data.public import fetch as fetch_set
from training.quality.checks import diagnose
from triage.defaults import default_policy
from triage.errors import InvalidRequest
from triage.policy import read_policy

_DIGEST = re.compile(r"[0-9a-fA-F]{64}")

data = Family("data", __doc__)

_SHOWN_LABELS, _SHOWN_ROWS = 15, 8  # a screen; all of them are in the JSON document


@dataclass(frozen=True, kw_only=True)
class CheckOptions(FilesOption, JsonOption):
    """The options of `triage data check`."""

    policy: Path | None = option("policy whose labels are whole (default: the default policy)", None, "FILE")
    seed: int = option("seed of samples and cross-validation", 0, "N", read=seed)


@data.verb("check")
def check(options: CheckOptions) -> int:
    """Say what is wrong with the data and what to mend first; exit status 1 if it is serious.

    Examples:
        triage data check export.csv --map id=Number --map body=Description
        triage data check tickets.jsonl --policy my-policy.toml --json
    """
    check_mapping(options)
    policy = read_policy(options.policy) if options.policy else default_policy()
    reading = replace(options.reading, examine=True, known=listed_labels(policy))
    with progress(None, "reading") as bar:
        dataset = read_dataset(options.data, options.roles, options=reading, skip_bad_rows=True, progress=bar.update)
    keep_mapping(options, options.data)
    dataset = with_learned_group(dataset, policy, asked=options.roles.get("resolver_group") is not None)
    found = diagnose(dataset, options.seed, lambda what: log_step(f"examining {what}"))
    if options.json:
        print_json({**found.to_document(), "ignored_columns": list(dataset.ignored_columns)})
        return int(found.serious)
    print(f"{found.rows} rows; ignored columns: {', '.join(dataset.ignored_columns) or 'none'}")
    for target, counts in found.balance.items():
        shown = list(counts.items())[:_SHOWN_LABELS]
        print(f"\n{target}: {len(counts)} labels{'' if len(counts) == len(shown) else f', the {len(shown)} commonest'}")
        rows = sum(counts.values())
        print_table(["label", "rows", "share"], [[label, count, count / rows] for label, count in shown], 2)
    print("\nwhat to mend first:")
    for finding in found.findings:
        print(f"\n  [{finding.severity}] {finding.what}")
        if finding.do:
            print(f"    → {finding.do}")
        for place in finding.places[:_SHOWN_ROWS]:
            print(f"      {place}")
        if len(finding.places) > _SHOWN_ROWS:
            print(f"      … {finding.rows} rows in all")
    return int(found.serious)


@dataclass(frozen=True, kw_only=True)
class FetchOptions(JsonOption):
    """The options of `triage data fetch`."""

    name: str = argument("which one", "|".join(SETS))
    out: Path | None = option("file to write (default: NAME.jsonl)", None, "FILE")
    url: str | None = option("a mirror that holds the same files", None)
    sha256: list[str] = option(
        "digest that a file must have whose digest is not known here; may be repeated", [], "FILE=DIGEST"
    )

    @property
    def stated(self) -> dict[str, str]:
        """The digests stated, by file.

        Raises:
            InvalidRequest: If one is not of the form FILE=DIGEST.
        """
        pairs = [one.rpartition("=") for one in self.sha256]
        for given, (path, _, digest) in zip(self.sha256, pairs, strict=True):
            if not path or not _DIGEST.fullmatch(digest):
                raise InvalidRequest(f"--sha256 {given!r} is not FILE=DIGEST with 64 hexadecimal digits")
        return {path: digest.lower() for path, _, digest in pairs}


@data.verb("fetch")
def fetch(options: FetchOptions) -> None:
    """Fetch a public data set, check it by the digests of its files, and show its licence.

    Those of endava are not known: they are shown and not checked, unless --sha256 states them.

    Examples:
        triage data fetch clinc150 --out clinc150.jsonl
        triage data fetch endava --sha256 data/test_data.csv=DIGEST
    """
    out = options.out or Path(f"{options.name}.jsonl")
    check_writable(out)
    fetched = fetch_set(options.name, out, url=options.url, stated=options.stated)
    lines = [
        f"{fetched.rows} rows in {fetched.out}",
        f"  licence  {fetched.licence}",
        f"  source   {fetched.cite}",
        *(f"  sha256   {digest}  {path}" for path, digest in fetched.digests.items()),
        *(f"  {path}: its digest is not known: not checked" for path in fetched.unchecked),
    ]
    print_result({**vars(fetched), "out": str(fetched.out)}, "\n".join(lines), as_json=options.json)
