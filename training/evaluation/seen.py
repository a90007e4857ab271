"""What a bundle was given to learn from: fingerprints of texts and the newest date, by which later tickets are new."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle.codecs import npy_array, npy_bytes
from models.bundle.manifest import audit, read_manifest
from training.data.dataset import LabelledTicket
from training.data.duplicates import SIMILAR, masked, shingles_of, words_told_apart

FILE = "seen.npy"
"""Name of the fingerprints in a bundle."""

SKETCHES = "seen-sketches.npy"
"""Name of the sketches in a bundle: the least hashes of the word 3-grams of each text, to tell near-duplicates."""

_KEPT, _NONE = 16, np.uint32(0xFFFFFFFF)
"""Hashes in a sketch, and what stands where a text has fewer. The share that two have in common tells the Jaccard
similarity to 0.1 (one standard error), and exactly where texts have no more."""

_NEWEST = "newest"


@dataclass(frozen=True)
class Seen:
    """Which tickets a bundle was given, as far as that can be told without their texts.

    Attributes:
        texts: Fingerprints of their texts, uint64 of shape [n], ascending and each once.
        newest: When the newest of them was opened; None where none has a date.
        sketches: What their near-duplicates are known by, uint32 of shape [m, 16], each once; of shape [0, 16] where an
            older version took them down.
    """

    texts: NDArray[np.uint64]
    newest: datetime | None = None
    sketches: NDArray[np.uint32] = field(default_factory=lambda: np.zeros((0, _KEPT), dtype=np.uint32))

    @classmethod
    def of(cls, rows: Sequence[LabelledTicket]) -> Seen:
        """Take down the tickets of a data set."""
        by_text = {fingerprint(row.ticket.text): row.ticket.text for row in rows}
        newest = max((moment for row in rows if (moment := _opened(row)) is not None), default=None)
        sketches = np.array([_sketch(text) for text in by_text.values()], dtype=np.uint32).reshape(-1, _KEPT)
        return cls(np.array(sorted(by_text), dtype=np.uint64), newest, np.unique(sketches, axis=0))

    @classmethod
    def by(cls, bundle: Path) -> Seen | None:
        """Return what a bundle was given; None for one that keeps no fingerprints, because an older version made it.

        Raises:
            BundleError: If the bundle is absent or altered.
        """
        manifest = read_manifest(bundle)
        if FILE not in manifest["files"]:
            return None
        newest = manifest.get("data", {}).get(_NEWEST)
        files = audit(bundle, manifest)
        found = cls(npy_array(files[FILE]), datetime.fromisoformat(newest) if newest else None)
        return replace(found, sketches=npy_array(files[SKETCHES])) if SKETCHES in files else found

    def files(self) -> dict[str, bytes]:
        """Write what is known of the texts as files of a bundle, by name; the date stands in its manifest."""
        return {FILE: npy_bytes(self.texts), SKETCHES: npy_bytes(self.sketches)}

    def joined(self, other: Seen) -> Seen:
        """Return what either of two bundles was given."""
        newest = max((moment for moment in (self.newest, other.newest) if moment), default=None)
        sketches = np.unique(np.concatenate([self.sketches, other.sketches]), axis=0)
        return Seen(np.union1d(self.texts, other.texts), newest, sketches)

    def lacks(self, rows: Sequence[LabelledTicket]) -> NDArray[np.bool_]:
        """Say of each ticket whether its text is unlike all that were given, bool of shape [n].

        Texts are alike where they differ in digits, hosts, addresses, times, case and punctuation only, or are
        near-duplicates. The id does not count: another desk's export may number its tickets in the same way.
        """
        asked = np.array([fingerprint(row.ticket.text) for row in rows], dtype=np.uint64)
        lacking: NDArray[np.bool_] = ~np.isin(asked, self.texts)
        near = _NearDuplicates(self.sketches)
        for place in np.flatnonzero(lacking).tolist():
            lacking[place] = not near.has(_sketch(rows[place].ticket.text))
        return lacking

    def new(self, rows: Sequence[LabelledTicket]) -> NDArray[np.bool_]:
        """Say of each ticket whether it came later: opened after the newest one, or a text never given."""
        later = [self.newest is not None and (_opened(row) or self.newest) > self.newest for row in rows]
        new: NDArray[np.bool_] = self.lacks(rows) | np.array(later, dtype=bool)
        return new


class _NearDuplicates:
    """Sketches by each of their hashes, to find those that have many in common with another one."""

    def __init__(self, sketches: NDArray[np.uint32]) -> None:
        self._sketches = sketches
        hashes = sketches.ravel()
        owners = np.repeat(np.arange(len(sketches)), _KEPT)[hashes != _NONE]
        hashes = hashes[hashes != _NONE]
        order = np.argsort(hashes, kind="stable")
        self._hashes, self._owners = hashes[order], owners[order]

    def has(self, asked: NDArray[np.uint32]) -> bool:
        """Say whether one of the sketches is that of a near-duplicate."""
        own = asked[asked != _NONE]
        first, last = (np.searchsorted(self._hashes, own, side=side) for side in ("left", "right"))
        owners = [self._owners[start:end] for start, end in zip(first, last, strict=True) if end > start]
        if not owners:
            return False
        found, common = np.unique(np.concatenate(owners), return_counts=True)
        candidates = found[common >= SIMILAR / 2 * len(own)]
        return any(_similarity(own, self._sketches[place]) >= SIMILAR for place in candidates)


def _similarity(own: NDArray[np.uint32], other: NDArray[np.uint32]) -> float:
    """Return the Jaccard similarity of two texts by the least hashes of both together (Broder 1997), in [0, 1]."""
    other = other[other != _NONE]
    least = np.union1d(own, other)
    if max(len(own), len(other)) == _KEPT:  # else all hashes of both are known
        least = least[:_KEPT]
    return float(np.isin(np.intersect1d(own, other), least).sum() / len(least))


def _sketch(text: str) -> NDArray[np.uint32]:
    """Return the least 16 hashes of the word 3-grams of a text, ascending; uint32 of shape [16]."""
    hashes = np.unique((shingles_of(masked(text)) >> np.uint64(32)).astype(np.uint32))[:_KEPT]
    return np.pad(hashes, (0, _KEPT - len(hashes)), constant_values=_NONE)


def with_newest(facts: Mapping[str, Any], seen: Seen | None) -> dict[str, Any]:
    """Return the facts of a manifest with the date of the newest ticket among those of the data."""
    newest = seen.newest.isoformat() if seen is not None and seen.newest is not None else None
    return {**facts, "data": {**facts["data"], _NEWEST: newest}}


def fingerprint(text: str) -> int:
    """Return 64 bits that are equal for texts which differ in digits, hosts, times, case and punctuation only.

    Example:
        >>> fingerprint("Disk of srv-01 full at 10:31!") == fingerprint("disk of SRV-17 full at 23:05")
        True
    """
    return int.from_bytes(hashlib.blake2b(" ".join(words_told_apart(text)).encode(), digest_size=8).digest())


def _opened(row: LabelledTicket) -> datetime | None:
    moment = row.ticket.opened_at
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
