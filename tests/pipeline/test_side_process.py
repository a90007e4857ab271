"""The final model is learned in a process beside: what comes back, what goes wrong there, and that nothing differs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from models.encoder import ONNX_FILES, OnnxEncoder
from training import pipeline
from training.engines.side_process import SideProcess, side_process
from training.task import TrainSettings
from triage.errors import InvalidPolicy, InvalidRequest
from triage.policy import read_policy


def test_a_result_comes_from_another_process_however_often_it_is_asked_for() -> None:
    with side_process(os.getpid) as side:
        result = side.begin(os.getpid)
        assert result() == result() != os.getpid()


def test_what_fails_there_fails_here_with_its_words(tmp_path: Path) -> None:
    absent = partial(read_policy, tmp_path / "absent.toml")
    with side_process(os.getpid) as side, pytest.raises(InvalidPolicy, match=r"absent\.toml"):
        side.begin(absent)()


def test_a_process_that_the_system_ends_is_told_as_that() -> None:
    with side_process(os.getpid) as side, pytest.raises(InvalidRequest, match="--newest"):
        side.begin(partial(signal.raise_signal, signal.SIGKILL))()


def test_a_process_that_ended_before_its_call_is_told_as_that() -> None:
    with side_process(partial(signal.raise_signal, signal.SIGKILL)) as side:
        time.sleep(0.5)
        with pytest.raises(InvalidRequest, match="--newest"):
            side.begin(os.getpid)()


def test_a_call_that_nobody_waits_for_ends_with_the_block() -> None:
    with side_process(os.getpid) as side:
        side.begin(partial(signal.sigtimedwait, {signal.SIGUSR1}, 600))  # to hang is to fail


def test_an_encoder_travels_as_its_folder_and_one_of_a_bundle_does_not(encoder: Path) -> None:
    here = OnnxEncoder(encoder, threads=1)
    there = copy(here)
    assert np.array_equal(here.encode(["vpn drops at noon"]), there.encode(["vpn drops at noon"]))
    inside = OnnxEncoder({name: (encoder / name).read_bytes() for name in ONNX_FILES})
    with pytest.raises(TypeError, match="inside a bundle"):
        copy(inside)


def test_a_bundle_learned_beside_is_the_one_that_is_learned_afterwards(
    encoder: Path, tickets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    def counted(side: SideProcess, call: partial[object]) -> object:
        started.append(call)
        return begin(side, call)

    begin = SideProcess.begin
    monkeypatch.setattr(pipeline, "cpu_count", lambda: 2)
    monkeypatch.setattr(SideProcess, "begin", counted)
    found = {}
    for name, least in (("afterwards", 10_000), ("beside", 100)):
        monkeypatch.setattr(pipeline, "LEAST_BESIDE", least)
        out = tmp_path / name
        with threadpool_limits(1):  # as many as beside: on some processors a product rounds by its threads
            pipeline.train(TrainSettings((tickets,), out, encoder=str(encoder), target_risk=0.2), log=lambda step: None)
        files = [one for one in sorted(out.rglob("*")) if one.is_file() and one.name != "manifest.json"]
        found[name] = {str(one.relative_to(out)): one.read_bytes() for one in files}
    assert len(started) == 1
    assert found["beside"].keys() == found["afterwards"].keys()
    assert [name for name, content in found["beside"].items() if content != found["afterwards"][name]] == []


def test_a_process_that_has_nothing_to_do_is_ended_before_anything_is_learned(
    encoder: Path, tickets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    @contextmanager
    def noted(at_once: Callable[[], object]) -> Iterator[SideProcess]:
        with side_process(at_once) as side:
            yield side
        steps.append("ended")

    monkeypatch.setattr(pipeline, "cpu_count", lambda: 2)
    monkeypatch.setattr(pipeline, "LEAST_BESIDE", 100)
    monkeypatch.setattr(pipeline, "side_process", noted)
    settings = TrainSettings((tickets,), tmp_path / "bundle", target_risk=0.2)
    pipeline.train(settings, encoder=OnnxEncoder(encoder), log=steps.append)  # it has no files that could travel
    learning = next(place for place, step in enumerate(steps) if step.startswith("learning from"))
    assert steps.index("ended") < learning
