"""Counts of one process in a file that others read: where there is no room for it, they stay in this process alone."""

from __future__ import annotations

import os
import stat
import struct
import time
from collections.abc import Mapping
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict

_ROOM = 1 << 16
"""Size of a new file in bytes, as the library takes it."""
_MOST_BESIDE_A_NAME = 28
"""Bytes of a value beside its name, at most: the name's length, the filling up to eight bytes, value and time."""
_LOOK_S = 5.0
"""How long it is not looked whether the file is still there, and whether there is room again."""
Values = Mapping[str, tuple[float, float]]


class SharedValues(MmapedDict):
    """What the library maps into memory, in a file that has its place on the disk before it is mapped.

    By itself the library maps files with holes, and a full disk ends the process at the first write to one. Here every
    part is written before it is mapped. A file that was cleaned away is written anew.

    Args:
        filename: The file.
        read_mode: Not used; the library has it.
    """

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        self._path = Path(filename)
        self._is_open = False
        self._positions: dict[str, int] = {}
        self._alone: dict[str, tuple[float, float]] = {}
        self._look_at = self._again_at = 0.0

    def read_value(self, key: str) -> tuple[float, float]:
        """Return a value and its time; zeros for one that is new."""
        if self._is_shared(key):
            value, at = super().read_value(key)  # type: ignore[no-untyped-call]
            return float(value), float(at)
        return self._alone.get(key, (0.0, 0.0))

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        """Keep a value: in the file, or in this process until there is room in it."""
        if self._is_shared(key):
            super().write_value(key, value, timestamp)  # type: ignore[no-untyped-call]
            self._alone.pop(key, None)
        else:
            self._alone[key] = value, timestamp

    def close(self) -> None:
        """Let go of the file; what is written later opens it again."""
        if self._is_open:
            super().close()  # type: ignore[no-untyped-call]
        self._is_open, self._positions = False, {}

    def _is_shared(self, key: str) -> bool:
        """Say whether a value has its place in the file; it gets one where there is room."""
        now = time.monotonic()
        try:
            if now >= self._look_at:
                self._look_at = now + _LOOK_S
                self._put_back()
            if key not in self._positions and now >= self._again_at:
                self._make_room(len(key.encode()))
                super()._init_value(key)  # type: ignore[no-untyped-call]
        except OSError:
            self._again_at = now + _LOOK_S
        return key in self._positions

    def _put_back(self) -> None:
        if not self._path.exists():
            self._open(bytes(self._m) if self._is_open else bytes(_ROOM))

    def _make_room(self, length: int) -> None:
        if not self._is_open:
            self._open(bytes(_ROOM))
        capacity = self._capacity
        while self._used + length + _MOST_BESIDE_A_NAME > capacity:
            capacity *= 2
        if capacity > self._capacity:
            with self._path.open("r+b") as file:
                file.seek(self._capacity)
                file.write(bytes(capacity - self._capacity))

    def _open(self, content: bytes) -> None:
        """Write the file as a whole, so that whoever reads it finds all or nothing, and map it."""
        if not is_own(self._path.parent):
            raise NotADirectoryError(self._path.parent)
        write_whole(self._path, content)
        self.close()
        super().__init__(str(self._path))  # type: ignore[no-untyped-call]
        self._is_open = True


def is_own(folder: Path) -> bool:
    """Say whether a path is a directory of this user, and no link to one."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears with all of its content, or not at all."""
    draft = path.with_suffix(".draft")
    try:
        draft.write_bytes(content)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def read_values(path: Path) -> Values:
    """Read a file of values; none where there is no file."""
    try:
        found = MmapedDict.read_all_values_from_file(str(path))  # type: ignore[no-untyped-call]
        return {key: (value, at) for key, value, at, _ in found}
    except FileNotFoundError:
        return {}


def written_values(values: Values) -> bytes:
    """Write values as the library reads them."""
    parts = []
    for key, (value, at) in values.items():
        name = key.encode()
        padded = name + b" " * (8 - (len(name) + 4) % 8)
        parts.append(struct.pack("i", len(name)) + padded + struct.pack("dd", value, at))
    entries = b"".join(parts)
    return struct.pack("ii", len(entries) + 8, 0) + entries
