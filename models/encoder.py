"""Encoders: from texts to unit vectors, by ONNX in serving and training alike, or by sentence-transformers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.cores import cores
from models.features.tokens import Tokens, tokens_of
from triage.errors import BundleMismatch, EncoderUnavailable

ONNX_FILES = ("encoder.json", "encoder.onnx", "tokenizer.json")
"""Files of an ONNX encoder directory."""

_BATCH = 32
_ABOUT_THE_FILES = ("_name_or_path", "transformers_version")

Progress = Callable[[int], object]
"""Called with the number of texts done since the last call."""


class Encoder(Protocol):
    """Turns texts into vectors.

    Attributes:
        name: What it is, stable over processes: equal names give equal vectors.
        dim: Length of a vector.
    """

    name: str
    dim: int

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """Encode texts as float32 of shape [n, dim], each row of Euclidean length 1."""
        ...

    def truncates(self, texts: Sequence[str]) -> list[bool]:
        """Say for each text whether only its beginning is read."""
        ...


class OnnxEncoder:
    """A sentence-transformers model exported to ONNX, pooling and normalising inside the graph.

    Args:
        files: The directory that holds `ONNX_FILES`, or their content by name.
        threads: Texts encoded at a time; None takes one per core.

    Attributes:
        tokens: Cuts texts into the tokens that it reads.
        max_tokens: How many of a text it reads at most, those among them that mark beginning and end.

    Raises:
        BundleMismatch: If a file is absent or cannot be read as what it should be.
    """

    def __init__(self, files: Path | Mapping[str, bytes], threads: int | None = None) -> None:
        source = repr(files.name) if isinstance(files, Path) else "the bundle"
        self._folder = files if isinstance(files, Path) else None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._threads = threads or cores()
        try:
            content = {
                name: (files / name).read_bytes() if isinstance(files, Path) else files[name] for name in ONNX_FILES
            }
            facts = json.loads(content["encoder.json"])
            self.name: str = facts["name"]
            self.dim: int = int(facts["dim"])
            self.max_tokens: int = int(facts["max_tokens"])
            self.tokens: Tokens = tokens_of(content["tokenizer.json"])
            self._session = onnxruntime.InferenceSession(
                content["encoder.onnx"],
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=["SkipLayerNormFusion"],  # the fused step takes a quarter of an encoder's time
            )
            self._masked = any(one.name == "attention_mask" for one in self._session.get_inputs())
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise BundleMismatch(
                f"encoder in {source} cannot be read: {error}; train or pull the bundle again"
            ) from error
        except Exception as error:  # tokenizers and onnxruntime raise bare Exception and types of their own
            raise BundleMismatch(
                f"encoder in {source} cannot be loaded: {error}; train or pull the bundle again"
            ) from error

    def __reduce__(self) -> tuple[type[OnnxEncoder], tuple[Path, int]]:
        """Travel to another process as the folder it was read from; TypeError if it was read from a bundle."""
        if self._folder is None:
            raise TypeError("an encoder inside a bundle does not travel to another process: send the bundle's folder")
        return OnnxEncoder, (self._folder, self._threads)

    def token_vectors(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Encode single tokens, each alone as a text of its own, for the reason that `encode` has.

        Args:
            ids: Token ids, of shape [n].

        Returns:
            float32 of shape [n, dim], each row of length 1.
        """
        columns = [*self.tokens.before[:1], None, *self.tokens.after[-1:]]
        tokens = np.stack([ids if one is None else np.full(len(ids), one) for one in columns], axis=1).astype(np.int64)
        mask = np.ones((1, len(columns)), dtype=np.int64)
        vectors = np.zeros((len(ids), self.dim), dtype=np.float32)

        def run(row: int) -> None:
            vectors[row] = self._run(tokens[row : row + 1], mask)[0]

        self._for_each(run, len(ids))
        return vectors

    def _run(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        inputs = {"input_ids": ids, "attention_mask": mask} if self._masked else {"input_ids": ids}
        return np.asarray(self._session.run(["sentence_embedding"], inputs)[0])

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """Encode each text on its own, several at a time on threads of their own.

        A quantised graph scales its activations by what else is in the batch: alone, a text has the same vector in
        training, in a batch and as a single request. Without padding this is also the faster way on a CPU.
        """
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)

        def run(row: int) -> None:
            ids = self.tokens.read(texts[row], self.max_tokens)
            tokens = np.zeros((1, max(2 if self._masked else 1, len(ids))), dtype=np.int64)
            mask = np.zeros_like(tokens)
            tokens[0, : len(ids)], mask[0, : len(ids)] = ids, 1
            if len(ids) or self._masked:
                vectors[row] = self._run(tokens, mask)[0]
            if progress is not None:
                progress(1)

        self._for_each(run, len(texts))
        return vectors

    def _for_each(self, run: Callable[[int], object], count: int) -> None:
        """Do something for each of so many rows, several at a time on threads of their own."""
        if count == 1 or self._threads == 1:
            for row in range(count):
                run(row)
        else:
            with ThreadPoolExecutor(self._threads) as pool:
                list(pool.map(run, range(count)))

    def truncates(self, texts: Sequence[str]) -> list[bool]:
        """Say for each text whether it has more tokens than the encoder reads."""
        return [self.tokens.is_cut(text, self.max_tokens) for text in texts]


