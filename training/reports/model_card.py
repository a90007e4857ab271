"""The model card: what a bundle was made from, what it can do, where it cannot, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from training.evaluation.record import Record
from training.evaluation.slices import confused_pairs, slices
from training.gate.group_risk import FORGIVEN, least_decisions
from training.gate.served import certificates_of, gate_changes, labels_decided
from training.stages import DESCRIPTIONS, EXAMPLES, EXTENDED, FULL, STARTED, Stage, stage_of

SPLITS = {
    "time": "the latest ones",
    "group": "whole groups",
    "random": "at random, every label in proportion",
    "new": "those that the version before it had never seen",
    "each": "each in turn, asked of a model made without it",
    "none": "there were none",
}
"""How rows were set aside, in words."""

POLICIES = {"learn": "learned from the data", "default": "the default one"}


def model_card(manifest: Mapping[str, Any], record: Record, *, on: str = "", warning: str = "") -> str:
    """Write the model card of a bundle.

    Args:
        manifest: The manifest of the bundle.
        record: What it answered to the rows set aside, or to the tickets of `on`.
        on: What the bundle itself was measured on, in words; empty for the part set aside in training.
        warning: What whoever reads the figures of `on` has to know, such as that the bundle knew some of the tickets.
    """
    return "\n".join(_lines(manifest, record, on, warning)) + "\n"


def _lines(manifest: Mapping[str, Any], record: Record, on: str, warning: str) -> Iterator[str]:
    data, settings = manifest.get("data", {}), manifest.get("settings", {})
    stage = stage_of(manifest)
    yield f"# Model card: bundle {manifest['digest'][:12]}"
    yield ""
    yield "Routes helpdesk tickets: says which support tier, category and resolver group a ticket needs, and how sure"
    yield "it is; abstains where the error rate stated below could not be kept. It is made for the desk whose tickets"
    yield "it learned from; on another desk its figures do not hold."
    yield ""
    yield "## Made from"
    kept = f"{data.get('set_aside', '?')} of them set aside ({SPLITS.get(data.get('split'), 'unknown')})"
    yield f"- {data.get('rows', '?')} tickets, data digest `{str(data.get('digest', ''))[:16]}`, {kept}"
    yield f"- encoder `{manifest.get('encoder', {}).get('name', '?')}`, seed {settings.get('seed', '?')}"
    yield from _adaptation(manifest)
    yield f"- policy: {POLICIES.get(settings.get('policy'), 'a file of its own')}"
    yield f"- stage: **{stage.name}** ({stage.means}); what comes next needs"
    yield from (f"    - {need}" for need in stage.needs)
    for target, facts in manifest.get("targets", {}).items():
        excluded = facts.get("excluded") or {}
        if excluded:
            listed = ", ".join(f"{label} ({rows})" for label, rows in sorted(excluded.items()))
            yield f"- {target}: too rare to be predicted: {listed}"
    yield ""
    yield f"## How good, on {f'the tickets of {on}' if on else 'tickets it had not seen'}"
    yield from _figures(record)
    yield ""
    yield from _of_itself(warning) if on else _of_training(stage, manifest)
    yield ""
    yield "## Where it is weak"
    yield from _weaknesses(record)
    yield ""
    yield "## What is promised"
    yield from _promise(stage, manifest)
    yield ""
    yield "## Not for"
    yield "Deciding about people; judging how urgent a ticket is; tickets in languages that the training data lacks."


def _of_itself(warning: str) -> Iterator[str]:
    """Say whose figures they are where tickets were put to the bundle, and whether it knew them."""
    yield "These are the figures of the bundle itself, which answered these tickets as it would answer new ones."
    if warning:
        yield ""
        yield f"**{warning[0].upper()}{warning[1:]}.**"


def _of_training(stage: Stage, manifest: Mapping[str, Any]) -> Iterator[str]:
    """Say what became of the model that the figures are of, after the part set aside was put to it."""
    yield from _AFTERWARDS[stage.name]
    for change in gate_changes(manifest):
        yield ""
        yield f"**{change}.**"


_AFTERWARDS: Mapping[str, Sequence[str]] = {
    FULL: (
        "The bundle was then fitted again, to the part set aside as well, and its gate chosen anew; the figures are",
        "those of the model before, which had not seen that part.",
    ),
    EXTENDED: (
        "These are the figures of the bundle that this one was extended from, before it knew the labels added since.",
    ),
    EXAMPLES: (
        "Few tickets: a figure from 50 of them may be off by 0.14, and tickets of later months will be harder.",
    ),
    DESCRIPTIONS: ("No ticket was given, so nothing was measured: triage evaluate does, with labelled tickets.",),
}


_NO_PROOF = (
    "The tickets are too few for a part of their own: it was chosen on what models said of tickets that they had not "
    "learned from, which held in replays and is not a proof"
)


def _promise(stage: Stage, manifest: Mapping[str, Any]) -> Iterator[str]:
    if stage.name in STARTED:
        yield "Nothing: at this stage no label of the model is acted on without a person; only bypass rules decide."
        return
    settings, gate = manifest.get("settings", {}), manifest.get("gate", {})
    risk, confidence = settings.get("target_risk", "?"), settings.get("confidence", "?")
    calibration = str(gate.get("refitted", {}).get("calibration", ""))
    for target, served in certificates_of(manifest).items():
        say = _served_by_label if settings.get("per_class") else _served
        yield f"- {target}: {say(served, risk, confidence, cross_fitted=calibration.startswith('cross'))}"
        yield from (f"- {target}: {_guard(label, one, confidence)}" for label, one in served.get("guards", {}).items())
    floor = gate.get("max_ticket_risk")
    if floor is not None:
        yield f"- That is right on average. No single ticket is decided whose own risk is above {floor:.2f}."
    yield ""
    yield "After a change of products, teams or habits that is no promise: watch the realised rate and train again."
    if stage.name == EXTENDED:
        yield "It was made before labels were added: those are never decided without a person; the thresholds of the"
        yield "others stand, and their confidence is scaled down where a new label is likely."


def _served(gate: Mapping[str, Any], risk: object, confidence: object, *, cross_fitted: bool) -> str:
    """Say in words what the gate that is served promises for one target."""
    if gate["threshold"] is None:
        more = (
            f"about {gate['more_tickets']} more tickets"
            if gate["more_tickets"]
            else "no number of tickets is known that"
        )
        groups = f", of {gate['more_groups']} more groups," if gate.get("more_groups") else ""
        return f"nothing is promised and nothing decided; {more}{groups} would change that"
    said = f"at most {risk} of the automatic decisions are wrong with probability {confidence}"
    said = f"{said}, for {for_whom(gate, risk)}"
    return f"{said}. {_NO_PROOF}" if cross_fitted else said


def for_whom(gate: Mapping[str, Any], risk: object) -> str:
    """Say in words whom the certificate of a gate is for, where it keeps something."""
    if gate.get("promise") != "new_group":
        return "new tickets like those that the gate was chosen on; another organisation is not promised anything"
    made_on = f"(made on {gate['groups']} groups)"
    if gate.get("largest_group"):
        largest = f"none of which has more than {gate['largest_group']} in as long a time"
        return f"the tickets of groups that were never seen, taken together, {largest} {made_on}"
    enough = least_decisions(risk) if isinstance(risk, float) else FORGIVEN
    return f"a group that was never seen, from {enough} automatic decisions on {made_on}"


def _served_by_label(gate: Mapping[str, Any], risk: object, confidence: object, *, cross_fitted: bool) -> str:
    """Say in words what a gate with a threshold for each label promises for one target."""
    decided, labels = labels_decided(gate), len(gate.get("by_label", {}))
    if not decided:
        return f"nothing is promised and nothing decided: none of the {labels} labels could be certified alone"
    said = (
        f"{len(decided)} of {labels} labels may be decided ({', '.join(decided)}): at most {risk} of the automatic "
        f"decisions of each are wrong, for all of them at once with probability {confidence}, for new tickets like "
        "those that the gate was chosen on; the other labels are left to people"
    )
    return f"{said}. {_NO_PROOF}" if cross_fitted else said


def _guard(label: str, guard: Mapping[str, Any], confidence: object) -> str:
    """Say in words what the guard of a label that must not be missed promises."""
    least = f"{guard['min_recall']:.0%}"
    if not guard["limit"]:
        more = f"about {guard['more_tickets']} more tickets with this label, or a better model, would change that"
        return f"{least} of the {label} tickets cannot be kept from being missed, so no other label is decided; {more}"
    return (
        f"at least {least} of the {label} tickets are decided right or left to a person, with probability "
        f"{confidence}: no other label is decided where {label} has a probability of {guard['limit']:.3f} or more"
    )


def _adaptation(manifest: Mapping[str, Any]) -> Iterator[str]:
    tried = manifest.get("adaptation")
    if not tried:
        return
    if "log_loss" not in tried:
        yield "- adapting the encoder to the desk's labels was asked for and could not be tried"
        return
    rates = ", ".join(
        f"{target} accuracy {each['plain']:.3f} without and {each['adapted']:.3f} with it"
        for target, each in tried["accuracy"].items()
    )
    done = f"{tried['steps']} steps of {tried['batch']} tickets out of {tried['tickets']}"
    losses = f"{tried['log_loss']['plain']:.4f} without and {tried['log_loss']['adapted']:.4f} with it"
    yield f"- the encoder {'is' if tried['kept'] else 'is not'} adapted to the desk's own labels ({done} were tried):"
    yield f"  on {tried['rows']} tickets kept back from them log loss {losses}, {rates}"
    if tried["kept"]:
        yield "- combination, calibration and gate were fitted on tickets that the encoder had not been adapted to"


def _figures(record: Record) -> Iterator[str]:
    yield ""
    yield "| target | tickets | accuracy | macro-F1 | ECE | AURC | decided alone | wrong among those |"
    yield "|---|---|---|---|---|---|---|---|"
    for target, values in record.measured["targets"].items():
        figures = (values[key] for key in ("accuracy", "macro_f1", "ece", "aurc", "coverage", "selective_risk"))
        yield f"| {target} | {values['rows']} | " + " | ".join(f"{figure:.3f}" for figure in figures) + " |"
    route = record.measured["route"]
    automatic, wrong, right = (f"{route[key]:.3f}" for key in ("coverage", "risk", "accuracy"))
    yield ""
    yield f"Whole route: {automatic} automatic, {wrong} of those wrong, {right} right over all."
    for target, values in record.measured["targets"].items():
        if "misses" in values:
            misses = values["misses"]
            yield f"Tiers missed by one: {misses['off_by_one']:.3f}; by two or more: {misses['severe']:.3f}."
        if "by_level" in values:
            listed = "; ".join(
                f"level {row['level']}: {row['accuracy']:.3f} of {row['rows']} as written, "
                f"{row['learned_accuracy']:.3f} of {row['learned_rows']} as learned"
                for row in values["by_level"]
            )
            yield f"{target} by level: {listed}."
        for one in values.get("guards", ()):
            yield (
                f"{target} {one['label']}, which must not be missed: of {one['rows']} tickets {one['decided_right']} "
                f"were decided right, {one['left_to_people']} left to people, {one['missed']} decided as another."
            )
        if "label_shift" in values:
            yield from _shift(target, values["label_shift"])
        if values["baselines"]:
            listed = ", ".join(f"{name} {figures['accuracy']:.3f}" for name, figures in values["baselines"].items())
            yield f"For comparison, {target} accuracy of {listed}."


def _shift(target: str, shift: Mapping[str, Any]) -> Iterator[str]:
    for tickets, key in (
        ("as they came", "as_it_came"),
        ("weighted to the shares that the policy expects", "as_expected"),
    ):
        figures_of = (
            f"{name} correction accuracy {figures['accuracy']:.3f}, ECE {figures['ece']:.3f}"
            for name, figures in shift[key].items()
        )
        yield f"{target}, tickets {tickets}: {'; '.join(figures_of)}."


def _weaknesses(record: Record) -> Iterator[str]:
    found = False
    for target, outcome in record.outcomes.items():
        for part in [part for part in slices(record, target) if part.gap < 0 and part.notable][:4]:
            found = True
            yield f"- {target}, {part.by} {part.value}: accuracy {part.accuracy:.2f} on {part.rows} tickets"
        pairs = confused_pairs(outcome, 3)
        if pairs:
            found = True
            listed = ", ".join(f"{pair['true']} taken for {pair['named']} ({pair['rows']})" for pair in pairs)
            yield f"- {target}: most often {listed}"
    if not found:
        yield "- nothing stands out"
