"""The local model store: `models/NAME/VERSION/` with one file for each alias, swapped atomically."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.atomic_write import atomic
from models.home import DEFAULT_MODEL, triage_home
from triage.errors import AliasUnreadable, BundleNotFound, InvalidRequest
from triage.files.regular_file import read_regular_file

CHAMPION = "champion"
CHALLENGER = "challenger"
"""The alias of a version that was compared with the champion, held up, and waits to be promoted."""
MAX_ALIAS_BYTES = 4 << 20
"""A history of some 30,000 promotions; what is larger is no alias file."""
_WRITING = "aliases"
"""What a turn is for that reads an alias file and writes it."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class AliasEntry:
    """One entry of an alias's history: which version it pointed to, since when, with what manifest digest."""

    version: str
    since: str
    digest: str


@dataclass(frozen=True)
class LocalModelStore:
    """The versions and aliases of one model name under `home`."""

    home: Path
    name: str = DEFAULT_MODEL

    @classmethod
    def of(cls, name: str = DEFAULT_MODEL) -> LocalModelStore:
        """Return the store of a model name under `TRIAGE_HOME`."""
        return cls(triage_home(), _checked(name, "model name"))

    @property
    def root(self) -> Path:
        """Directory of this model's versions."""
        return self.home / "models" / self.name

    def path(self, version: str) -> Path:
        """Return the directory of a version, whether it exists or not."""
        return self.root / _checked(version, "version")

    def versions(self) -> list[str]:
        """List the versions in the store, oldest first."""
        found = (path.parent for path in self.root.glob("*/manifest.json"))
        return sorted(
            (path.name for path in found),
            key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name),
        )

    def add(self, bundle: Path, version: str) -> Path:
        """Copy a bundle into the store; it appears whole or not at all. A version already there is left as it is."""
        path = self.path(version)
        if path.exists():
            return path
        self.root.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".arriving-", dir=self.root))
        try:
            shutil.copytree(bundle, draft / "bundle")
            os.replace(draft / "bundle", path)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return path

    def aliases(self) -> dict[str, AliasEntry]:
        """Return every alias and what it points to now."""
        return {path.stem: self.history(path.stem)[-1] for path in sorted(self.root.glob("*.alias"))}

    def history(self, alias: str) -> list[AliasEntry]:
        """Return what an alias has pointed to, oldest first; empty where the alias does not exist.

        Raises:
            AliasUnreadable: If the alias file is damaged, or is no plain file.
        """
        file = self._alias_file(alias)
        try:
            rows = json.loads(read_regular_file(file, MAX_ALIAS_BYTES))
            entries = [AliasEntry(**row) for row in rows]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise _unreadable(file, self.name, alias) from error
        if not entries or not all(_is_sound(entry) for entry in entries):
            raise _unreadable(file, self.name, alias)
        return entries

    def resolve(self, alias: str) -> Path:
        """Return the bundle directory that an alias points to.

        Raises:
            BundleNotFound: If there is no such alias or its version is gone.
        """
        history = self.history(alias)
        if not history:
            known = ", ".join(self.aliases()) or "none"
            raise BundleNotFound(
                f"no alias {alias!r} of model {self.name!r} under {self.root}: known are {known}; "
                "triage promote sets one"
            )
        return self.path(history[-1].version)

    @contextmanager
    def turn(self, what: str = "promotion") -> Iterator[None]:
        """Let one at a time, of all processes and threads of this machine, look at aliases and change them.

        Others wait, so nothing that takes long belongs in a turn: a rollback must not wait for a comparison. A turn for
        one thing may be taken within a turn for another one, and not within one for the same.

        Args:
            what: What it is a turn for.
        """
        if not self.root.is_dir():  # there is nothing to change yet
            yield
            return
        with (self.root / f".{what}.lock").open("ab") as lock:  # closing it lets the next one in
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def point(self, alias: str, version: str, digest: str, *, before: tuple[str, str] | None = None) -> None:
        """Point an alias to a version in the store, in one atomic step, remembering where it pointed before.

        Args:
            alias: The alias.
            version: What it points to then.
            digest: Of that version's manifest.
            before: Version and digest of what served before where that is not what the alias pointed to on this
                machine, such as a version that was promoted on another one: a rollback goes back to it.
        """
        if not (self.path(version) / "manifest.json").is_file():
            raise BundleNotFound(
                f"no version {version!r} of model {self.name!r} under {self.root}: "
                f"in the store are {', '.join(self.versions()) or 'none'}"
            )
        since = datetime.now(UTC).isoformat(timespec="seconds")
        new = [AliasEntry(number, since, of) for number, of in (*([before] if before else []), (version, digest))]
        with self.turn(_WRITING):
            self._write(alias, [*self.history(alias), *new])

    def rollback(self, alias: str) -> AliasEntry:
        """Point an alias to what it pointed to before and return that.

        Raises:
            InvalidRequest: If it never pointed to anything else.
        """
        with self.turn(_WRITING):
            history = self.history(alias)
            if len(history) < 2:
                raise InvalidRequest(
                    f"alias {alias!r} of {self.name!r} has no earlier version to go back to; promote one first"
                )
            self._write(alias, history[:-1])
        return history[-2]

    def keep_comparison(self, version: str, document: Mapping[str, Any]) -> None:
        """Keep how a version compared with the one that served, beside the versions; a later comparison replaces it."""
        with atomic(self._comparison_file(version)) as draft:
            draft.write_text(json.dumps(document, indent=1, allow_nan=False), "utf-8")

    def comparison(self, version: str) -> dict[str, Any] | None:
        """Return how a version compared with the one that served; None where that was not kept, or cannot be read."""
        try:
            document = json.loads(read_regular_file(self._comparison_file(version), MAX_ALIAS_BYTES))
        except (OSError, ValueError, RecursionError):
            return None
        return document if isinstance(document, dict) else None

    def _comparison_file(self, version: str) -> Path:
        return self.root / f"{_checked(version, 'version')}.comparison.json"

    def _alias_file(self, alias: str) -> Path:
        return self.root / f"{_checked(alias, 'alias')}.alias"

    def _write(self, alias: str, history: list[AliasEntry]) -> None:
        with atomic(self._alias_file(alias)) as draft:
            draft.write_text(json.dumps([vars(entry) for entry in history], indent=1), "utf-8")


def parse_reference(reference: str) -> tuple[str, str]:
    """Split `NAME@ALIAS`.

    Example:
        >>> parse_reference("helpdesk-triage@champion")
        ('helpdesk-triage', 'champion')
    """
    name, at, alias = reference.partition("@")
    if not at:
        raise InvalidRequest(f"{reference!r} is not NAME@ALIAS: write for example {DEFAULT_MODEL}@{CHAMPION}")
    return _checked(name, "model name"), _checked(alias, "alias")


def _is_sound(entry: AliasEntry) -> bool:
    """Say whether an entry of an alias file has text in every field, and a version that can be a folder's name."""
    return all(isinstance(value, str) for value in vars(entry).values()) and bool(_NAME.fullmatch(entry.version))


def _unreadable(file: Path, name: str, alias: str) -> AliasUnreadable:
    return AliasUnreadable(
        f"the alias file {str(file)!r} is damaged: remove it and point the alias anew with "
        f"triage promote {name} VERSION --alias {alias}, or restore it from a backup"
    )


def _checked(text: str, what: str) -> str:
    if not _NAME.fullmatch(text):
        raise InvalidRequest(
            f"{what} {text!r} is not usable: letters, digits, '.', '_' and '-' only, up to 100; rename it"
        )
    return text