class SentenceTransformerEncoder:
    """A sentence-transformers model as it is: for encoders that do not export, and for GPUs. Needs the training wing.

    Args:
        name_or_path: A hub name or a local folder.
        device: Such as ``cpu`` or ``cuda``; None chooses.

    Raises:
        EncoderUnavailable: If it cannot be loaded, or would run code of its own.
    """

    def __init__(self, name_or_path: str, device: str | None = None) -> None:
        refuse_foreign_modules(Path(name_or_path))
        try:
            from sentence_transformers import SentenceTransformer
        except ModuleNotFoundError as error:
            raise EncoderUnavailable(
                f"encoder {name_or_path!r} needs sentence-transformers, which is not installed; "
                "pip install '.[train]' in a checkout"
            ) from error
        try:
            self.model: Any = SentenceTransformer(name_or_path, device=device, trust_remote_code=False)
        except (OSError, ValueError, ImportError, RuntimeError) as error:
            raise EncoderUnavailable(
                f"encoder {name_or_path!r} cannot be loaded: {' '.join(str(error).split())[:300]}; "
                "name a sentence-transformers model of the hub or a local folder"
            ) from error
        self.name = f"sentence-transformers:{name_or_path}"
        self.dim: int = int(self.model.encode([""], show_progress_bar=False).shape[1])

    @cached_property
    def digest(self) -> str:
        """Digest of all that makes the vectors: weights, how they are used, tokenizer, limit and prompts.

        The name tells where the model was found, and another one may lie there by now. It takes a quarter of a second
        for 100 MB of weights.
        """
        found = hashlib.sha256()
        tokenizer = getattr(self.model.tokenizer, "backend_tokenizer", None)
        for part in (
            repr(self.model),
            *(_settings_of(module) for module in self.model),
            tokenizer.to_str() if tokenizer is not None else repr(self.model.tokenizer),
            (self.model.max_seq_length, sorted(self.model.prompts.items()), self.model.default_prompt_name),
        ):
            found.update(repr(part).encode())
        for name, weights in self.model.state_dict().items():
            flat = weights.detach().cpu().contiguous().reshape(-1)
            found.update(f"{name} {weights.dtype} {tuple(weights.shape)}".encode())
            found.update(flat.view(flat[:0].byte().dtype).numpy())  # as bytes, for NumPy has no bfloat16
        return found.hexdigest()[:32]

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """Encode texts on the model's device."""
        vectors = self.model.encode(list(texts), batch_size=_BATCH, normalize_embeddings=True, show_progress_bar=False)
        if progress is not None:
            progress(len(texts))
        return np.asarray(vectors, dtype=np.float32)

    def truncates(self, texts: Sequence[str]) -> list[bool]:
        """Say for each text whether it has more tokens than the encoder reads."""
        limit = self.model.max_seq_length
        counts = (
            (len(ids) for ids in self.model.tokenizer(list(texts), truncation=False, verbose=False)["input_ids"])
            if texts
            else ()
        )
        return [limit is not None and count > limit for count in counts]


def _settings_of(module: Any) -> list[tuple[str, Any]]:
    """Return the settings of a transformer, less where it was found and what wrote it; none of another module."""
    config = getattr(getattr(module, "auto_model", None), "config", None)
    settings = {} if config is None else config.to_dict()
    return sorted((name, value) for name, value in settings.items() if name not in _ABOUT_THE_FILES)


def refuse_foreign_modules(folder: Path) -> None:
    """Refuse an encoder folder that names modules outside sentence-transformers: loading it would run its code.

    Raises:
        EncoderUnavailable: Naming the foreign module types.
    """
    listing = folder / "modules.json"
    if not listing.is_file():
        return
    try:
        types = [str(module.get("type", "")) for module in json.loads(listing.read_text("utf-8"))]
    except (ValueError, AttributeError) as error:
        raise EncoderUnavailable(
            f"encoder folder {folder.name!r} has an unreadable modules.json: {error}; fetch it again"
        ) from error
    foreign = sorted({kind for kind in types if not kind.startswith("sentence_transformers.")})
    if foreign:
        raise EncoderUnavailable(
            f"encoder folder {folder.name!r} asks for modules {', '.join(foreign)}: "
            "only those of sentence-transformers are taken"
        )
