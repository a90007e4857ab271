"""Public data sets to measure on: fetched at a stated commit, checked by digest where one is known, licence shown."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import pooch

from models.atomic_write import check_writable, write_text
from models.home import triage_home
from triage.errors import InvalidDataset, InvalidRequest

_RAW = "https://raw.githubusercontent.com"
_TIMEOUT_S = 30.0
_MOST_BYTES = 512 << 20  # ten times the largest set: an archive that unpacks to more is not one of them
pooch.get_logger().setLevel("WARNING")  # the verb says what was fetched


@dataclass(frozen=True)
class Part:
    """One file of a data set: its path below the base address, and the SHA-256 it must have (None: not known)."""

    path: str
    sha256: str | None


@dataclass(frozen=True)
class PublicSet:
    """A public data set.

    Attributes:
        name: What it is fetched by.
        base: Address of the commit's files.
        parts: The files needed.
        licence: As its authors state it.
        cite: Where it comes from.
        convert: Turns the files, by path, into rows.
    """

    name: str
    base: str
    parts: tuple[Part, ...]
    licence: str
    cite: str
    convert: Callable[[dict[str, bytes]], Iterator[dict[str, str]]]


@dataclass(frozen=True)
class Fetched:
    """What was fetched: the file written, its rows, the digest of each original, and which were not checked by it."""

    out: Path
    rows: int
    licence: str
    cite: str
    digests: dict[str, str]
    unchecked: list[str]


def fetch(name: str, out: Path, *, url: str | None = None, stated: Mapping[str, str] = MappingProxyType({})) -> Fetched:
    """Fetch a public data set and write it as JSONL with the columns `id`, `text`, `category`, `split`.

    Args:
        name: One of `SETS`.
        out: File to write; it appears whole or not at all.
        url: Another place that holds the same files, such as a mirror.
        stated: SHA-256 by path, for files whose digest is not known here.

    Raises:
        InvalidRequest: If the name is unknown, or the server does not answer, or a digest is stated for a file that
            needs none.
        InvalidDataset: If a file is not the one that is expected.
    """
    if name not in SETS:
        raise InvalidRequest(f"no public data set {name!r}: known are {', '.join(SETS)}")
    check_writable(out)
    chosen = _with_digests(SETS[name], stated)
    base = (url or chosen.base).rstrip("/")
    files = {part.path: _download(f"{base}/{part.path}", part) for part in chosen.parts}
    try:
        rows = list(chosen.convert(files))
    except (KeyError, ValueError, TypeError, StopIteration, zipfile.BadZipFile, csv.Error) as error:
        raise InvalidDataset(
            f"{name} has another form than expected: {error}; name a mirror of {chosen.base}"
        ) from error
    if not rows:
        raise InvalidDataset(f"{name} has no rows; name a mirror of {chosen.base}")
    write_text(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    digests = {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}
    unchecked = [part.path for part in chosen.parts if part.sha256 is None]
    return Fetched(out, len(rows), licence=chosen.licence, cite=chosen.cite, digests=digests, unchecked=unchecked)


def _with_digests(chosen: PublicSet, stated: Mapping[str, str]) -> PublicSet:
    """Return a data set whose files of unknown digest must have the stated ones."""
    open_to = [part.path for part in chosen.parts if part.sha256 is None]
    for path in stated:
        if path not in open_to:
            known = f"those that need one are {', '.join(open_to)}" if open_to else "those of all its files are known"
            raise InvalidRequest(f"{chosen.name} takes no digest for {path!r}: {known}")
    parts = tuple(replace(part, sha256=part.sha256 or stated.get(part.path)) for part in chosen.parts)
    return replace(chosen, parts=parts)


def _download(address: str, part: Part) -> bytes:
    downloader = pooch.HTTPDownloader(timeout=_TIMEOUT_S)
    try:
        path = pooch.retrieve(address, part.sha256, path=triage_home() / "cache" / "public", downloader=downloader)
    except ValueError as error:
        raise InvalidDataset(
            f"{address} is not the file expected: its SHA-256 is not {part.sha256}; nothing was written"
        ) from error
    except OSError as error:  # those of requests are OSErrors, too
        raise InvalidRequest(f"{address} cannot be fetched: {error}; pass --url of a mirror") from error
    return Path(path).read_bytes()


def _clinc150(files: dict[str, bytes]) -> Iterator[dict[str, str]]:
    splits = json.loads(files["data/data_full.json"])
    number = 0
    for split in ("train", "val", "test", "oos_train", "oos_val", "oos_test"):
        for text, intent in splits[split]:
            number += 1
            scope = "oos" if split.startswith("oos") else "in"
            yield {"id": f"C{number:05d}", "text": text, "category": intent, "split": split, "scope": scope}


def _banking77(files: dict[str, bytes]) -> Iterator[dict[str, str]]:
    number = 0
    for split in ("train", "test"):
        for row in csv.DictReader(io.StringIO(files[f"banking_data/{split}.csv"].decode("utf-8"))):
            number += 1
            yield {"id": f"B{number:05d}", "text": row["text"], "category": row["category"], "split": split}


def _endava(files: dict[str, bytes]) -> Iterator[dict[str, str]]:
    number = 0
    for name, content in files.items():
        for row in csv.DictReader(io.StringIO(_csv_in(content).decode("utf-8-sig"))):
            cells = {(key or "").strip().casefold(): value for key, value in row.items() if isinstance(value, str)}
            text = cells.get("document") or cells.get("text") or cells.get("body")
            label = cells.get("topic_group") or cells.get("category") or cells.get("label")
            if text is None or label is None:
                raise ValueError(f"{name} has neither Document and Topic_group nor text and category")
            number += 1
            split = "test" if "test" in name else "train"
            yield {"id": f"E{number:05d}", "text": text, "category": label, "split": split}


def _csv_in(content: bytes) -> bytes:
    """Return the first CSV of a zip archive; anything else is the CSV itself."""
    if not content.startswith(b"PK"):
        return content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".csv") and not name.startswith("__MACOSX"))
        if archive.getinfo(name).file_size > _MOST_BYTES:
            raise ValueError(f"{name} unpacks to more than {_MOST_BYTES >> 20} MiB")
        return archive.read(name)


SETS = {
    "clinc150": PublicSet(
        "clinc150",
        base=f"{_RAW}/clinc/oos-eval/828f8093932c8fe6ca7936c3d2e52903b1c523de",
        parts=(Part("data/data_full.json", "36923c3705a59e08fe9c3883d8bc2dd966ef93e22cb78ac41171782a698d56e0"),),
        licence="CC BY 3.0",
        cite="Larson et al., An Evaluation Dataset for Intent Classification and Out-of-Scope Prediction, EMNLP 2019",
        convert=_clinc150,
    ),
    "banking77": PublicSet(
        "banking77",
        base=f"{_RAW}/PolyAI-LDN/task-specific-datasets/57ec275d8078af65b7731c2a98be812d844a6d6b",
        parts=(
            Part("banking_data/train.csv", "b06e26ac675513959a63135f11b94ea7786ed02da65db93a5650d8838cbc664b"),
            Part("banking_data/test.csv", "d12d6e3bc4c3103966ae786dc435913c0c563dfa328f5a3646d0e62cfeeb474d"),
        ),
        licence="CC BY 4.0",
        cite="Casanueva et al., Efficient Intent Detection with Dual Sentence Encoders, NLP4ConvAI 2020",
        convert=_banking77,
    ),
    "endava": PublicSet(
        "endava",
        base=f"{_RAW}/Lunalykaya/IT-Service-Ticket-Classification/8603bdc49c1b56ec881e4bb954a2d0905a749e2f",
        parts=(Part("data/all_tickets_processed_improved_v3.csv.zip", None), Part("data/test_data.csv", None)),
        licence="CC0 1.0 as stated",
        cite="IT Service Ticket Classification, eight topics, anonymised mails of an IT company",
        convert=_endava,
    ),
}
"""The data sets that can be fetched."""
