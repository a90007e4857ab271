"""Adapts an encoder to a desk's own labels: passes over its tickets with a linear head, within a budget of minutes."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from models.terminal import progress
from training.encoders.schedule import LearningRateSchedule, TrainingBudget, batches, drop_tokens, padded

_HEAD_ROWS = 6000
_SMALL = 1_000_000


def adapt(
    model: Any,
    texts: Sequence[str],
    label_ids: Mapping[str, NDArray[np.int64]],
    vectors: NDArray[np.float32],
    training_budget: TrainingBudget,
    *,
    seed: int = 0,
    quiet: bool = False,
) -> dict[str, Any]:
    """Fine-tune a sentence-transformers model in place, such that a linear head on its unit vectors tells the labels.

    The heads start as logistic regressions on the vectors as they are (Kumar et al. 2022), so that the first steps do
    not spoil the encoder. A pass goes in batches of like length. The learning rate rises, then falls to nothing by
    the end of the budget.

    Args:
        model: With its modules `Transformer`, pooling and normalising.
        texts: The tickets.
        label_ids: By target, a label code by row; negative rows are not learned from.
        vectors: Vectors of the texts before.
        training_budget: How much is done.
        seed: Of order, forgetting and dropout. Equal seeds and equal steps give equal weights on one machine.
        quiet: Whether to leave out the progress bar.

    Returns:
        Facts for the manifest: steps, passes, seconds, device, precision, the loss at first and in the end.
    """
    import torch

    threads = torch.get_num_threads()
    small = sum(weight.numel() for weight in model.parameters()) < _SMALL  # there threads wait more than they work
    torch.set_num_threads(1 if small else os.cpu_count() or 1)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return _tuned(model, texts, label_ids, vectors, training_budget, seed, quiet)
    finally:
        torch.set_num_threads(threads)


def _tuned(
    model: Any,
    texts: Sequence[str],
    label_ids: Mapping[str, NDArray[np.int64]],
    vectors: NDArray[np.float32],
    training_budget: TrainingBudget,
    seed: int,
    quiet: bool,
) -> dict[str, Any]:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokens = _tokens(model, texts, training_budget.max_tokens)
    steps = list(batches(tokens, training_budget.batch, seed))
    plan = LearningRateSchedule(
        training_budget, np.array([len(rows) * max(len(tokens[row]) for row in rows) for rows in steps])
    )
    heads = {target: _head(vectors, values, seed).to(device) for target, values in label_ids.items()}
    _set_dropout(model, training_budget.dropout)
    weights = _Weights(model.to(device).train(), list(heads.values()), training_budget, half=_half_precision(device))
    rng = np.random.default_rng(seed + 1)
    filler = int(model.tokenizer.pad_token_id or 0)
    losses: list[float] = []
    with progress(plan.total, "adapting", unit=" steps", quiet=quiet, soon=True) as bar:
        while (step := len(losses)) < plan.total:
            rows = steps[step]
            ids, mask = padded([drop_tokens(tokens[row], training_budget.forgotten, rng) for row in rows], filler)
            with _plain_attention():
                unit = _unit(model, torch.tensor(ids, device=device), torch.tensor(mask, device=device))
                loss = _loss(
                    heads,
                    unit,
                    {target: values[rows] for target, values in label_ids.items()},
                    training_budget.smoothing,
                )
                weights.step(loss, plan.rate(step))
            losses.append(float(loss.detach()))
            plan.replan(step + 1)
            bar.total = plan.total
            bar.update()
    weights.put_back()
    model.to("cpu").eval()
    few = max(1, len(losses) // 20)
    return {
        "steps": len(losses),
        "batch": training_budget.batch,
        "passes": round(sum(map(len, steps[: len(losses)])) / len(texts), 3),
        "tickets": len(texts),
        "max_tokens": training_budget.max_tokens,
        "seconds": round(time.monotonic() - plan.began, 1),
        "device": device,
        "precision": "bfloat16" if weights.half else "float32",
        "replanned": plan.changes,
        "loss": {"first": round(float(np.mean(losses[:few])), 4), "last": round(float(np.mean(losses[-few:])), 4)},
    }


class _Weights:
    """The weights of encoder and heads with their optimiser: exact ones are kept beside those in half precision."""

    def __init__(self, model: Any, heads: Sequence[Any], training_budget: TrainingBudget, *, half: bool) -> None:
        import torch

        self.half = half
        self._model = model
        self._exact = [weight.detach().clone() if half else weight for weight in model.parameters()]
        if half:
            model.bfloat16()
        self._used = list(model.parameters())
        self._heads = [weight for head in heads for weight in head.parameters()]
        self._tops = (training_budget.rate, training_budget.head_rate)
        groups = [{"params": self._exact}, {"params": self._heads}]
        self._optimiser = torch.optim.AdamW(groups, weight_decay=0.01, fused=True)

    def step(self, loss: Any, share: float) -> None:
        """Take one step at a share of the highest learning rates; none where nothing was to be learned."""
        import torch

        if not loss.requires_grad:
            return
        for weight in (*self._used, *self._heads):
            weight.grad = None
        loss.backward()
        if self.half:
            for exact, used in zip(self._exact, self._used, strict=True):
                exact.grad = None if used.grad is None else used.grad.float()
        torch.nn.utils.clip_grad_norm_([*self._exact, *self._heads], 1.0)
        for group, top in zip(self._optimiser.param_groups, self._tops, strict=True):
            group["lr"] = top * share
        self._optimiser.step()
        if self.half:
            with torch.no_grad():
                torch._foreach_copy_(self._used, self._exact)

    def put_back(self) -> None:
        """Give the model its exact weights."""
        import torch

        self._model.float()
        with torch.no_grad():
            for weight, exact in zip(self._model.parameters(), self._exact, strict=True):
                weight.copy_(exact)
                weight.grad = None


def _plain_attention() -> Any:
    """Compute attention by matrix products: on a CPU the fused kernel's way back is twice as slow."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    return sdpa_kernel(SDPBackend.MATH)


