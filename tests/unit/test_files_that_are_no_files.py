"""What lies where a bundle or an alias is looked for, and is no plain file, is refused at once and never waited for."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from pathlib import Path

import pytest

from api.helpdesks.config import load_helpdesks
from api.mail.config import load_mailboxes
from models.bundle.manifest import MANIFEST, MAX_MANIFEST_BYTES, fingerprint, read_manifest
from models.local_store import LocalModelStore
from triage.errors import AliasUnreadable, BundleError, BundleNotFound, InvalidPolicy, InvalidRequest, InvalidRules
from triage.files.regular_file import MOST_TEXT_BYTES, read_regular_file, read_stated_text
from triage.policy import read_policy
from triage.rules import read_rules

pytestmark = pytest.mark.timeout(20)  # the faults that these tests are about wait for ever


def pipe(path: Path) -> None:
    os.mkfifo(path)


def listening_socket(path: Path) -> None:
    with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{short}/socket")  # a socket's name holds 107 bytes, fewer than some folders of a test have
        os.rename(f"{short}/socket", path)


def link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def sparse_file(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def folder(path: Path) -> None:
    path.mkdir()


ODD = [pipe, listening_socket, link_to_a_device, sparse_file, folder]


@pytest.mark.parametrize("make", ODD)
def test_only_a_plain_file_of_a_stated_size_is_read(tmp_path: Path, make: object) -> None:
    make(tmp_path / "odd")  # type: ignore[operator]
    with pytest.raises(OSError):
        read_regular_file(tmp_path / "odd", 1000)


def test_a_plain_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"x" * 1000)
    assert read_regular_file(tmp_path / "plain", 1000) == b"x" * 1000
    with pytest.raises(OSError, match="more than 999"):
        read_regular_file(tmp_path / "plain", 999)


READ_BY_NAME = {
    "policy": (read_policy, InvalidPolicy),
    "rules": (read_rules, InvalidRules),
    "helpdesks": (load_helpdesks, InvalidRequest),
    "mailboxes": (load_mailboxes, InvalidRequest),
}


@pytest.mark.parametrize("kind", READ_BY_NAME)
@pytest.mark.parametrize("make", ODD)
def test_an_odd_file_that_an_operator_names_is_refused_in_one_line(tmp_path: Path, make: object, kind: str) -> None:
    make(tmp_path / "odd.toml")  # type: ignore[operator]
    read, refusal = READ_BY_NAME[kind]
    with pytest.raises(refusal, match=r"odd\.toml.*cannot be read") as refused:
        read(tmp_path / "odd.toml")  # type: ignore[operator]
    assert "\n" not in str(refused.value)


def test_a_file_that_an_operator_names_may_be_a_link_and_of_any_kind_of_lines(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "policy.toml").write_bytes(b"\xef\xbb\xbfa\r\nb\rc")
    (tmp_path / "policy.toml").symlink_to("..data/policy.toml")  # as Kubernetes mounts a ConfigMap
    assert read_stated_text(tmp_path / "policy.toml") == "a\nb\nc"
    (tmp_path / "large").write_bytes(b" " * (MOST_TEXT_BYTES + 1))
    with pytest.raises(OSError, match="more than"):
        read_stated_text(tmp_path / "large")


@pytest.mark.parametrize("make", ODD)
def test_an_odd_manifest_is_refused_in_one_line(tmp_path: Path, make: object) -> None:
    make(tmp_path / MANIFEST)  # type: ignore[operator]
    for read in (fingerprint, read_manifest):
        with pytest.raises(BundleError) as refusal:
            read(tmp_path)
        assert "\n" not in str(refusal.value) and MANIFEST in str(refusal.value)


def test_a_manifest_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_bytes(b" " * (MAX_MANIFEST_BYTES + 1))
    with pytest.raises(BundleError, match="more than"):
        read_manifest(tmp_path)


def test_a_missing_manifest_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(BundleNotFound):
        fingerprint(tmp_path)


DAMAGED = {
    "empty": b"",
    "cut short": b'[{"version": "1", "since": "2026',
    "no list": b'{"version": "1"}',
    "no entries": b"[]",
    "a list of numbers": b"[1, 2]",
    "a field too few": b'[{"version": "1", "since": "x"}]',
    "a field too many": b'[{"version": "1", "since": "x", "digest": "y", "more": 1}]',
    "a number for a version": b'[{"version": 1, "since": "x", "digest": "y"}]',
    "a version that leads elsewhere": b'[{"version": "../../etc", "since": "x", "digest": "y"}]',
    "no text": b"\xff\xfe\x00",
    "nested": b"[" * 100_000,
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_alias_file_is_named_with_its_cure(tmp_path: Path, content: bytes) -> None:
    store = LocalModelStore(tmp_path)
    store.root.mkdir(parents=True)
    (store.root / "champion.alias").write_bytes(content)
    for read in (lambda: store.resolve("champion"), store.aliases, lambda: store.rollback("champion")):
        with pytest.raises(AliasUnreadable, match=r"champion\.alias.*remove it.*triage promote"):
            read()


@pytest.mark.parametrize("make", ODD)
def test_an_odd_alias_file_is_refused_too(tmp_path: Path, make: object) -> None:
    store = LocalModelStore(tmp_path)
    store.root.mkdir(parents=True)
    make(store.root / "champion.alias")  # type: ignore[operator]
    with pytest.raises(AliasUnreadable):
        store.resolve("champion")


def test_a_sound_alias_file_is_read(tmp_path: Path) -> None:
    store = LocalModelStore(tmp_path)
    store.root.mkdir(parents=True)
    rows = [{"version": "1", "since": "2026-11-01T00:00:00+00:00", "digest": "ab"}]
    (store.root / "champion.alias").write_text(json.dumps(rows), "utf-8")
    assert store.resolve("champion") == store.root / "1"
