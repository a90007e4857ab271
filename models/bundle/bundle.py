"""The bundle: a directory with everything that scoring needs, audited before anything in it is parsed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.bundle.codecs import json_bytes, npy_array, npy_bytes
from models.bundle.first_stage import pack_first_stage, unpack_first_stage
from models.bundle.manifest import Manifest, audit, read_manifest, write_directory
from models.bundle.prefilter import pack_prefilter, unpack_prefilter
from models.bundle.serialisation import pack_model, unpack_model
from models.cascade.first_stage import FirstStage
from models.encoder import ONNX_FILES, Encoder, OnnxEncoder, SentenceTransformerEncoder
from models.explain import Audience
from models.features.features import ReadTickets
from models.heads.head import Probabilities
from models.model import Model
from models.reference.reviews import ReviewMemory
from models.screening.prefilter import Prefilter
from models.toml_files import dump_policy, dump_rules
from triage.errors import BundleMismatch, BundleTampered, TriageError
from triage.gate import Gate, Promise, TargetGate
from triage.languages.names import language_code
from triage.policy import Policy, parse_policy
from triage.prediction import Prediction
from triage.rules import RuleBook, parse_rules
from triage.ticket import Ticket

ENCODER_FOLDER = "encoder"
_BATCH = 256
_TOLERANCE = 1e-3  # of a probability: sums in float32 come out differently on another processor
_MIN_COSINE = 0.97  # a quantised encoder differs between processors by less than this; another encoder by more
_PROBES = (
    Ticket(subject="Printer", body="The printer on the third floor prints nothing since this morning."),
    Ticket(body="I forgot my password, how do I set a new one?", channel="portal"),
    Ticket(body="Since the update every invoice total is wrong for all of us."),
)


class Unreviewed(NamedTuple):
    """What a model says of n tickets before reviews: vectors of shape [n, dim], and probabilities by target."""

    vectors: NDArray[np.float32]
    probabilities: dict[str, Probabilities]


class Cascade(NamedTuple):
    """A first stage, and the gate that was certified for both stages together."""

    stage: FirstStage
    gate: Gate


class Bundle:
    """A model with the gate, policy and rules it was certified with; what `Triager` decides by.

    Args:
        model: What was learned.
        encoder: Turns texts into vectors.
        gate: When the model may decide.
        policy: Of the helpdesk.
        rules: Of the helpdesk, with the precision measured in training.
        manifest: What the directory says of itself; empty for a bundle that was never saved.
    """

    def __init__(
        self,
        model: Model,
        encoder: Encoder,
        gate: Gate,
        policy: Policy,
        rules: RuleBook,
        manifest: Manifest | None = None,
    ) -> None:
        self.model = model
        self.encoder = encoder
        self.gate_alone = gate
        self.cascade: Cascade | None = None
        self.prefilter: Prefilter | None = None
        self.policy = self._shown_under = policy
        self.rules = rules
        self.manifest: Manifest = manifest or {}

    @property
    def gate(self) -> Gate:
        """When the bundle may decide: as certified for both stages together, or for the full model alone."""
        return self.gate_alone if self.cascade is None else self.cascade.gate

    def in_stages(self, cascade: Cascade | None) -> Bundle:
        """Return the same bundle with a first stage and its gate; None asks the full model about every ticket."""
        return self._with(self.model, cascade, self.prefilter)

    def screened_by(self, prefilter: Prefilter | None) -> Bundle:
        """Return the same bundle with what tells ordinary tickets; None asks the screening classifier about each."""
        return self._with(self.model, self.cascade, prefilter)

    @property
    def version(self) -> str:
        """The first twelve digits of the digest."""
        return str(self.manifest.get("digest", "unsaved"))[:12]

    @property
    def digest(self) -> str:
        """SHA-256 over everything the manifest says; equal digests decide equally."""
        return str(self.manifest.get("digest", ""))

    def predict(self, tickets: Sequence[Ticket], *, explain: bool = False, clearance: int = 0) -> list[Prediction]:
        """Predict each ticket; none influences another."""
        audience = Audience(self._shown_under, self.gate, clearance) if explain else None
        found: list[Prediction] = []
        for start in range(0, len(tickets), _BATCH):
            part = tickets[start : start + _BATCH]
            if self.cascade is None:
                found += self._in_full(part, None, audience)
            else:
                found += self._by_stages(self.cascade, part, audience)
        return found

    def _in_full(
        self, tickets: Sequence[Ticket], read: ReadTickets | None, audience: Audience | None
    ) -> list[Prediction]:
        """Ask the full model; `read` is what the first stage read of the same tickets, None where it did not."""
        texts = [ticket.text for ticket in tickets]
        vectors, cut = self.encoder.encode(texts), self.encoder.truncates(texts)
        features = self.model.features(tickets, vectors, read)
        return self.model.predict(tickets, features, cut, audience=audience)

    def _by_stages(self, cascade: Cascade, tickets: Sequence[Ticket], audience: Audience | None) -> list[Prediction]:
        answers, read = cascade.stage.answers(tickets, self.gate, self.policy, audience=audience)
        asked = [row for row, answer in enumerate(answers) if answer is None]
        if not asked:
            return [answer for answer in answers if answer is not None]
        rest = read.take(np.array(asked))
        given = iter(self._in_full([tickets[row] for row in asked], rest, audience))
        return [answer if answer is not None else next(given) for answer in answers]

    def probabilities_of(self, tickets: Sequence[Ticket]) -> Unreviewed:
        """Return the embeddings of n tickets, and the model's own probabilities by target, without any review."""
        vectors = self.encoder.encode([ticket.text for ticket in tickets])
        return Unreviewed(vectors, self.model.probabilities(self.model.features(tickets, vectors)))

    def first_probabilities_of(self, tickets: Sequence[Ticket]) -> Unreviewed | None:
        """Return guessed vectors and probabilities as the first stage has them; None where there is none."""
        if self.cascade is None:
            return None
        stage = self.cascade.stage
        features = stage.features(tickets)
        return Unreviewed(features.dense, stage.model.probabilities(features))

    def with_reviews(self, reviews: ReviewMemory | None) -> Bundle:
        """Return the same bundle with a desk's own reviews beside it; None takes them away.

        Where they do not say what the first stage makes of them, every ticket is put to the full model.
        """
        cascade = self.cascade
        if cascade is not None:
            first = None if reviews is None else reviews.first
            stage = cascade.stage.with_reviews(first)
            cascade = None if reviews is not None and first is None else cascade._replace(stage=stage)
        return self._with(replace(self.model, reviews=reviews), cascade, self.prefilter)

    def shown_under(self, policy: Policy) -> Bundle:
        """Return the same bundle, which explains and shows similar tickets as another policy has it.

        What it decides stays.
        """
        model = self.model.shown_under(policy)
        cascade = self.cascade
        if cascade is not None:
            shown = replace(cascade.stage.model, history=model.history, sensitive_clearance=model.sensitive_clearance)
            cascade = cascade._replace(stage=replace(cascade.stage, model=shown))
        made = self._with(model, cascade, self.prefilter)
        made._shown_under = policy
        return made

    def without_cascade(self) -> Bundle:
        """Return the same bundle with the full model alone, the gate that was certified for it, and no short cut."""
        return self._with(self.model, None, None)

    def indexed(self) -> Bundle:
        """Return the same bundle with graphs of its past tickets where they are many."""
        model = replace(self.model, history=self.model.history.indexed())
        if self.cascade is None:
            return self._with(model, None, self.prefilter)
        stage = self.cascade.stage
        first = replace(stage.model, history=model.history)
        return self._with(model, Cascade(replace(stage, model=first), self.cascade.gate), self.prefilter)

    def _with(self, model: Model, cascade: Cascade | None, prefilter: Prefilter | None) -> Bundle:
        made = Bundle(model, self.encoder, self.gate_alone, self.policy, rules=self.rules, manifest=self.manifest)
        made.cascade, made.prefilter, made._shown_under = cascade, prefilter, self._shown_under
        return made


