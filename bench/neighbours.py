"""Past tickets by a graph and by a full search: milliseconds a ticket, recall of the votes, and what a bundle pays.

Run as `python bench/neighbours.py BUNDLE [ROWS...]` (default: 4000 20000 100000). The bundle's own past tickets are
drawn with replacement and given noise of a third of the distance to their nearest neighbour, until there are so many.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.bundle.bundle import load_bundle
from models.reference.index import NeighbourIndex
from models.serving.threads import limit_blas_threads
from models.terminal import table

ASKED, NOISE = 200, 0.33


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return (vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)).astype(np.float32)


def resampled(index: NeighbourIndex, rows: int, random: np.random.Generator) -> NeighbourIndex:
    drawn = random.integers(len(index.ids), size=rows)

    def noisy(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        spread = NOISE * 0.6 / np.sqrt(vectors.shape[1])
        return unit(vectors[drawn] + random.normal(0, spread, (rows, vectors.shape[1])).astype(np.float32))

    return replace(
        index,
        vectors=noisy(index.vectors),
        topics=noisy(index.topics),
        ids=tuple(str(row) for row in range(rows)),
        titles=("",) * rows,
        label_ids={target: ids[drawn] for target, ids in index.label_ids.items()},
        sensitive=index.sensitive[drawn],
        written={target: tuple(labels[row] for row in drawn) for target, labels in index.written.items()},
        graphs={},
    )


def milliseconds(index: NeighbourIndex, asked: NeighbourIndex) -> float:
    began = time.thread_time()
    for row in range(ASKED):
        index.nearest(asked.vectors[row : row + 1], asked.topics[row : row + 1])
    return 1000 * (time.thread_time() - began) / ASKED


def recall(wanted: NDArray[np.int64], found: NDArray[np.int64]) -> float:
    return float(np.mean([len(np.intersect1d(*pair)) / len(pair[0]) for pair in zip(wanted, found, strict=True)]))


def main(path: Path, sizes: list[int]) -> None:
    limit_blas_threads()
    past, random, lines = load_bundle(path).model.history, np.random.default_rng(0), []
    asked = resampled(past, ASKED, random)
    for size in sizes:
        exact = resampled(past, size, random)
        began = time.perf_counter()
        graphs = exact.indexed()
        built = time.perf_counter() - began
        wanted = exact.nearest(asked.vectors, asked.topics)
        found = graphs.nearest(asked.vectors, asked.topics)
        megabytes = sum(len(graph.to_array()) for graph in graphs.graphs.values()) / 1e6
        lines.append(
            [
                size,
                milliseconds(exact, asked),
                milliseconds(graphs, asked),
                recall(wanted.near, found.near),
                recall(wanted.hybrid_near, found.hybrid_near),
                built,
                megabytes,
            ]
        )
    head = ["rows", "full ms", "graph ms", "recall", "recall, both", "built s", "MB"]
    print(table(head, lines))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]), [int(size) for size in sys.argv[2:]] or [4_000, 20_000, 100_000])
    else:
        print("name a bundle: python bench/neighbours.py BUNDLE [ROWS...]")
