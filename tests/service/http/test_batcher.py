"""The queue in front of the model: bounded, in order, in time, and routing by rules where the model fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextvars import copy_context
from typing import Any

import pytest

from api.http.exceptions import TooBusy
from api.scoring.admission import ARRIVED, AdmissionControl
from api.scoring.batcher import Batcher, Load
from models import triager
from models.serving.answers import AnswerMemory
from models.triager import Triager
from triage.decision import Reason
from triage.defaults import default_policy, default_rules
from triage.gate import Gate, TargetGate
from triage.prediction import Prediction, Score
from triage.ticket import Ticket


class Standin:
    """A bundle that predicts whatever it is told to, slowly, or fails at it."""

    def __init__(
        self,
        seconds: float = 0.0,
        error: type[BaseException] | None = None,
        poison: str = "",
        *,
        each: bool = False,
    ) -> None:
        self.version, self.policy, self.rules = "stand-in", default_policy(), default_rules()
        self.gate = Gate({"tier": TargetGate(0.5)}, min_words=0)
        self.seconds, self.error, self.poison = seconds, error, poison
        self.each = each
        self.batches: list[int] = []

    def predict(self, tickets: Sequence[Ticket], *, explain: bool, clearance: int) -> list[Prediction]:
        self.batches.append(len(tickets))
        time.sleep(self.seconds * (len(tickets) if self.each else 1))
        if self.error and (not self.poison or any(self.poison in ticket.body for ticket in tickets)):
            raise self.error("as asked")
        return [Prediction({"tier": (Score("L2", 0.9), Score("L1", 0.1))}, words=9) for _ in tickets]


def run(job: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(job, 20))


async def decide_all(batcher: Batcher, triager: Triager, count: int, deadline_s: float = 5.0) -> list[Any]:
    batcher.start()
    tickets = [Ticket(id=str(number), body=f"ticket {number}") for number in range(count)]
    asked = [batcher.decide(triager, [ticket], deadline_s=deadline_s) for ticket in tickets]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    await batcher.stop()
    return answers


def test_concurrent_requests_are_decided_together_and_each_gets_its_own() -> None:
    bundle = Standin(0.02)
    answers = run(decide_all(Batcher(queue_size=64, score_batch=16, wait_s=0.01), Triager(bundle), 40))
    assert [answer[0].ticket_id for answer in answers] == [str(number) for number in range(40)]
    assert max(bundle.batches) == 16 and len(bundle.batches) < 10


def test_a_text_that_comes_again_is_answered_from_memory() -> None:
    bundle = Standin()
    batcher, triager = Batcher(queue_size=8, score_batch=8, wait_s=0, memory=AnswerMemory()), Triager(bundle)

    async def ask(name: str) -> list[Any]:
        return await batcher.decide(triager, [Ticket(id=name, body="the same words")], deadline_s=5.0)

    async def job() -> list[Any]:
        batcher.start()
        answers = [(await ask(name))[0] for name in ("a", "b")]
        await batcher.stop()
        return answers

    first, second = run(job())
    assert (first.ticket_id, second.ticket_id, first.targets) == ("a", "b", second.targets)
    assert bundle.batches == [1]


def test_an_answer_that_was_under_way_when_everything_was_forgotten_is_not_remembered() -> None:
    memory = AnswerMemory()
    batcher, triager = Batcher(queue_size=8, score_batch=8, wait_s=0, memory=memory), Triager(Standin(0.2))

    async def job() -> int:
        batcher.start()
        asked = asyncio.create_task(batcher.decide(triager, [Ticket(body="private words")], deadline_s=5.0))
        await asyncio.sleep(0.1)
        memory.forget()
        await asked
        await batcher.stop()
        return len(memory)

    assert run(job()) == 0


def test_patient_clients_are_all_answered() -> None:
    """Each of 64 asks one ticket after another, at 5 ms a ticket and with two seconds of patience."""

    async def job() -> list[str]:
        bundle = Standin(0.005, each=True)
        batcher, triager = Batcher(queue_size=512, score_batch=32, wait_s=0), Triager(bundle)
        admission, outcomes = AdmissionControl(544, 2.0, lambda: batcher.queue_s), list[str]()
        batcher.start()

        async def client(name: int) -> None:
            for number in range(3):
                if admission.refusal() is not None:
                    outcomes.append("refused")
                    continue
                admission.enter()
                try:
                    await batcher.decide(triager, [Ticket(body=f"text {name} {number}")], deadline_s=2.0)
                    outcomes.append("answered")
                except TooBusy as error:
                    outcomes.append(error.code)
                finally:
                    admission.leave()

        await asyncio.gather(*(client(name) for name in range(64)))
        await batcher.stop()
        return outcomes

    assert run(job()) == ["answered"] * 192


def test_a_full_queue_refuses_at_once() -> None:
    began = time.monotonic()
    answers = run(decide_all(Batcher(queue_size=8, score_batch=4, wait_s=0), Triager(Standin(0.1)), 30))
    refused = [answer for answer in answers if isinstance(answer, TooBusy)]
    assert len(refused) == 30 - 8 and all(error.code == "queue-full" and error.retry_after_s >= 1 for error in refused)
    assert time.monotonic() - began < 2


def test_a_deadline_is_kept_even_where_scoring_hangs() -> None:
    began = time.monotonic()
    answers = run(decide_all(Batcher(queue_size=64, score_batch=4, wait_s=0), Triager(Standin(0.5)), 12, 0.3))
    assert all(isinstance(answer, TooBusy) and answer.code == "deadline" for answer in answers)
    assert time.monotonic() - began < 1.5


def test_what_nobody_waits_for_is_not_scored() -> None:
    bundle = Standin(0.2)
    run(decide_all(Batcher(queue_size=64, score_batch=4, wait_s=0), Triager(bundle), 40, 0.25))
    assert sum(bundle.batches) <= 12


@pytest.mark.parametrize(("error", "cause"), [(MemoryError, "memory"), (RuntimeError, "encoder")])
def test_a_failing_model_gives_way_to_the_rules(error: type[BaseException], cause: str) -> None:
    loads: list[Load] = []
    batcher = Batcher(queue_size=64, score_batch=8, wait_s=0.01, on_load=loads.append)
    answers = run(decide_all(batcher, Triager(Standin(error=error)), 5))
    assert all(answer[0].reason is Reason.MODEL_UNAVAILABLE and answer[0].model_version is None for answer in answers)
    assert {load.fallback for load in loads} == {cause}


@pytest.mark.parametrize("bundle", [Standin(), None])
@pytest.mark.parametrize("broken", ["shipped_classifier", "_opinions"])
def test_a_failing_screening_is_counted_and_logged_once(
    bundle: Standin | None, broken: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("words of a ticket")

    monkeypatch.setattr(triager, broken, fails)
    triager._warn_unscreened.cache_clear()
    loads: list[Load] = []
    batcher = Batcher(queue_size=64, score_batch=2, wait_s=0.01, on_load=loads.append)
    answers = run(decide_all(batcher, Triager(bundle), 5))
    assert all(answer[0].tier is not None for answer in answers)
    assert len(loads) > 1 and {load.fallback for load in loads} == {"screening"}
    [told] = [one.getMessage() for one in caplog.records if "screening" in one.getMessage()]
    assert told.endswith("RuntimeError") and "words of a ticket" not in caplog.text


def test_one_ticket_that_the_model_cannot_take_does_not_spoil_the_others() -> None:
    batcher = Batcher(queue_size=64, score_batch=8, wait_s=0.01)
    answers = run(decide_all(batcher, Triager(Standin(error=ValueError, poison="ticket 3")), 6))
    assert [answer[0].model_version for answer in answers] == ["stand-in"] * 3 + [None] + ["stand-in"] * 2


def test_single_requests_overtake_a_batch() -> None:
    async def job() -> list[str]:
        bundle, order = Standin(0.05), []
        triager, batcher = Triager(bundle), Batcher(queue_size=64, score_batch=8, wait_s=0)
        batcher.start()

        async def ask(name: str, count: int, bulk: bool) -> None:
            tickets = [Ticket(id=f"{name}{number}", body="some text") for number in range(count)]
            await batcher.decide(triager, tickets, deadline_s=10, bulk=bulk)
            order.append(name)

        async with asyncio.TaskGroup() as group:
            group.create_task(ask("batch", 64, True))
            await asyncio.sleep(0.06)
            group.create_task(ask("single", 1, False))
        await batcher.stop()
        return order

    assert run(job()) == ["single", "batch"]


def test_a_request_is_answered_by_one_model_even_if_another_takes_its_place() -> None:
    async def job() -> set[str | None]:
        old, new = Triager(Standin(0.02)), Triager(Standin(0.02))
        new.bundle.version = "newer"  # type: ignore[misc,union-attr]
        batcher = Batcher(queue_size=200, score_batch=4, wait_s=0)
        batcher.start()
        tickets = [Ticket(body=f"text {number}") for number in range(30)]
        first = asyncio.create_task(batcher.decide(old, tickets, deadline_s=10, bulk=True))
        second = asyncio.create_task(batcher.decide(new, tickets, deadline_s=10, bulk=True))
        versions = [{decision.model_version for decision in answers} for answers in (await first, await second)]
        await batcher.stop()
        assert all(len(seen) == 1 for seen in versions)
        return versions[0] | versions[1]

    assert run(job()) == {"stand-in", "newer"}


def test_whoever_waits_at_the_end_is_told() -> None:
    async def job() -> Any:
        batcher = Batcher(queue_size=8, score_batch=1, wait_s=0)
        batcher.start()
        triager = Triager(Standin(0.3))
        asked = [asyncio.create_task(batcher.decide(triager, [Ticket(body="a b")], deadline_s=9)) for _ in range(3)]
        await asyncio.sleep(0.05)
        await batcher.stop()
        return await asyncio.gather(*asked, return_exceptions=True)

    assert any(isinstance(answer, TooBusy) and answer.code == "draining" for answer in run(job()))


def test_a_burst_that_is_still_to_come_is_no_reason_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    admission = AdmissionControl(size=500, deadline_s=2.0)

    def end_one_after(seconds: float) -> None:
        now[0] += seconds
        admission.leave()
        admission.enter()

    for _ in range(32):
        admission.enter()
    for _ in range(10):  # a process that has just started, with a round of 22 under way
        end_one_after(0.07)
        assert admission.refusal() is None
    for _ in range(40):  # as slow for longer than a round: now it is known
        end_one_after(0.07)
    assert admission.refusal() is not None
    for _ in range(70):
        end_one_after(0.01)
    assert admission.refusal() is None


class Desk:
    """Clients at the door of a service that answers one request after the other, on a clock of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        self.admission = AdmissionControl(size=500, deadline_s=2.0)
        self.inside: list[float] = []

    def on_behalf(self, arrived: float, step: Callable[[], None]) -> None:
        context = copy_context()
        context.run(ARRIVED.set, arrived)
        context.run(step)

    def come(self) -> float | None:
        """Let somebody in who comes now, or turn them away: None."""
        self.now += 1e-6
        if self.admission.refusal() is not None:
            return None
        arrived = self.now
        self.on_behalf(arrived, self.admission.enter)
        return arrived

    def go(self, arrived: float) -> None:
        self.on_behalf(arrived, self.admission.leave)

    def serve(self, clients: int, seconds_each: float, count: int) -> int:
        """Answer requests of clients that all ask again at once, and return how many were turned away."""
        inside, refused = list[float](), 0
        for _ in range(count):
            while len(inside) < clients:
                arrived = self.come()
                if arrived is None:
                    refused += 1
                    break
                inside.append(arrived)
            self.now += seconds_each
            if inside:
                self.go(inside.pop(0))
        for arrived in inside:
            self.go(arrived)
        return refused

    def hang(self, count: int) -> list[float]:
        """Let requests in that never end."""
        arrived = [one for _ in range(count) if (one := self.come()) is not None]
        assert len(arrived) == count
        return arrived


def test_what_hung_once_makes_nobody_wait_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    hung = desk.hang(8)
    assert desk.serve(1, 0.3, 30) > 0, "a few that ask now and then looked slow, and the estimate has grown"
    for arrived in hung:
        desk.go(arrived)
    desk.serve(12, 0.01, 100)
    assert desk.serve(12, 0.01, 1000) == 0


def test_what_hangs_does_not_count_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    desk.hang(40)
    desk.serve(1, 0.3, 200)
    desk.serve(12, 0.01, 200)
    assert desk.serve(12, 0.01, 1000) == 0


def test_a_slow_hour_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    assert desk.serve(64, 0.25, 1000) > 0
    desk.serve(12, 0.01, 200)
    assert desk.serve(12, 0.01, 1000) == 0


def test_whoever_asks_a_slow_service_is_refused_as_long_as_it_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    desk.serve(64, 0.25, 300)
    for _ in range(20):
        assert desk.serve(64, 0.25, 100) > 80
        desk.now += 60.0  # nobody asks for a while