def save_bundle(
    target: Path,
    bundle: Bundle,
    facts: Mapping[str, Any],
    *,
    encoder_files: Path | None,
    extras: Mapping[str, bytes] | None = None,
) -> Bundle:
    """Write a bundle, load it back and make sure that it answers as before.

    Args:
        target: Must be absent or empty.
        bundle: What to write.
        facts: What the manifest tells readers: settings, data, metrics.
        encoder_files: Directory of the ONNX encoder to put in; None leaves only the encoder's name.
        extras: Further files by name, for people: reports, plots, baselines.

    Returns:
        The bundle as loaded from `target`.

    Raises:
        InvalidRequest: If the target is occupied or cannot be written.
    """
    bundle = bundle.indexed()
    files: dict[str, bytes | Path] = {**pack_model(bundle.model), **(extras or {})}
    files["policy.toml"] = dump_policy(bundle.policy).encode()
    files["rules.toml"] = dump_rules(bundle.rules).encode()
    gates = _gate_facts(bundle.gate_alone)
    if bundle.cascade is not None:
        files |= pack_first_stage(bundle.cascade.stage)
        gates["cascade"] = _gate_facts(bundle.cascade.gate)
    files["gate.json"] = json_bytes(gates)
    if bundle.prefilter is not None:
        files |= pack_prefilter(bundle.prefilter)
    if encoder_files is not None:
        files |= {f"{ENCODER_FOLDER}/{name}": encoder_files / name for name in ONNX_FILES}
    vectors = bundle.encoder.encode([probe.text for probe in _PROBES])
    files["golden-vectors.npy"] = npy_bytes(vectors)
    for name, probabilities in bundle.model.probabilities(bundle.model.features(_PROBES, vectors)).items():
        files[f"golden-{name}.npy"] = npy_bytes(probabilities)
    named = {"name": bundle.encoder.name, "dim": bundle.encoder.dim, "inside": encoder_files is not None}
    write_directory(target, files, {**facts, "encoder": named})
    return load_bundle(target, encoder=None if encoder_files is not None else bundle.encoder)


