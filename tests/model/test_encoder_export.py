"""Exports of encoders: the fused graph says what the model says, alone and beside another; others take the long way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from models.encoder import OnnxEncoder, SentenceTransformerEncoder
from training.encoders.fused_graph import can_be_fused, write_fused
from training.encoders.onnx_export import SIDE_BY_SIDE, export

TEXTS = ("", "the printer is on fire", "fire", "the mail server answers nothing since the update of the mail client")
ROOT = Path(__file__).parents[2]
WORDS = sorted({word for text in TEXTS for word in text.split()})


def small_encoder(folder: Path, seed: int, **how: Any) -> SentenceTransformerEncoder:
    """Return a BERT of two layers with drawn weights, pooled as asked."""
    import torch
    import transformers
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel

    torch.manual_seed(seed)
    folder.mkdir()
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    tokenizers: Any = transformers  # its types lack the class
    tokenizers.BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=32).save_pretrained(folder / "bert")
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=32,
        hidden_act=how.get("activation", "gelu"),
        initializer_range=0.4,
    )
    BertModel(config).save_pretrained(folder / "bert")
    words = Transformer(str(folder / "bert"), max_seq_length=32)
    pooling = Pooling(32, pooling_mode=how.get("pooling", "mean"))
    SentenceTransformer(modules=[words, pooling]).save(str(folder / "whole"))
    return SentenceTransformerEncoder(str(folder / "whole"), device="cpu")


def operations(file: Path) -> set[str]:
    return {node.op_type for node in onnx.load(file).graph.node}


@pytest.fixture
def opened(tmp_path: Path) -> Any:
    def open_graph(model: SentenceTransformerEncoder, graph: Path, dim: int) -> OnnxEncoder:
        folder = tmp_path / "opened"
        folder.mkdir()
        (folder / "encoder.onnx").write_bytes(graph.read_bytes())
        (folder / "encoder.json").write_text(json.dumps({"name": "fused", "dim": dim, "max_tokens": 32}))
        model.model.tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
        return OnnxEncoder(folder)

    return open_graph


def test_the_fused_graph_gives_the_vectors_of_the_model(tmp_path: Path, opened: Any) -> None:
    model = small_encoder(tmp_path / "one", 1)
    write_fused([model.model], (1.0,), tmp_path / "graph.onnx")
    np.testing.assert_allclose(opened(model, tmp_path / "graph.onnx", 32).encode(TEXTS), model.encode(TEXTS), atol=1e-5)


def test_two_models_stand_beside_each_other_in_one_graph(tmp_path: Path, opened: Any) -> None:
    both = [small_encoder(tmp_path / str(seed), seed) for seed in (1, 2)]
    write_fused([one.model for one in both], SIDE_BY_SIDE, tmp_path / "graph.onnx")
    expected = np.concatenate(
        [one.encode(TEXTS) * share**0.5 for one, share in zip(both, SIDE_BY_SIDE, strict=True)], axis=1
    )
    vectors = opened(both[0], tmp_path / "graph.onnx", 64).encode(TEXTS)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("how", [{"pooling": "max"}, {"activation": "relu"}])
def test_what_is_built_otherwise_is_exported_step_by_step(tmp_path: Path, how: dict[str, str]) -> None:
    model = small_encoder(tmp_path / "other", 3, **how)
    assert not can_be_fused(model.model)
    (tmp_path / "out").mkdir()
    export("other", model, tmp_path / "out")
    assert not {"Attention", "QAttention"} & operations(tmp_path / "out" / "encoder.onnx")
    facts = json.loads((tmp_path / "out" / "encoder.json").read_text())
    assert facts["parity"]["exact"] >= 0.9999


def test_an_export_stores_matrices_and_words_in_eight_bits(tmp_path: Path) -> None:
    model = small_encoder(tmp_path / "one", 1)
    (tmp_path / "out").mkdir()
    export("one", model, tmp_path / "out")
    graph = onnx.load(tmp_path / "out" / "encoder.onnx").graph
    exact = [one.name for one in graph.initializer if one.data_type == onnx.TensorProto.FLOAT and len(one.dims) == 2]
    assert all(name.endswith("places") or "scale" in name for name in exact)
    assert "QAttention" in operations(tmp_path / "out" / "encoder.onnx")


def test_a_token_has_the_same_vector_whatever_is_encoded_with_it(tmp_path: Path) -> None:
    """Which tokens are encoded together depends on what the cache of embeddings holds, and a digest must not."""
    (tmp_path / "out").mkdir()
    export("one", small_encoder(tmp_path / "one", 1), tmp_path / "out")
    encoder = OnnxEncoder(tmp_path / "out")
    ids = np.arange(5, 5 + len(WORDS), dtype=np.int64)
    alone = np.concatenate([encoder.token_vectors(ids[row : row + 1]) for row in range(len(ids))])
    np.testing.assert_array_equal(encoder.token_vectors(ids), alone)
    assert encoder.token_vectors(ids[:0]).shape == (0, encoder.dim)


def largest_weights(file: Path) -> list[int]:
    """Return the largest size of a weight in each matrix that is multiplied in eight bits."""
    graph = onnx.load(str(file)).graph
    multiplied = {name for node in graph.node if node.op_type in ("MatMulInteger", "QAttention") for name in node.input}
    weights = [one for one in graph.initializer if one.name in multiplied and one.data_type == onnx.TensorProto.INT8]
    return [int(np.abs(onnx.numpy_helper.to_array(one).astype(int)).max()) for one in weights if len(one.dims) == 2]


def test_matrices_take_seven_bits_so_that_no_processor_overflows(tmp_path: Path) -> None:
    """Without an instruction for eight bits two products are added in 16 bits, which hold 2 * 255 * 64 and no more."""
    model = small_encoder(tmp_path / "one", 1)
    (tmp_path / "out").mkdir()
    export("one", model, tmp_path / "out")
    shipped = ROOT / "models" / "screening" / "data" / "encoder.onnx"
    for file, layers in ((tmp_path / "out" / "encoder.onnx", 1), (shipped, 2)):
        found = largest_weights(file)
        assert len(found) >= 4 * layers and max(found) <= 64
