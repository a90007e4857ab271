"""Verbs that decide tickets: predict, score."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import typer

from models.terminal import NEEDED, JsonOption, argument, log, option, print_result, progress, verb
from models.triager import Triager
from models.wire import DecisionDocument
from training import batch_scoring
from training.cli.options import WITHOUT_CASCADE, BundleOption, MapOption, bundle_path, keep_mapping
from training.engines.engine import EngineOptions, scoring_engine
from training.reports.decision_text import as_text
from triage.errors import InvalidRequest, grouped
from triage.languages.names import language_code
from triage.ticket import Ticket

_TICKET = "ticket"
_SHOWN_FAULTS = 20  # all of them are in the JSON document


def _language(stated: str) -> str:
    """Read a language as its code."""
    code = language_code(stated)
    if code is None:
        raise typer.BadParameter(f"{stated!r} is no language that is known: write a code such as en, or its name")
    return code


@dataclass(frozen=True, kw_only=True)
class PredictOptions(JsonOption):
    """The options of `triage predict`."""

    bundle: str = argument("folder of a bundle, or NAME@ALIAS; 'rules' for the rules alone", "BUNDLE")
    text: str = argument("what the requester wrote; - reads it from stdin", "TEXT")
    subject: str = option("subject line, if there is one", "", "LINE", group=_TICKET)
    channel: str | None = option("how it came in, such as email or phone", None, "NAME", group=_TICKET)
    language: str | None = option(
        "its language, as a code or a name (default: detected from the text)",
        None,
        "CODE",
        read=_language,
        group=_TICKET,
    )


@verb
def predict(options: PredictOptions) -> None:
    """Decide one ticket and say why.

    Examples:
        triage predict my-bundle "VPN drops every ten minutes, restarting did not help"
        triage predict helpdesk-triage@champion - --subject "VPN" --json < mail.txt
        triage predict rules "please reset my password"
    """
    ticket = Ticket(
        subject=options.subject,
        body=sys.stdin.read() if options.text == "-" else options.text,
        channel=options.channel,
        language=options.language,
    )
    if not ticket.text:
        raise InvalidRequest("the ticket has no text: nothing can be decided; write what the requester said")
    rules_alone = options.bundle == "rules" and not Path(options.bundle).exists()
    triager = Triager() if rules_alone else Triager.load(bundle_path(options.bundle))
    decision = triager.decide([ticket], explain=True)[0]
    document = DecisionDocument.from_decision(decision).model_dump(mode="json", exclude={"stored"})  # no store here
    print_result(document, as_text(decision), as_json=options.json)


@dataclass(frozen=True, kw_only=True)
class ScoreOptions(BundleOption, MapOption, EngineOptions, JsonOption):
    """The options of `triage score`."""

    data: Path = argument("CSV, JSON, XML, XLSX or Parquet file, packed as .gz or .zip or not", "DATA")
    out: Path = option("where to; the name ends in .jsonl, .csv or .parquet", NEEDED, "FILE")
    no_cascade: bool = option(WITHOUT_CASCADE, False)


@verb
def score(options: ScoreOptions) -> None:
    """Decide every row of a file and write one decision a row, in the order of the input.

    A run that is interrupted continues where it stopped: what is done is kept in OUT.partial.

    Examples:
        triage score my-bundle tickets.csv --out decisions.csv
        triage score helpdesk-triage@champion tickets.jsonl --map text=description --out decisions.parquet
        triage score my-bundle tickets.parquet --engine ray --address 10.0.0.1:6379 --out decisions.parquet
    """
    mapping, reading = options.roles, options.reading
    batch_scoring.check_output(options.out, options.data)
    keep_mapping(options, [options.data], need_dates=False)
    engine = scoring_engine(options, bundle_path(options.bundle), cascade=not options.no_cascade)
    with ExitStack() as stack:

        def watch(total: int | None, done: int) -> batch_scoring.Progress:
            if done:
                log(f"continuing after row {done}")
            update: batch_scoring.Progress = stack.enter_context(progress(total, "scoring", initial=done)).update
            return update

        done = batch_scoring.score(engine, options.data, options.out, mapping=mapping, options=reading,
                                  progress=watch)  # fmt: skip
    if done.left_undated:
        log(done.left_undated)
    for what, count in done.left_out.items():
        log(f"left out: {count} × {what}")
    faults = grouped(done.unscorable)
    for line in faults[:_SHOWN_FAULTS]:
        log(f"default route: {line}")
    if len(faults) > _SHOWN_FAULTS:
        log(f"default route: … and {len(faults) - _SHOWN_FAULTS} more faults")
    document = {
        "out": str(options.out),
        "rows": done.rows,
        "resumed": done.resumed,
        "automatic": done.automatic,
        "left_out": done.left_out,
        "unscorable": [{"line": row.line, "reason": row.reason} for row in done.unscorable],
    }
    text = (
        f"{done.rows} decisions in {options.out} ({done.resumed} from an earlier run)\n"
        f"of the {done.rows - done.resumed} made now, {done.automatic} are automatic"
    )
    print_result(document, text, as_json=options.json)
