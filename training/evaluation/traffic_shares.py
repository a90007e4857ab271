"""Which share of recent traffic each label has, learned from tickets that nobody has labelled yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from models.bundle.bundle import Bundle
from training.data.dataset import read_rows, refuse_bad_rows
from training.data.reading import READ_PLAINLY, ReadOptions, open_files
from training.gate.label_shift import estimate_shares
from training.stages import EXTENDED, STARTED, stage_of
from triage.errors import BadRow, InvalidDataset, InvalidRequest
from triage.policy import Policy
from triage.ticket import Ticket

LEAST = 1e-4
"""Share of a label that was never learned or never met: little, but not impossible."""


def shares_left_out(policy: Policy) -> list[str]:
    """Return a sentence for each target of which a policy states the expected share of some labels, and not of all."""
    return [
        f"expected_share of {target} is stated for some labels and lacking for {', '.join(lacking[:5])}"
        f"{' …' if len(lacking) > 5 else ''}: none of them counts until every label has one"
        for target in policy.targets
        if (lacking := policy.without_share(target))
    ]


@dataclass(frozen=True)
class Shares:
    """How often each label of a target comes.

    Attributes:
        history: Share of each label in what the bundle has learned from.
        traffic: Share of each label in the tickets given.
    """

    history: Mapping[str, float]
    traffic: Mapping[str, float]


def read_tickets(
    files: Sequence[Path],
    mapping: Mapping[str, str | None],
    *,
    options: ReadOptions = READ_PLAINLY,
    skip_bad_rows: bool = False,
) -> list[Ticket]:
    """Read tickets, whatever their labels and dates say.

    Raises:
        InvalidDataset: With every bad row, or where there is none that is usable.
        InvalidRequest: If the mapping does not fit.
    """
    tickets: list[Ticket] = []
    bad: list[BadRow] = []
    for opened in open_files(files, mapping, replace(options, need_dates=False)):
        for found in read_rows(opened, labelled=False):
            if isinstance(found, BadRow):
                bad.append(found)
            else:
                tickets.append(found.ticket)
    refuse_bad_rows(bad, len(tickets) + len(bad), skip_bad_rows)
    if not tickets:
        raise InvalidDataset("no usable row in what was given: shares cannot be learned; check the export", bad)
    return tickets


def shares_in(bundle: Bundle, tickets: Sequence[Ticket]) -> dict[str, Shares]:
    """Estimate the shares of labels in tickets; see `training.gate.label_shift.estimate_shares`.

    Args:
        bundle: Its probabilities are taken as they are under the shares of its history.
        tickets: Recent ones; some hundreds at least, for a share is no surer than a count.

    Raises:
        InvalidRequest: If the bundle was started without a history, or extended, and so lacks shares to go by.
    """
    stage = stage_of(bundle.manifest)
    if stage.name in STARTED or stage.name == EXTENDED:
        lacks = "they know no share of labels that were added" if stage.name == EXTENDED else "they go by no history"
        raise InvalidRequest(
            f"shares cannot be learned with the probabilities of a bundle that stands on {stage.name}: {lacks}; "
            "train one in full first"
        )
    plain = replace(
        bundle.model, heads={t: replace(head, prior_correction=None) for t, head in bundle.model.heads.items()}
    )
    probabilities = plain.probabilities(
        plain.features(tickets, bundle.encoder.encode([ticket.text for ticket in tickets]))
    )
    found = {}
    for target, table in probabilities.items():
        head, label_ids = plain.heads[target], plain.history.label_ids[target]
        prior = np.bincount(label_ids[label_ids >= 0], minlength=len(head.labels)) / max(1, int((label_ids >= 0).sum()))
        now = estimate_shares(table, prior)
        found[target] = Shares(
            dict(zip(head.labels, prior.tolist(), strict=True)), dict(zip(head.labels, now.tolist(), strict=True))
        )
    return found


def with_shares(policy: Policy, shares: Mapping[str, Shares]) -> Policy:
    """Return a policy that states the shares of traffic, every label at least `LEAST`."""
    stated = {target: _stated(policy, target, shares) for target in ("tier", "category", *policy.further)}
    return replace(
        policy,
        tiers=tuple(replace(entry, expected_share=stated["tier"].get(entry.label)) for entry in policy.tiers),
        categories=tuple(
            replace(entry, expected_share=stated["category"].get(entry.label)) for entry in policy.categories
        ),
        further={
            target: tuple(replace(entry, expected_share=stated[target].get(entry.label)) for entry in labels)
            for target, labels in policy.further.items()
        },
    )


def _stated(policy: Policy, target: str, shares: Mapping[str, Shares]) -> dict[str, float]:
    if target not in shares:
        return {}
    raw = {
        label: max(LEAST, shares[target].traffic.get(label, 0.0))
        for label in (one.label for one in policy.entries(target))
    }
    total = sum(raw.values())
    return {label: int(value / total * 1e6) / 1e6 for label, value in raw.items()}  # cut: they add up to 1 at most
