"""A graph of few, large steps for encoders of the BERT kind, in place of the exporter's many small ones.

ONNX Runtime fuses attention only where it finds the pattern of an exporter that it knows, and torch's present exporter
writes another, with a guard against absent values in every layer. Written out by hand the same weights take half the
time. Texts are never padded here, so the graph has no mask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_OPSET, _IR_VERSION = 20, 10
_FUSED = "com.microsoft"
_QUERY_KEY_VALUE = ("query", "key", "value")
_TABLES = ("word_embeddings", "position_embeddings", "token_type_embeddings")
_LAYER = (*(f"attention.self.{name}" for name in _QUERY_KEY_VALUE), "attention.output.dense")
_LAYER += ("attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm")


def can_be_fused(model: Any) -> bool:
    """Say whether `write_fused` can write a sentence-transformers model: BERT, the mean of its tokens, length 1."""
    steps = list(model.children())
    bert: Any = getattr(steps[0], "auto_model", None)
    if type(bert).__name__ != "BertModel" or len(steps) not in (2, 3):
        return False
    config, pooling = bert.config, steps[1]
    weights = {name for name in bert.state_dict() if not name.startswith("pooler.")}
    return (
        weights == _weights_of(config.num_hidden_layers)  # nothing was put in, such as adapters
        and config.hidden_act == "gelu"
        and not config.is_decoder
        and getattr(config, "position_embedding_type", "absolute") in (None, "absolute")
        and type(pooling).__name__ == "Pooling"
        and pooling.pooling_mode in ("mean", ("mean",), ["mean"])
        and all(type(step).__name__ == "Normalize" for step in steps[2:])
    )


def _weights_of(layers: int) -> set[str]:
    """Return the names of the weights of a BERT."""
    parts = ["embeddings.LayerNorm", *(f"encoder.layer.{layer}.{part}" for layer in range(layers) for part in _LAYER)]
    return {f"embeddings.{table}.weight" for table in _TABLES} | {
        f"{part}.{kind}" for part in parts for kind in ("weight", "bias")
    }


def write_fused(models: Sequence[Any], shares: Sequence[float], target: Path) -> None:
    """Write models as one ONNX graph from `input_ids` to `sentence_embedding`.

    Args:
        models: Each such that `can_be_fused`; with the same tokenizer.
        shares: What each counts in the similarity of two texts: its vectors of length 1 are scaled by the root.
        target: The file.
    """
    from onnx import TensorProto, helper, save

    graph = _Graph()
    berts = [next(model.children()).auto_model for model in models]
    parts = [_Tower(graph, bert, f"m{place}.").unit_vectors() for place, bert in enumerate(berts)]
    if len(parts) == 1:
        graph.step("Identity", parts, "sentence_embedding")
    else:
        scaled = [
            graph.step("Mul", [part, graph.constant(f"{part}.scale", np.float32(share**0.5))], f"{part}.scaled")
            for part, share in zip(parts, shares, strict=True)
        ]
        graph.step("Concat", scaled, "sentence_embedding", axis=1)
    dim = sum(bert.config.hidden_size for bert in berts)
    save(
        helper.make_model(
            helper.make_graph(
                graph.nodes,
                "encoder",
                [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])],
                [helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", dim])],
                initializer=graph.constants,
            ),
            opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid(_FUSED, 1)],
            ir_version=_IR_VERSION,
        ),
        str(target),
    )


@dataclass
class _Graph:
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def constant(self, name: str, array: NDArray[Any] | np.generic) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array).reshape(np.shape(array)), name))
        return name

    def step(self, kind: str, inputs: Sequence[str], output: str, *, domain: str = "", **settings: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, list(inputs), [output], f"{output}.step", domain=domain, **settings))
        return output


@dataclass(frozen=True)
class _Tower:
    """One model in a graph; the names of its constants and steps begin with `at`."""

    graph: _Graph
    bert: Any
    at: str

    @cached_property
    def weights(self) -> Mapping[str, NDArray[np.float32]]:
        return {name: value.detach().float().numpy() for name, value in self.bert.state_dict().items()}

    def unit_vectors(self) -> str:
        """Add the model, and return the name of its vectors."""
        graph, at, config = self.graph, self.at, self.bert.config
        x = self._embedded()
        for layer in range(config.num_hidden_layers):
            here = f"encoder.layer.{layer}."
            x = self._normalised(
                f"{here}attention.output.LayerNorm",
                [self._linear(f"{here}attention.output.dense", self._mixed(here, x)), x],
            )
            wide = graph.step("Gelu", [self._linear(f"{here}intermediate.dense", x)], f"{at}{here}gelu")
            x = self._normalised(f"{here}output.LayerNorm", [self._linear(f"{here}output.dense", wide), x])
        pooled = graph.step("ReduceMean", [x, graph.constant(f"{at}tokens", np.array([1]))], f"{at}pooled", keepdims=0)
        return graph.step("LpNormalization", [pooled], f"{at}unit", axis=1, p=2)

    def _embedded(self) -> str:
        """Add what turns ids into the vectors of words at their places; all text is of the first segment."""
        graph, at, weights = self.graph, self.at, self.weights
        words = graph.constant(f"{at}words", weights["embeddings.word_embeddings.weight"])
        places = (
            weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
        )
        graph.step("Shape", ["input_ids"], f"{at}count", start=1, end=2)
        first, axis = graph.constant(f"{at}first", np.array([0])), graph.constant(f"{at}axis", np.array([0]))
        graph.step("Slice", [graph.constant(f"{at}places", places), first, f"{at}count", axis], f"{at}place")
        graph.step("Gather", [words, "input_ids"], f"{at}word")
        return self._normalised("embeddings.LayerNorm", [f"{at}word", f"{at}place"])

    def _mixed(self, here: str, x: str) -> str:
        """Add the attention of a layer."""
        parts = [f"{here}attention.self.{name}" for name in _QUERY_KEY_VALUE]
        matrix = np.concatenate([self.weights[f"{part}.weight"] for part in parts]).T
        shift = np.concatenate([self.weights[f"{part}.bias"] for part in parts])
        inputs = [x, self.graph.constant(f"{self.at}{here}w", matrix), self.graph.constant(f"{self.at}{here}b", shift)]
        heads = self.bert.config.num_attention_heads
        return self.graph.step("Attention", inputs, f"{self.at}{here}mixed", domain=_FUSED, num_heads=heads)

    def _linear(self, name: str, x: str) -> str:
        matrix = self.graph.constant(f"{self.at}{name}.w", self.weights[f"{name}.weight"].T)
        product = self.graph.step("MatMul", [x, matrix], f"{self.at}{name}.xw")
        shift = self.graph.constant(f"{self.at}{name}.b", self.weights[f"{name}.bias"])
        return self.graph.step("Add", [product, shift], f"{self.at}{name}")

    def _normalised(self, name: str, x: Sequence[str]) -> str:
        """Add up two and normalise each token."""
        graph, at, epsilon = self.graph, self.at, self.bert.config.layer_norm_eps
        total = graph.step("Add", x, f"{at}{name}.sum")
        scale = graph.constant(f"{at}{name}.scale", self.weights[f"{name}.weight"])
        shift = graph.constant(f"{at}{name}.shift", self.weights[f"{name}.bias"])
        return graph.step("LayerNormalization", [total, scale, shift], f"{at}{name}", axis=-1, epsilon=epsilon)
