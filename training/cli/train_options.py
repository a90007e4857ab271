"""The options of `triage train`, and the settings that they make."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from training.cli.inputs import add_data_arguments
from training.terminal import Parser, seed, share


def train_parser() -> Parser:
    """Return the parser of `triage train`."""
    from models.home import DEFAULT_MODEL
    from models.local_store import CHAMPION
    from training.encoders.onnx_export import DEFAULT_ENCODER

    parser = Parser(
        prog="triage train", description="Learn a bundle from the desk's history, measure it, track and register it."
    )
    add_data_arguments(parser)
    parser.add_argument("--policy", metavar="FILE|learn", help="policy file, or 'learn' to take the labels as they are")
    parser.add_argument(
        "--rules", type=Path, metavar="FILE", help="rule file (default: the default rules; none with learn)"
    )
    parser.add_argument("--tier-order", metavar="A,B,…", help="tiers from lowest to highest, for a learned policy")
    parser.add_argument(
        "--encoder", default=DEFAULT_ENCODER, metavar="NAME|PATH", help="sentence encoder (default %(default)s)"
    )
    parser.add_argument(
        "--adapt", action="store_true", help="adapt the encoder to the desk's labels; kept only where it proves better"
    )
    parser.add_argument(
        "--adapt-minutes", type=_positive, metavar="N", help="time for the passes of --adapt (default 20)"
    )
    parser.add_argument(
        "--adapt-steps", type=_count, metavar="N", help="steps of --adapt, whatever the clock says: repeatable"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="the bundle: a folder that is absent or empty")
    parser.add_argument(
        "--target-risk",
        type=share,
        default=0.05,
        metavar="R",
        help="highest error rate among automatic decisions (default 0.05)",
    )
    parser.add_argument(
        "--confidence", type=share, default=0.95, metavar="P", help="with what probability (default 0.95)"
    )
    parser.add_argument(
        "--per-class",
        action="store_true",
        help="keep the target risk within each label: a threshold of its own where a label alone can be certified",
    )
    parser.add_argument("--seed", type=seed, default=0, help="of everything that is drawn (default 0)")
    parser.add_argument("--no-register", action="store_true", help="neither track nor register")
    parser.add_argument(
        "--name",
        default=DEFAULT_MODEL,
        help=f"name of the registered model (default %(default)s); triage promote makes a version its {CHAMPION}",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return value


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 10_000_000):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def settings_of(options: argparse.Namespace) -> Any:
    """Turn the arguments of `triage train` into settings of a run.

    Raises:
        InvalidRequest: If the mapping or the order of tiers does not fit.
    """
    from training.data.columns import parse_mapping
    from training.task import LEARN, TrainSettings

    policy = options.policy if options.policy in (None, LEARN) else Path(options.policy)
    return TrainSettings(
        data=tuple(options.data),
        out=options.out or free_place(),
        mapping=parse_mapping(options.map),
        policy=policy,
        rules=options.rules,
        tier_order=_tier_order(options),
        encoder=options.encoder,
        target_risk=options.target_risk,
        confidence=options.confidence,
        per_class=options.per_class,
        seed=options.seed,
        skip_bad_rows=options.skip_bad_rows,
        adapt=_effort(options),
    )


def _effort(options: argparse.Namespace) -> Any:
    from training.encoders.schedule import TrainingBudget
    from triage.errors import InvalidRequest

    if not options.adapt:
        if options.adapt_minutes is not None or options.adapt_steps is not None:
            raise InvalidRequest("--adapt-minutes and --adapt-steps say how much --adapt does: give --adapt as well")
        return None
    return TrainingBudget(minutes=options.adapt_minutes or 20.0, steps=options.adapt_steps)


def _tier_order(options: argparse.Namespace) -> tuple[str, ...]:
    from triage.errors import InvalidRequest

    if options.tier_order is None:
        return ()
    if options.policy != "learn":
        raise InvalidRequest("--tier-order is for --policy learn: another policy states the order of its tiers itself")
    return tuple(name.strip() for name in options.tier_order.split(",") if name.strip())


def free_place() -> Path:
    """Return a folder for the bundle that does not exist yet: in a checkout its artefacts, else under `TRIAGE_HOME`."""
    from datetime import datetime

    from models.home import triage_home

    checkout = Path("models/artefacts")
    base = checkout if (checkout / "README.md").is_file() else triage_home() / "bundles"
    stem = datetime.now().strftime("%Y%m%d-%H%M%S")
    places = (base / (stem if not count else f"{stem}-{count}") for count in range(100))
    return next(place for place in places if not place.exists())
