"""What gate and first stage of a saved bundle decide and answer: both are chosen anew after the fit to all tickets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_MUCH = 0.75
"""Factor from which on a change is told: below it both gates let through about as much."""


@dataclass(frozen=True)
class ServedGate:
    """Shares of tickets that a gate lets the model decide, of those that it was chosen on.

    Attributes:
        measured: By the gate of the model that was measured on the tickets set aside.
        served: By the gate of the bundle, whose model has learned from all tickets.
        coverage: What the measured model decided of the tickets set aside; None where that is not known.
    """

    measured: float
    served: float
    coverage: float | None

    def change(self, target: str) -> str | None:
        """Say in a sentence that the figures measured are not those of the bundle; None where they are about right."""
        seen = f" of those set aside the model measured before decided {self.coverage:.3f}" if self.coverage else ""
        if self.measured and not self.served:
            return (
                f"{target}: the bundle decides nothing by itself. When it had learned from all tickets, the error rate "
                f"asked for could not be certified;{seen or ' that of the model before could'}"
            )
        if self.served and not self.measured:
            return (
                f"{target}: the bundle decides by itself, {self.served:.3f} of the tickets that its gate was chosen "
                "on; the model that was measured before it had learned from all tickets decided nothing"
            )
        if not self.measured * _MUCH <= self.served <= self.measured / _MUCH:
            return (
                f"{target}: the gate of the bundle lets {self.served:.3f} of the tickets through that it was chosen "
                f"on, that of the model measured before {self.measured:.3f}"
            )
        return None


def served_gates(manifest: Mapping[str, Any]) -> dict[str, ServedGate]:
    """Return by target what the manifest of a trained bundle says of its gate; empty for one that was only started."""
    measured, served = certificates_of(manifest, "measured_with"), certificates_of(manifest)
    figures = manifest.get("metrics", {}).get("targets", {})
    by_label = bool(manifest.get("settings", {}).get("per_class"))
    return {
        target: ServedGate(
            _share(measured.get(target, {}), by_label=by_label),
            _share(found, by_label=by_label),
            figures.get(target, {}).get("coverage"),
        )
        for target, found in served.items()
    }


def certificates_of(manifest: Mapping[str, Any], model: str = "refitted") -> dict[str, Mapping[str, Any]]:
    """Return by target what could be certified of the gate that decides: of both stages where there is a first one.

    Args:
        manifest: Of a bundle; one that was only started says nothing.
        model: ``refitted`` for the bundle, ``measured_with`` for the model that was measured before.
    """
    alone = manifest.get("gate", {}).get(model, {})
    both = manifest.get("cascade", {}).get(model) or {}
    return {target: both.get(target, found) for target, found in alone.items() if isinstance(found, Mapping)}


def labels_decided(certificates: Mapping[str, Any]) -> list[str]:
    """Return the labels that a gate with a threshold for each of them lets the model decide.

    Args:
        certificates: What a manifest says of a target's gate.
    """
    alone: Mapping[str, Mapping[str, Any]] = certificates.get("by_label", {})
    return [label for label, one in alone.items() if one.get("threshold") is not None]


def gate_changes(manifest: Mapping[str, Any]) -> list[str]:
    """Return what `ServedGate.change` says of each target, where it says something, and the same of a first stage."""
    said = [found.change(target) for target, found in served_gates(manifest).items()]
    return [line for line in (*said, _stage_change(manifest)) if line is not None]


def _stage_change(manifest: Mapping[str, Any]) -> str | None:
    """Say in a sentence that the first stage of the bundle is not the one that was measured; None where it is alike."""
    cascade = manifest.get("cascade") or {}
    measured, served = ((cascade.get(name) or {}).get("share", 0.0) for name in ("measured_with", "refitted"))
    if measured and not served:
        return (
            "the bundle has no first stage, and puts every ticket to the full model: when it had learned from all "
            "tickets, one would have cost accuracy or let far less be automatic; the model measured before had one"
        )
    if served and not measured:
        return (
            f"the bundle has a first stage, which answers {served:.3f} of the tickets that its gate was chosen on; the "
            "model that was measured before it had learned from all tickets had none"
        )
    if not measured * _MUCH <= served <= measured / _MUCH:
        return (
            f"the first stage of the bundle answers {served:.3f} of the tickets that its gate was chosen on, that of "
            f"the model measured before {measured:.3f}"
        )
    return None


def _share(certificate: Mapping[str, Any], *, by_label: bool) -> float:
    alone = certificate.get("by_label", {}).values()
    kept = sum(one.get("kept", 0) for one in alone) if by_label else certificate.get("kept", 0)
    return float(kept / max(1, certificate.get("tickets", 0)))
