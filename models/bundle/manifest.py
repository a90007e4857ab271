"""The manifest of a bundle: every file with its size and SHA-256, checked before a byte of any of them is parsed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from triage.errors import BundleMismatch, BundleNotFound, BundleTampered, InvalidRequest
from triage.files.regular_file import read_regular_file

FORMAT = 4
"""Version of the layout that is written: since 4 an encoder may have no mask, and neighbours say how they vote."""

_READ_FORMATS = (3, FORMAT)
"""Versions that are read; another one is refused."""

MANIFEST = "manifest.json"
MAX_FILES = 256
"""Files of a bundle: a target has about twenty, so that a dozen targets fit."""

MAX_BYTES = 2 << 30
MAX_MANIFEST_BYTES = 4 << 20
SUFFIXES = (".json", ".npy", ".toml", ".onnx", ".md", ".html", ".png", ".svg", ".txt")
"""What a bundle may hold: none of these formats carries code that a reader of this project would run."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}(?:/[A-Za-z0-9][A-Za-z0-9_.-]{0,79}){0,2}")
_HEX = re.compile(r"[0-9a-f]{64}")

Manifest = dict[str, Any]


def manifest_digest(manifest: Mapping[str, Any]) -> str:
    """Return the digest of a bundle: SHA-256 over everything its manifest says, the digest itself left aside."""
    stated = {key: value for key, value in manifest.items() if key != "digest"}
    return hashlib.sha256(json.dumps(stated, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()).hexdigest()


def write_directory(target: Path, files: Mapping[str, bytes | Path], facts: Mapping[str, Any]) -> Manifest:
    """Write a bundle directory; it appears whole or not at all, and its manifest is written last.

    Args:
        target: Must be absent or empty.
        files: Content by name, or a file to copy.
        facts: What the manifest says beside the list of files.

    Raises:
        InvalidRequest: If the target is occupied or cannot be written.
    """
    refuse_occupied(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=target.parent))
    except OSError as error:
        raise InvalidRequest(
            f"bundle cannot be written to {str(target)!r}: {error.strerror}; choose another --out"
        ) from error
    try:
        manifest = _fill(draft, files, facts)
        draft.chmod(0o755)
        if target.is_dir():
            target.rmdir()
        os.replace(draft, target)
    except OSError as error:
        raise InvalidRequest(
            f"bundle cannot be written to {str(target)!r}: {error.strerror}; make room or choose another --out"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return manifest


def refuse_occupied(target: Path) -> None:
    """Make sure that a bundle can be put somewhere, before the work of making it begins.

    Raises:
        InvalidRequest: If there is a file, a link, or a directory that is not empty, or nothing can be written there.
    """
    if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
        raise InvalidRequest(
            f"{str(target)!r} is occupied: a bundle goes to a place that is absent or empty; choose another --out"
        )
    there = next(parent for parent in target.absolute().parents if parent.exists())
    try:
        Path(tempfile.mkdtemp(prefix=".draft-", dir=there)).rmdir()
    except OSError as error:
        raise InvalidRequest(
            f"bundle cannot be written to {str(target)!r}: {error.strerror}; choose another --out"
        ) from error


def _fill(draft: Path, files: Mapping[str, bytes | Path], facts: Mapping[str, Any]) -> Manifest:
    listed = {}
    for name in sorted(files):
        path = draft / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = files[name]
        if isinstance(content, Path):
            shutil.copyfile(content, path)
        else:
            path.write_bytes(content)
        with path.open("rb+") as stream:
            listed[name] = {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}
            os.fsync(stream.fileno())
    manifest: Manifest = {"format": FORMAT, **facts, "files": listed}
    manifest["digest"] = manifest_digest(manifest)
    with (draft / MANIFEST).open("x", encoding="utf-8") as file:
        json.dump(manifest, file, indent=1, ensure_ascii=False, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    return manifest


def read_manifest(directory: Path, expected_digest: str | None = None) -> Manifest:
    """Read the manifest of a bundle and check that it agrees with itself.

    Args:
        directory: The bundle.
        expected_digest: The digest it must have; None takes any.

    Raises:
        BundleNotFound: If there is no bundle.
        BundleTampered: If the manifest was altered or lists what no bundle holds.
        BundleMismatch: If it has another format than this code reads.
    """
    manifest = _parsed(directory)
    if manifest.get("format") not in _READ_FORMATS:
        raise BundleMismatch(
            f"bundle {directory.name!r} has format {str(manifest.get('format'))[:20]!r}: "
            f"this code reads formats {' and '.join(map(str, _READ_FORMATS))}; train it again"
        )
    _check_listing(directory, manifest)
    if manifest.get("digest") != manifest_digest(manifest):
        raise _tampered(directory, f"{MANIFEST} does not agree with its own digest")
    if expected_digest is not None and manifest["digest"] != expected_digest:
        raise _tampered(directory, f"digest is {manifest['digest'][:12]}, not {expected_digest[:12]}")
    return manifest


def _parsed(directory: Path) -> Manifest:
    if not directory.is_dir():
        raise BundleNotFound(f"no bundle in {str(directory)!r}: not a directory; name one that triage train wrote")
    try:
        manifest = json.loads(read_regular_file(directory / MANIFEST, MAX_MANIFEST_BYTES))
    except FileNotFoundError as error:
        raise BundleNotFound(
            f"no bundle in {str(directory)!r}: it has no {MANIFEST}; name a directory that triage train wrote"
        ) from error
    except OSError as error:
        raise _tampered(directory, f"{MANIFEST} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise _tampered(directory, f"{MANIFEST} is not JSON") from error
    if not isinstance(manifest, dict):
        raise _tampered(directory, f"{MANIFEST} is not a table")
    return manifest


def fingerprint(directory: Path) -> str:
    """Return the SHA-256 of a bundle's manifest as it lies on the disk, by which another bundle in its place is seen.

    Raises:
        BundleNotFound: If there is no manifest, or it is no plain file of a manifest's size.
    """
    try:
        return hashlib.sha256(read_regular_file(directory / MANIFEST, MAX_MANIFEST_BYTES)).hexdigest()
    except OSError as error:
        raise BundleNotFound(
            f"no bundle in {str(directory)!r}: {MANIFEST}: {error.strerror or error}; name a directory that "
            "triage train wrote"
        ) from error


def _check_listing(directory: Path, manifest: Mapping[str, Any]) -> None:
    files = manifest.get("files")
    if not isinstance(files, dict) or not 0 < len(files) <= MAX_FILES:
        raise _tampered(directory, f"{MANIFEST} lists no files, or more than {MAX_FILES}")
    for name, entry in files.items():
        if not _NAME.fullmatch(name) or ".." in name or name == MANIFEST:
            raise _tampered(directory, f"{MANIFEST} lists a name that no bundle has: {name[:80]!r}")
        if PurePosixPath(name).suffix not in SUFFIXES:
            raise _tampered(directory, f"{MANIFEST} lists {name[:80]!r}: only {', '.join(SUFFIXES)} are taken")
        if not isinstance(entry, dict) or not _plausible(entry):
            raise _tampered(directory, f"{MANIFEST} says nothing usable about {name!r}")
    if sum(entry["bytes"] for entry in files.values()) > MAX_BYTES:
        raise _tampered(directory, f"{MANIFEST} lists more than {MAX_BYTES >> 30} GiB")
    if not isinstance(manifest.get("encoder"), dict):
        raise _tampered(directory, f"{MANIFEST} names no encoder")


def _plausible(entry: Mapping[str, Any]) -> bool:
    size, digest = entry.get("bytes"), entry.get("sha256")
    return (
        isinstance(size, int)
        and not isinstance(size, bool)
        and 0 <= size <= MAX_BYTES
        and isinstance(digest, str)
        and bool(_HEX.fullmatch(digest))
    )


def audit(directory: Path, manifest: Mapping[str, Any]) -> dict[str, bytes]:
    """Read exactly the files that a manifest lists and make sure that they are unaltered; nothing is parsed.

    Whoever builds a model from what is returned builds it from the very bytes that were checked.

    Raises:
        BundleTampered: Naming the file that is missing, added, a link, of another size or of other content.
    """
    found = set()
    for folder, folders, names in os.walk(directory):
        for name in [*folders, *names]:
            path = Path(folder) / name
            if path.is_symlink():
                raise _tampered(directory, f"{path.relative_to(directory)} is a link")
        found |= {(Path(folder) / name).relative_to(directory).as_posix() for name in names}
        if len(found) > MAX_FILES + 1:
            raise _tampered(directory, "it holds more files than a bundle has")
    listed = set(manifest["files"])
    for what, odd in (("missing", listed - found), ("not listed in the manifest", found - listed - {MANIFEST})):
        if odd:
            raise _tampered(directory, f"{', '.join(sorted(odd)[:5])} {'is' if len(odd) == 1 else 'are'} {what}")
    return {name: _checked(directory, name, entry) for name, entry in manifest["files"].items()}


def _checked(directory: Path, name: str, entry: Mapping[str, Any]) -> bytes:
    try:
        content = read_regular_file(directory / name, entry["bytes"])
    except (OSError, ValueError) as error:
        raise _tampered(directory, f"{name} is not what the manifest lists") from error
    if len(content) != entry["bytes"] or hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise _tampered(directory, f"{name} is not what the manifest lists")
    return content


def _tampered(directory: Path, what: str) -> BundleTampered:
    return BundleTampered(f"bundle {directory.name!r} is refused: {what}; pull or train it again")
