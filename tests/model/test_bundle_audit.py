"""Bundles that are not what a training run wrote: every one is refused, and nothing in it has run."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle  # noqa: TID251  (to write what must never be read)
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundle.bundle import load_bundle
from models.bundle.manifest import MANIFEST, manifest_digest
from training.task import Trained
from triage.errors import BundleError


class Bomb:
    """What an attacker would like to have unpickled: it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.mark),)


def listed(folder: Path, name: str, content: bytes) -> None:
    """Put a file in and make the manifest agree with it: the forgery of someone who knows the format."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    resealed(folder, manifest)


def resealed(folder: Path, manifest: dict[str, object]) -> None:
    manifest["digest"] = manifest_digest(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def pickled(folder: Path) -> bytes:
    return pickle.dumps(Bomb(folder.parent / "mark"))


def object_array(folder: Path) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([Bomb(folder.parent / "mark")], dtype=object), allow_pickle=True)
    return stream.getvalue()


def npy(array: object) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.asarray(array))
    return stream.getvalue()


def skops_archive() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("schema.json", json.dumps({"__class__": "system", "__module__": "posix"}))
    return stream.getvalue()


def edit_manifest(change: Callable[[dict[str, Any]], object], seal: bool = True) -> Callable[[Path], object]:
    def spoil(folder: Path) -> None:
        manifest = json.loads((folder / MANIFEST).read_text())
        change(manifest)
        resealed(folder, manifest) if seal else (folder / MANIFEST).write_text(json.dumps(manifest))

    return spoil


def linked(folder: Path) -> None:
    outside = folder.parent / "outside.json"
    shutil.move(folder / "vectorizer.json", outside)
    (folder / "vectorizer.json").symlink_to(outside)


def linked_folder(folder: Path) -> None:
    (folder.parent / "elsewhere").mkdir()
    (folder / "encoder").symlink_to(folder.parent / "elsewhere", target_is_directory=True)


def piped(folder: Path) -> None:
    (folder / "vectorizer.json").unlink()
    os.mkfifo(folder / "vectorizer.json")


def truncated(folder: Path) -> None:
    content = (folder / "past-tickets-vectors.npy").read_bytes()
    (folder / "past-tickets-vectors.npy").write_bytes(content[: len(content) // 2])


def negated(folder: Path) -> None:
    name = next(path.name for path in folder.glob("head-*-stacking-weights.npy"))
    listed(folder, name, npy(-np.load(folder / name)))


def shortened(folder: Path) -> None:
    name = next(path.name for path in folder.glob("head-*-stacking-weights.npy"))
    listed(folder, name, npy(np.load(folder / name)[..., :-1]))


EVIL: dict[str, Callable[[Path], object]] = {
    "pickle named skops": lambda folder: listed(folder, "head.skops", pickled(folder)),
    "pickle named pkl": lambda folder: listed(folder, "model.pkl", pickled(folder)),
    "pickle named joblib": lambda folder: listed(folder, "model.joblib", pickled(folder)),
    "torch weights": lambda folder: listed(folder, "encoder/pytorch_model.bin", pickled(folder)),
    "pickle named npy": lambda folder: listed(folder, "vectorizer-idf.npy", pickled(folder)),
    "npy of objects": lambda folder: listed(folder, "vectorizer-idf.npy", object_array(folder)),
    "skops with its own trust": lambda folder: listed(folder, "head.skops", skops_archive()),
    "MLmodel that trusts posix.system": lambda folder: listed(
        folder, "MLmodel", b"flavors: {sklearn: {skops_trusted_types: [posix.system]}}"
    ),
    "code": lambda folder: listed(folder, "encoder/modeling.py", b"import os"),
    "one bit flipped in the manifest": lambda folder: (folder / MANIFEST).write_text(
        (folder / MANIFEST).read_text().replace('"format": 4', '"format": 3')
    ),
    "file added": lambda folder: (folder / "extra.json").write_text("{}"),
    "file dropped": lambda folder: (folder / "gate.json").unlink(),
    "file truncated": truncated,
    "link to outside": linked,
    "folder that is a link": linked_folder,
    "pipe": piped,
    "path that climbs": edit_manifest(lambda m: m["files"].update({"../x.json": {"bytes": 1, "sha256": "0" * 64}})),
    "absolute path": edit_manifest(
        lambda m: m["files"].update({"/etc/hostname.txt": {"bytes": 1, "sha256": "0" * 64}})
    ),
    "ten gigabytes claimed": edit_manifest(lambda m: m["files"]["vectorizer.json"].update(bytes=10 << 30)),
    "a thousand files claimed": edit_manifest(
        lambda m: m["files"].update({f"f{n}.json": {"bytes": 1, "sha256": "0" * 64} for n in range(1000)})
    ),
    "no files": edit_manifest(lambda m: m.update(files={})),
    "older format": edit_manifest(lambda m: m.update(format=0)),
    "manifest edited": edit_manifest(lambda m: m["settings"].update(target_risk=0.9), seal=False),
    "manifest no JSON": lambda folder: (folder / MANIFEST).write_bytes(b"{" * 20_000),
    "manifest too large": lambda folder: (folder / MANIFEST).write_bytes(b" " * (5 << 20)),
    "no encoder named": edit_manifest(lambda m: m.pop("encoder")),
    "weights negated and resealed": negated,
    "combination cut down and resealed": shortened,
    "weights of another shape": lambda folder: listed(folder, "vectorizer-idf.npy", npy(np.ones(3, np.float32))),
    "gate no gate": lambda folder: listed(folder, "gate.json", b"[]"),
    "rules that do not compile": lambda folder: listed(folder, "rules.toml", b"[[rule]]\nname = 1"),
}


@pytest.mark.parametrize("kind", sorted(EVIL))
def test_evil_bundles_are_refused_and_nothing_in_them_runs(
    kind: str, trained: Trained, encoder: object, tmp_path: Path
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(trained.path, folder)
    EVIL[kind](folder)
    with pytest.raises(BundleError) as caught:
        load_bundle(folder, encoder=encoder)  # type: ignore[arg-type]
    assert not (tmp_path / "mark").exists()
    assert "\n" not in str(caught.value)


def test_every_file_is_guarded_against_a_flipped_bit(trained: Trained, encoder: object, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(trained.path, folder)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        before = path.read_bytes()
        flipped = bytearray(before)
        flipped[len(flipped) // 2] ^= 1
        path.write_bytes(bytes(flipped))
        with pytest.raises(BundleError):
            load_bundle(folder, encoder=encoder)  # type: ignore[arg-type]
        path.write_bytes(before)
    load_bundle(folder, encoder=encoder)  # type: ignore[arg-type]


def test_an_older_bundle_in_the_place_of_the_promoted_one_is_refused(trained: Trained, encoder: object) -> None:
    with pytest.raises(BundleError):
        load_bundle(trained.path, encoder=encoder, expected_digest="0" * 64)  # type: ignore[arg-type]
    assert load_bundle(trained.path, encoder=encoder, expected_digest=trained.bundle.digest)  # type: ignore[arg-type]


def test_a_bundle_without_its_encoder_says_which_one_it_needs(trained: Trained) -> None:
    with pytest.raises(BundleError, match="hashing-48"):
        load_bundle(trained.path)


def test_a_gate_that_holds_names_of_languages_reads_their_codes(
    trained: Trained, encoder: object, tmp_path: Path
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(trained.path, folder)
    facts = json.loads((folder / "gate.json").read_text())
    listed(folder, "gate.json", json.dumps({**facts, "languages": ["english", "klingon", "no"]}).encode())
    loaded = load_bundle(folder, encoder=encoder)  # type: ignore[arg-type]
    assert loaded.gate.languages == {"en", "klingon", "nb"}  # none is dropped: an empty set reads every language