def load_bundle(
    directory: Path, *, encoder: Encoder | None = None, expected_digest: str | None = None, threads: int | None = None
) -> Bundle:
    """Audit a bundle directory, build it from the bytes that were checked, and put a few fixed tickets to it.

    Args:
        directory: What `save_bundle` wrote.
        encoder: Stands in for one that is not inside the bundle.
        expected_digest: The digest it must have, as remembered by whoever promoted it; None takes any.
        threads: Texts encoded at a time; None takes one per core.

    Raises:
        BundleNotFound: If there is none.
        BundleTampered: If a file is missing, added, altered, or fits no other.
        BundleMismatch: If it was made for another code or encoder.
    """
    manifest = read_manifest(directory, expected_digest)
    files = audit(directory, manifest)
    model = unpack_model(files)
    try:
        gates = json.loads(files["gate.json"])
        both = gates.pop("cascade", None)
        gate, staged = _gate(gates), None if both is None else _gate(both)
        policy, rules = parse_policy(files["policy.toml"].decode()), parse_rules(files["rules.toml"].decode())
        golden = {name: npy_array(files[f"golden-{name}.npy"]) for name in ("vectors", *model.heads)}
    except (KeyError, ValueError, TypeError, AttributeError, TriageError) as error:
        raise BundleTampered(
            f"bundle {directory.name!r} is refused: {type(error).__name__} in gate, policy or rules; pull it again"
        ) from error
    encoder = encoder or _encoder(files, manifest, threads)
    cascade = None
    if staged is not None and isinstance(encoder, OnnxEncoder):
        stage = unpack_first_stage(files, model, encoder)
        cascade = None if stage is None else Cascade(stage, staged)
    bundle = Bundle(model, encoder, gate=gate, policy=policy, rules=rules, manifest=manifest).in_stages(cascade)
    bundle = bundle.screened_by(unpack_prefilter(files))
    try:
        _check_answers(bundle, golden, directory.name)
    except (ValueError, IndexError) as error:  # parts of other shapes than the rest
        raise BundleTampered(
            f"bundle {directory.name!r} is refused: its parts do not fit each other; pull or train it again"
        ) from error
    return bundle


def _encoder(files: Mapping[str, bytes], manifest: Manifest, threads: int | None) -> Encoder:
    if manifest["encoder"].get("inside"):
        return OnnxEncoder({name: files[f"{ENCODER_FOLDER}/{name}"] for name in ONNX_FILES}, threads)
    name = str(manifest["encoder"].get("name"))
    kind, _, source = name.partition(":")
    if kind != "sentence-transformers":
        raise BundleMismatch(f"bundle needs the encoder {name!r}, which is not inside it; hand it over or train again")
    return SentenceTransformerEncoder(source)


def _check_answers(bundle: Bundle, golden: Mapping[str, Any], name: str) -> None:
    """Compare the answers to a few fixed tickets with those given when the bundle was saved."""
    vectors = golden["vectors"]
    if vectors.shape != (len(_PROBES), bundle.encoder.dim):
        raise BundleMismatch(f"bundle {name!r} was saved with an encoder of another size; train it again")
    for target, probabilities in bundle.model.probabilities(bundle.model.features(_PROBES, vectors)).items():
        if probabilities.shape != golden[target].shape or not np.allclose(
            probabilities, golden[target], atol=_TOLERANCE
        ):
            raise BundleMismatch(f"bundle {name!r} does not answer as when it was saved ({target}); train it again")
    fresh = bundle.encoder.encode([probe.text for probe in _PROBES])
    if float((fresh * vectors).sum(axis=1).min()) < _MIN_COSINE:
        raise BundleMismatch(
            f"bundle {name!r}: its encoder gives other vectors here than when it was saved; train it again"
        )


def _gate_facts(gate: Gate) -> dict[str, Any]:
    return {
        "targets": {
            target: {
                "threshold": one.threshold,
                "per_class": dict(one.per_class),
                "certified_risk": one.certified_risk,
                "confidence": one.confidence,
                "promise": one.promise.value,
                "guards": dict(one.guards),
            }
            for target, one in gate.targets.items()
        },
        "max_novelty": gate.max_novelty,
        "languages": sorted(gate.languages),
        "min_words": gate.min_words,
        "min_margin": gate.min_margin,
        "max_excluded": gate.max_excluded,
        "max_ticket_risk_multiple": gate.max_ticket_risk_multiple,
        "tolerated_ticket_risk": gate.tolerated_ticket_risk,
        "max_stranger": gate.max_stranger,
    }


def _gate(facts: Mapping[str, Any]) -> Gate:
    languages = frozenset(language_code(stated) or stated for stated in facts["languages"])
    values = {**facts, "languages": languages}
    values["targets"] = {
        target: TargetGate(**{**one, "promise": Promise(one["promise"])}) for target, one in facts["targets"].items()
    }
    return Gate(**values)
