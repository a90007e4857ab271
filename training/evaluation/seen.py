"""What a bundle was given to learn from: fingerprints of texts and the newest date, by which later tickets are new."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle.codecs import npy_array, npy_bytes
from models.bundle.manifest import audit, read_manifest
from training.data.dataset import LabelledTicket

FILE = "seen.npy"
"""Name of the fingerprints in a bundle."""

_NEWEST = "newest"

_VARIABLE = re.compile(r"\S*[\d@]\S*|\w+(?:[.-]\w+)*\.[a-z]{2,}\b")
_WORD = re.compile(r"\w+|#")


@dataclass(frozen=True)
class Seen:
    """Which tickets a bundle was given, as far as that can be told without their texts.

    Attributes:
        texts: Fingerprints of their texts, uint64 of shape [n], ascending and each once.
        newest: When the newest of them was opened; None where none has a date.
    """

    texts: NDArray[np.uint64]
    newest: datetime | None = None

    @classmethod
    def of(cls, rows: Sequence[LabelledTicket]) -> Seen:
        """Take down the tickets of a data set."""
        texts = np.unique(np.array([fingerprint(row.ticket.text) for row in rows], dtype=np.uint64))
        return cls(texts, max((moment for row in rows if (moment := _opened(row)) is not None), default=None))

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
        return cls(npy_array(audit(bundle, manifest)[FILE]), datetime.fromisoformat(newest) if newest else None)

    def to_bytes(self) -> bytes:
        """Write the fingerprints as a file of a bundle; the date stands in its manifest."""
        return npy_bytes(self.texts)

    def joined(self, other: Seen) -> Seen:
        """Return what either of two bundles was given."""
        newest = max((moment for moment in (self.newest, other.newest) if moment), default=None)
        return Seen(np.union1d(self.texts, other.texts), newest)

    def lacks(self, rows: Sequence[LabelledTicket]) -> NDArray[np.bool_]:
        """Say of each ticket whether its text is unlike all that were given, bool of shape [n].

        Texts are alike where they differ in digits, hosts, addresses, times, case and punctuation only. The id does
        not count: another desk's export may number its tickets in the same way.
        """
        asked = np.array([fingerprint(row.ticket.text) for row in rows], dtype=np.uint64)
        lacking: NDArray[np.bool_] = ~np.isin(asked, self.texts)
        return lacking

    def new(self, rows: Sequence[LabelledTicket]) -> NDArray[np.bool_]:
        """Say of each ticket whether it came later: opened after the newest one, or a text never given."""
        later = [self.newest is not None and (_opened(row) or self.newest) > self.newest for row in rows]
        new: NDArray[np.bool_] = self.lacks(rows) | np.array(later, dtype=bool)
        return new


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
    words = _WORD.findall(_VARIABLE.sub("#", text.casefold()))
    return int.from_bytes(hashlib.blake2b(" ".join(words).encode(), digest_size=8).digest())


def _opened(row: LabelledTicket) -> datetime | None:
    moment = row.ticket.opened_at
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