def _unit(model: Any, ids: Any, mask: Any) -> Any:
    """Return unit vectors, pooled and normalised in full precision whatever the layers compute in."""
    import torch

    features = {"input_ids": ids, "attention_mask": mask}
    for module in model.children():
        features = module(features)
        features = {name: value.float() if value.is_floating_point() else value for name, value in features.items()}
    return torch.nn.functional.normalize(features["sentence_embedding"], dim=1)


def _loss(heads: Mapping[str, Any], unit: Any, label_ids: Mapping[str, NDArray[np.int64]], smoothing: float) -> Any:
    """Return the sum over the targets of the mean cross-entropy of rows that have a label."""
    import torch

    total = torch.zeros((), device=unit.device)
    for target, head in heads.items():
        known = np.flatnonzero(label_ids[target] >= 0)
        if len(known):
            logits, truth = head(unit[known]), torch.tensor(label_ids[target][known], device=unit.device)
            total = total + torch.nn.functional.cross_entropy(logits, truth, label_smoothing=smoothing)
    return total


def _half_precision(device: str) -> bool:
    """Say whether bfloat16 pays: on processors and GPUs that multiply it in hardware; elsewhere it is slower."""
    import torch

    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    able: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(able.get("amx_bf16") or able.get("avx512_bf16"))


def _tokens(model: Any, texts: Sequence[str], most: int) -> list[NDArray[np.int64]]:
    found = model.tokenizer(list(texts), truncation=True, max_length=most, padding=False)["input_ids"]
    return [np.array(ids, dtype=np.int64) for ids in found]


def _head(vectors: NDArray[np.float32], label_ids: NDArray[np.int64], seed: int) -> Any:
    """Return a linear layer that holds a logistic regression on some of the rows."""
    import torch

    known = np.flatnonzero(label_ids >= 0)
    classes = int(label_ids.max()) + 1
    if len(known) > _HEAD_ROWS:
        known = np.sort(np.random.default_rng(seed).choice(known, _HEAD_ROWS, replace=False))
    layer = torch.nn.Linear(vectors.shape[1], classes)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    present = np.unique(label_ids[known])
    if len(present) < 2:
        return layer
    fitted = LogisticRegression(C=10.0, max_iter=30, tol=1e-3)
    with contextlib.suppress(Warning), _tolerant():
        fitted.fit(vectors[known], label_ids[known])
    weights, shift = fitted.coef_, fitted.intercept_
    if len(present) == 2:
        weights, shift = np.vstack([-weights, weights]) / 2, np.concatenate([-shift, shift]) / 2
    with torch.no_grad():
        layer.weight[torch.tensor(present)] = torch.tensor(weights, dtype=torch.float32)
        layer.bias[torch.tensor(present)] = torch.tensor(shift, dtype=torch.float32)
    return layer


@contextlib.contextmanager
def _tolerant() -> Iterator[None]:
    """Take a regression that stopped early: it is a start, no more."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def _set_dropout(model: Any, share: float) -> None:
    """Set the dropout of all layers: attention without it has a far faster kernel on a CPU."""
    for module in model.modules():
        if type(module).__name__ == "Dropout":
            module.p = share
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = share
