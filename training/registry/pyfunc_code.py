"""The bundle as MLflow's users call it: a Python function from tickets to decisions, kept as this file, without pickle.

MLflow copies this file beside the bundle and runs it where the model is loaded; it needs `models` and `triage` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd

from models.triager import Triager
from triage.decision import Decision
from triage.ticket import Ticket

_ATTRIBUTES, _ALL = "attributes.", "all"
_TEXTS = {"subject", "body", "text"}


class HelpdeskTriage(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined]
    """Decides tickets as the service does: by `Triager.decide`."""

    def load_context(self, context: Any) -> None:
        """Load the bundle, audited before anything in it is parsed."""
        self._triager = Triager.load(Path(context.artifacts["bundle"]))
        self._answer = str((context.model_config or {}).get("answer", _ALL))

    # MLflow reads the annotation of the input alone: a data frame it checks by the signature, anything else by itself.
    def predict(self, context, model_input: pd.DataFrame, params=None):  # type: ignore[no-untyped-def]
        """Return one row of decisions for each ticket, in order; one column where `model_config` says so.

        `model_config={"answer": "tier_top"}` returns that column alone, as `mlflow.models.evaluate` asks.

        Args:
            context: Not used.
            model_input: Columns `id`, `subject`, `body` or `text`, `channel`, `language`, `attributes.NAME`; all may be
                left out but one of the texts.
            params: Not used.

        Raises:
            ValueError: If no column has a text, or the answer asked for is none.
        """
        if not _TEXTS & set(model_input.columns):
            raise ValueError(f"the input has none of the columns {', '.join(sorted(_TEXTS))}: name what was written so")
        tickets = [_ticket(row) for row in model_input.to_dict("records")]
        targets = self._triager.policy.targets
        rows = [_row(decision, targets) for decision in self._triager.decide(tickets)]
        columns = list(rows[0] if rows else _row(self._triager.decide([Ticket()])[0], targets))
        if self._answer not in (_ALL, *columns):
            raise ValueError(f"model_config asks for {self._answer!r}: there are {_ALL}, {', '.join(columns)}")
        decided = pd.DataFrame(rows, index=model_input.index, columns=columns)
        return decided if self._answer == _ALL else decided[self._answer]


def _ticket(row: Mapping[str, Any]) -> Ticket:
    cells = {str(name): str(value) for name, value in row.items() if isinstance(value, str) and value}
    attributes = {name.removeprefix(_ATTRIBUTES): cells[name] for name in cells if name.startswith(_ATTRIBUTES)}
    return Ticket(
        id=cells.get("id", ""),
        subject=cells.get("subject", ""),
        body=cells.get("body") or cells.get("text", ""),
        channel=cells.get("channel"),
        language=cells.get("language"),
        attributes=attributes,
    )


def _row(decision: Decision, targets: tuple[str, ...]) -> dict[str, object]:
    row: dict[str, object] = {
        "tier": decision.tier,
        "category": decision.category,
        "resolver_group": decision.resolver_group,
        "automation": str(decision.automation),
        "reason": str(decision.reason),
    }
    for target in targets:
        verdict = decision.targets.get(target)
        best = verdict.alternatives[0] if verdict is not None and verdict.alternatives else None
        row[f"{target}_top"] = best.label if best else None
        row[f"{target}_probability"] = best.probability if best else None
        row[f"{target}_automation"] = str(verdict.automation) if verdict else None
    return row


mlflow.models.set_model(HelpdeskTriage())
