"""No text costs much more than another of its length, and no disguise changes how a rule reads a ticket."""

from __future__ import annotations

import runpy
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.triager import Triager
from triage.disguise import _INVISIBLE, MAX_GROWTH, MAX_MARKS, unmask
from triage.normalise import clean, fold, strip_html
from triage.ticket import Ticket

BENCH = Path(__file__).parents[2] / "bench"
MOST_TIMES_USUAL = 5.0


@contextmanager
def untraced() -> Iterator[None]:
    """Measure in the block what the program takes: who follows each line, as coverage does, slows Python and not C."""
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)


@pytest.mark.parametrize("way", ["decided by rules", "decided by a model", "handed to a vendor"])
def test_no_kind_of_hostile_text_costs_more_than_five_usual_long_tickets(
    way: str, make_bundle: Callable[..., Path]
) -> None:
    driver = runpy.run_path(str(BENCH / "text_cost.py"))
    with untraced():
        if way == "handed to a vendor":
            costs = driver["hand_over_costs"]()
        else:
            costs = driver["kind_costs"](Triager.load(make_bundle()) if way == "decided by a model" else Triager())
    assert len(costs) >= 40
    assert {kind: times for kind, times in costs.items() if times > MOST_TIMES_USUAL} == {}


def test_of_a_text_that_grows_eighteenfold_only_the_beginning_is_read() -> None:
    assert len(unmask("\ufdfa" * 20_000)) <= 20_000 + MAX_GROWTH
    assert unmask("\ufdfa" * 50) == unicodedata.normalize("NFKC", "\ufdfa" * 50)


def test_of_marks_in_a_row_the_first_thirty_are_read() -> None:
    assert unmask("a" + "\u0316" * 10_000 + "b") == "a" + "\u0316" * MAX_MARKS + "b"


def test_everything_that_nobody_sees_is_known_as_invisible() -> None:
    seen = [
        f"U+{code:04X}"
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in ("Cc", "Cf", "Co") and chr(code) not in "\n\t"
        if not _INVISIBLE.fullmatch(chr(code))
    ]
    assert seen == []


@pytest.mark.parametrize("mark", ["\ufe0f", "\U000e0100", "\u180b", "\u115f", "\u3164", "\uffa0", "\u034f", "\u200b"])
def test_what_nobody_sees_between_letters_changes_nothing(mark: str) -> None:
    assert fold(mark.join("password reset")) == "password reset"


@pytest.mark.parametrize(
    ("disguised", "meant"),
    [
        ("\u0441\u043e\u0440\u0443", "copy"),
        ("please \u0441\u043e\u0440\u0443 it", "please copy it"),
        ("\u0442\u0435\u0455\u0442 the \u0440\u0433\u0456nt\u0435r", "test the printer"),
        ("\u03bfut \u03bff \u03bfffice", "out of office"),
        ("\u043e\u0301", "\u00f3"),
    ],
)
def test_words_of_nothing_but_look_alikes_are_read_as_latin(disguised: str, meant: str) -> None:
    assert fold(disguised) == meant


@pytest.mark.parametrize(
    "text",
    [
        "\u0421\u0430\u0440\u0430 \u043d\u0435 \u043c\u043e\u0436\u0435\u0442 \u0432 Chrome",
        "\u0421\u0435\u0440\u0432\u0435\u0440 \u043d\u0435 \u043e\u0442\u0432\u0435\u0447\u0430\u0435\u0442",
        "\u0442\u03bf \u03bf\u03bd\u03bf\u03bc\u03b1 \u03bc\u03bf\u03c5 \u03b5\u03b9\u03bd\u03b1\u03b9",
        "\u0418\u0432\u0430\u043d cannot log in",
    ],
)
def test_what_is_written_in_another_script_stays_readable(text: str) -> None:
    assert unmask(text) == text


lettered = st.text(
    st.sampled_from(
        "ab \u0430\u043e\u0432\u043a\u0448\u0442\u0413\u0399\u03c3\u03b1\u03a9\u00e9\u0316\u0344\ufdfa\ufe0f"
    ),
    max_size=60,
)


@given(lettered)
def test_undoing_a_disguise_twice_changes_nothing_more(text: str) -> None:
    assert unmask(unmask(text)) == unmask(text)
    assert fold(fold(text)) == fold(text)
    assert clean(clean(text)) == clean(text)


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ('<p>a</p><b title="x > y">c</b>', "\na\nc"),
        ("<p>a<script>if (a < b) {}</script>b", "\nab"),
        ("<p>1 < 2 <br/>&lt;b&gt; &amp;", "\n1 < 2 \n\n<b> &"),
        ("<p>a<!-- b > c -->d<!-- e", "\nad<!-- e"),
        ("<p>a<title>t</title><style>p > b {}</style>", "\na"),
        ('<p>a <b title="c>d', "\na d"),
        ("<p>&#" + "1" * 5_000 + ";", "\n\ufffd"),
    ],
)
def test_html_is_read_however_malformed(html: str, text: str) -> None:
    assert strip_html(html) == text


def test_a_row_of_the_words_of_a_test_is_judged_in_time() -> None:
    assert Triager().decide([Ticket(subject="123 " * 2_000 + "x", body="123 " * 2_000 + "x")])
