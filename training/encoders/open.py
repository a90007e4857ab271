"""Opens the encoder that the settings of a run name."""

from __future__ import annotations

from pathlib import Path

from models.encoder import Encoder, OnnxEncoder, SentenceTransformerEncoder
from models.terminal import Log
from training.encoders.onnx_export import exported_encoder
from training.encoders.selection import is_fine_tuned


def open_encoder(name: str, log: Log) -> tuple[Encoder, Path | None]:
    """Open an encoder by its name, its folder, or ``sentence-transformers:`` and one of them.

    Returns:
        The encoder, and the directory of its ONNX files, None where it has none.
    """
    kind, colon, source = name.partition(":")
    if colon and kind == "sentence-transformers":
        return SentenceTransformerEncoder(source), None
    log(f"encoder {name}")
    folder = exported_encoder(name)
    if is_fine_tuned(folder):
        log("this encoder was adapted to tickets before: on the same tickets confidence comes out too high")
    return OnnxEncoder(folder), folder
