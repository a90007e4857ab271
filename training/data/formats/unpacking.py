"""Packed exports (.gz, .tar.gz, .zip): unpacked into a file that goes with the source, within bounds."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import tempfile
import weakref
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from triage.errors import InvalidDataset

MAX_BYTES = 4 << 30
"""Largest file that is read, unpacked: some ten million tickets; more is a mistake or an attack."""

_BOMB_RATIO, _BOMB_BYTES = 250, 32 << 20
"""What unpacks to more than 250 times its size is no text (logs reach 50), once it is larger than a small file."""

_CHUNK = 1 << 20


class Unpacked:
    """A folder that is there as long as somebody holds this object."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="triage-unpacked-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)


def check_size(path: Path) -> None:
    """Refuse a file that is larger than any export.

    Raises:
        InvalidDataset: If it is.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise InvalidDataset(f"{path} has {size >> 30} GiB: at most {MAX_BYTES >> 30} are read; export it in parts")


def check_archive(path: Path) -> None:
    """Refuse a ZIP file, or a workbook, which is one, that would unpack to too much.

    Raises:
        InvalidDataset: If it would, or it is no ZIP file.
    """
    with _archive(path) as archive:
        _check_ratio(path, sum(entry.file_size for entry in archive.infolist()))


def unpack(path: Path, known: frozenset[str]) -> tuple[Path, Unpacked]:
    """Unpack the one data file in a .gz, .tar.gz or .zip file.

    Args:
        path: The packed file.
        known: Endings of data files.

    Returns:
        The file, and what keeps it there.

    Raises:
        InvalidDataset: If it cannot be unpacked, holds several data files or none, or unpacks to too much.
    """
    held = Unpacked()
    if zipfile.is_zipfile(path):
        with _archive(path) as archive:
            names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
            entry = archive.getinfo(_only(path, names, known))
            _check_ratio(path, entry.file_size)
            target = held.folder / PurePosixPath(entry.filename).name
            with archive.open(entry) as packed:
                _copy(path, packed, target)
        return target, held
    inner = PurePosixPath(path.stem)
    target = held.folder / (inner.name if inner.suffix.lower() in known else f"{inner.name}.csv")
    try:
        with gzip.open(path) as packed:
            _copy(path, packed, target)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InvalidDataset(f"{path} cannot be unpacked: {error}; export it again") from error
    return (_out_of_tar(path, target, held, known) if tarfile.is_tarfile(target) else target), held


def _out_of_tar(path: Path, tar: Path, held: Unpacked, known: frozenset[str]) -> Path:
    """Unpack the one data file of a tape archive, which is how whole folders are packed as .gz."""
    try:
        with tarfile.open(tar) as archive:
            name = _only(path, [one.name for one in archive.getmembers() if one.isfile()], known)
            target = held.folder / "inner" / PurePosixPath(name).name
            target.parent.mkdir()
            packed = archive.extractfile(name)
            assert packed is not None  # it is a file
            _copy(path, packed, target)
    except (tarfile.TarError, EOFError) as error:
        raise InvalidDataset(f"{path} cannot be unpacked: {error}; export it again") from error
    tar.unlink()
    return target


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError) as error:
        why = "it is protected by a password" if "password" in str(error) else str(error)
        raise InvalidDataset(f"{path} cannot be unpacked: {why}; export it again") from error


def _only(path: Path, names: Sequence[str], known: frozenset[str]) -> str:
    """Return the one of the packed files that holds data."""
    data = [
        name
        for name in names
        if PurePosixPath(name).suffix.lower() in known
        and not name.startswith("__MACOSX")
        and not PurePosixPath(name).name.startswith(".")
    ]
    if len(data) == 1:
        return data[0]
    held = ", ".join(data[:10])
    raise InvalidDataset(
        f"{path} holds {len(data)} data files{f' ({held})' if held else ''}: unpack it and name those to be read"
    )


def _check_ratio(path: Path, unpacked: int) -> None:
    packed = max(1, path.stat().st_size)
    if unpacked > MAX_BYTES or (unpacked > _BOMB_BYTES and unpacked > _BOMB_RATIO * packed):
        raise InvalidDataset(
            f"{path} unpacks to more than {_BOMB_RATIO} times its size or {MAX_BYTES >> 30} GiB: that is no export; "
            "nothing was unpacked"
        )


def _copy(path: Path, packed: IO[bytes] | gzip.GzipFile, target: Path) -> None:
    size = 0
    with target.open("wb") as file:
        while chunk := packed.read(_CHUNK):
            size += len(chunk)
            _check_ratio(path, size)
            file.write(chunk)
