"""A model that is trained further, cut shorter or laid elsewhere never meets the vectors that it gave before."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from models.encoder import OnnxEncoder, SentenceTransformerEncoder
from training.encoders.cache import CachedEncoder
from training.encoders.onnx_export import DEFAULT_ENCODER, export, exported_encoder

from .test_encoder_export import TEXTS, small_encoder


def vectors(source: Path | str, cache: Path) -> np.ndarray:
    return CachedEncoder(SentenceTransformerEncoder(str(source), device="cpu"), cache=cache).encode(TEXTS)


def fresh(source: Path | str) -> np.ndarray:
    return SentenceTransformerEncoder(str(source), device="cpu").encode(TEXTS)


def test_a_model_that_changes_in_its_place_is_asked_anew(tmp_path: Path) -> None:
    first, second = (small_encoder(tmp_path / str(seed), seed) for seed in (1, 2))
    place, cache = tmp_path / "model", tmp_path / "vectors.sqlite"
    shutil.copytree(tmp_path / "1" / "whole", place)
    before = vectors(place, cache)
    second.model.save(str(place))  # trained further
    assert np.allclose(vectors(place, cache), fresh(place), atol=1e-5)
    assert not np.allclose(before, fresh(place), atol=1e-2)
    for settings in place.rglob("sentence_bert_config.json"):  # reads less of a text
        settings.write_text(json.dumps({**json.loads(settings.read_text()), "max_seq_length": 4}))
    shorter = SentenceTransformerEncoder(str(place), device="cpu")
    shorter.model.max_seq_length = 4
    assert shorter.digest not in (first.digest, second.digest)
    found = CachedEncoder(shorter, cache=cache).encode(TEXTS)
    assert np.allclose(found, shorter.encode(TEXTS), atol=1e-5)


def test_paths_that_read_alike_in_two_folders_are_two_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seed in (("one", 1), ("other", 2)):
        (tmp_path / name).mkdir()
        small_encoder(tmp_path / name / "made", seed)
        monkeypatch.chdir(tmp_path / name)
        assert np.allclose(vectors("made/whole", tmp_path / "vectors.sqlite"), fresh("made/whole"), atol=1e-5)


def test_equal_models_have_equal_digests_wherever_they_lie(tmp_path: Path) -> None:
    encoder = small_encoder(tmp_path / "one", 1)
    shutil.copytree(tmp_path / "one" / "whole", tmp_path / "copy")
    assert SentenceTransformerEncoder(str(tmp_path / "copy"), device="cpu").digest == encoder.digest


def test_an_export_is_named_by_its_tokenizer_and_its_limit_too(tmp_path: Path) -> None:
    encoder, names = small_encoder(tmp_path / "one", 1), []
    for limit in (32, 8):
        encoder.model.max_seq_length = limit
        folder = tmp_path / f"limit-{limit}"
        folder.mkdir()
        export("mine", encoder, folder)
        names.append(OnnxEncoder(folder).name)
    assert len(set(names)) == 2 and all(name.startswith("onnx:mine:int8:") for name in names)


def test_the_packaged_encoder_keeps_the_name_that_caches_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    monkeypatch.setenv("TRIAGE_HOME", os.environ.get("TRIAGE_HOME", str(tmp_path)))
    folder = exported_encoder(DEFAULT_ENCODER)
    graph = hashlib.sha256((folder / "encoder.onnx").read_bytes()).hexdigest()
    assert OnnxEncoder(folder).name == f"onnx:{DEFAULT_ENCODER}:int8:{graph[:16]}"
