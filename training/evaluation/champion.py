"""The champion in a challenger's training: it answers the tickets set aside there that it had never seen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle.bundle import Bundle, load_bundle
from models.bundle.codecs import json_bytes
from models.bundle.manifest import audit, read_manifest
from models.terminal import Log
from models.triager import Triager
from training.data.dataset import Dataset, LabelledTicket, row_digest, targets_in
from training.data.labels import as_written, in_words_of
from training.evaluation.evaluate import measure
from training.evaluation.predictions import ask, record_of
from training.evaluation.record import Record, short
from training.evaluation.seen import Seen
from triage.errors import BundleError
from triage.policy import Policy

FILE = "champion.json"
"""Name of the champion's answers in the bundle of the challenger."""

FACTS = "champion"
"""Where the manifest of the challenger says which champion was asked, and how many tickets."""


@dataclass(frozen=True)
class Champion:
    """The version that serves while another one is trained.

    Attributes:
        triager: It, and nothing of this machine beside it.
        digest: Of its bundle.
        seen: What it was given to learn from.
    """

    triager: Triager
    digest: str
    seen: Seen

    @classmethod
    def of(cls, path: Path | None, log: Log) -> Champion | None:
        """Load the champion from its folder; None where there is none, or none that can be asked, which is told."""
        if path is None:
            return None
        try:
            seen = Seen.by(path)
            if seen is None:
                log("the champion is not asked: an older version made it, and it cannot tell what it has seen")
                return None
            bundle = load_bundle(path)
        except BundleError as error:
            log(f"the champion is not asked: {error}")
            return None
        return cls(Triager(bundle), bundle.digest, seen)

    def answers(
        self, rows: Sequence[LabelledTicket], switched_off: frozenset[str] = frozenset()
    ) -> tuple[dict[str, bytes], dict[str, Any]]:
        """Put tickets to the champion, those left out that are like some it was given.

        Each side is judged in the words of its own policy: a path whose last level the challenger is the first to learn
        is still right for the champion at the level that it has.

        Args:
            rows: What was set aside in the training of the challenger, in the words of that one's policy.
            switched_off: Roles that no column plays there.

        Returns:
            Files for the challenger's bundle, and facts for its manifest.
        """
        unseen = [row for row, new in zip(rows, self.seen.lacks(rows), strict=True) if new and row.weight > 0]
        facts = {FACTS: {"digest": self.digest, "asked": len(unseen), "judged": all(row.judged for row in unseen)}}
        if not unseen:
            return {}, facts
        own = _in_own_words(self.triager.policy, unseen, switched_off)
        found = ask(self.triager, own)
        if not found.targets:
            return {}, {FACTS: {"digest": self.digest, "asked": 0}}
        record = record_of(self.triager, found, measure(self.triager, found))
        kept = [
            replace(fact, digest=short(row_digest(unseen[int(row.place)])))
            for fact, row in zip(record.facts, own, strict=True)
        ]
        return {FILE: json_bytes(replace(record, facts=kept).to_document())}, facts


def _in_own_words(policy: Policy, rows: Sequence[LabelledTicket], switched_off: frozenset[str]) -> list[LabelledTicket]:
    """Return rows with the labels that a policy makes of what was read, each with its number among them as its place.

    Targets that none of the rows had a label of are left out: nobody else is asked about them.
    """
    targets = targets_in(rows)
    read = [replace(row, place=str(number)) for number, row in enumerate(as_written(rows))]
    own = in_words_of(policy, Dataset(read, targets, digest="", switched_off=switched_off))
    return [
        replace(row, labels={target: label for target, label in row.labels.items() if target in targets}) for row in own
    ]


def marked_by_its_teachers(challenger: Path) -> bool:
    """Say whether what a challenger is compared on are the labels that it was taught in the service, and none other.

    Raises:
        BundleError: If the bundle is absent or altered.
    """
    facts = read_manifest(challenger).get(FACTS, {})
    return bool(facts.get("asked") and facts.get("judged"))


def answers_kept(challenger: Path, champion: Path) -> Record | None:
    """Return what a champion answered in the training of a challenger; None where that one was not asked there.

    Raises:
        BundleError: If either bundle is absent or altered.
    """
    manifest = read_manifest(challenger)
    if manifest.get(FACTS, {}).get("digest") != read_manifest(champion)["digest"] or FILE not in manifest["files"]:
        return None
    return Record.from_document(json.loads(audit(challenger, manifest)[FILE]))


def unseen_by(rows: Sequence[LabelledTicket], paths: Sequence[Path], triagers: Sequence[Triager]) -> NDArray[np.bool_]:
    """Say which tickets none of some bundles was given, by their texts; by their ids for bundles of older versions."""
    unseen = np.ones(len(rows), dtype=bool)
    for path, triager in zip(paths, triagers, strict=True):
        seen = Seen.by(path)
        if seen is not None:
            unseen &= seen.lacks(rows)
        elif isinstance(triager.bundle, Bundle):
            learned = set(triager.bundle.model.history.ids) - {""}
            unseen &= np.array([row.ticket.id not in learned for row in rows], dtype=bool)
    return unseen
