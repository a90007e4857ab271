"""Opens the heads that `fit.py` wrote, and answers with label and probability."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import skops.io


def heads(kind: str) -> dict[str, Any]:
    """Return the heads of a kind (`vectors` or `words`) by target."""
    found = sorted(Path(os.environ["PEER_HEADS"]).glob(f"*.{kind}.skops"))
    return {path.name.split(".")[0]: skops.io.load(path, skops.io.get_untrusted_types(file=path)) for path in found}


def answers(by_target: dict[str, Any], inputs: Any) -> list[dict[str, Any]]:
    """Return for each input the label of each target and its probability."""
    scored = {target: (head.classes_, head.predict_proba(inputs)) for target, head in by_target.items()}
    return [
        {
            target: {"label": str(classes[table[row].argmax()]), "confidence": float(table[row].max())}
            for target, (classes, table) in scored.items()
        }
        for row in range(len(next(iter(scored.values()))[1]))
    ]
