"""Tickets refuse what no store can hold; cleaning never loses the message; disguises do not survive folding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.disguise import unmask
from triage.errors import InvalidTicket
from triage.normalise import clean, fold, strip_html
from triage.ticket import Ticket

anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=400)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"body": "a\x00b"}, "nul"),
        ({"subject": "a\ud800b"}, "invalid-unicode"),
        ({"channel": "x" * 65}, "too-long"),
        ({"attributes": {"site": "\x00"}}, "nul"),
        ({"body": 7}, "not-text"),
    ],
)
def test_a_ticket_refuses_what_a_store_cannot_hold(fields: dict[str, object], code: str) -> None:
    with pytest.raises(InvalidTicket) as caught:
        Ticket(**fields)  # type: ignore[arg-type]
    assert caught.value.code == code


def test_errors_never_show_the_text_of_a_ticket() -> None:
    with pytest.raises(InvalidTicket) as caught:
        Ticket(body="my secret is hunter2\x00")
    assert "hunter2" not in str(caught.value)


@given(anything)
def test_cleaning_is_idempotent_and_total(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(anything)
def test_folding_is_idempotent(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_cleaning_keeps_something_to_read_whenever_there_is_something() -> None:
    for text in ("> only a quote", "-- \nonly a signature", "Sent from my phone", "<div>hi</div>"):
        assert clean(text)


@pytest.mark.parametrize(
    ("body", "gone"),
    [
        ("It fails.\n\nOn Mon, 3 Aug 2026, A. Person wrote:\n> old words", "old words"),
        ("It fails.\n-- \nA. Person\nAccounts", "Accounts"),
        ("It fails.\nThis e-mail may be confidential and is intended for the addressee only.", "addressee"),
        ("<html><style>p {color: red}</style><p>It fails.</p></html>", "color"),
        ("Es klemmt. It fails.\nAm 3.8.2026 schrieb A. Person:\n> alte Worte", "alte Worte"),
    ],
)
def test_mail_furniture_is_removed(body: str, gone: str) -> None:
    assert "It fails." in clean(body)
    assert gone not in clean(body)


def test_long_logs_are_cut_short_and_the_words_around_them_kept() -> None:
    log = "\n".join(f"2026-03-01 10:00:{second:02d} job {second} failed" for second in range(30))
    text = clean(f"The import stopped.\n{log}\nPlease look.")
    assert "The import stopped." in text and "Please look." in text
    assert len(text.splitlines()) < 10


def test_disguises_do_not_survive() -> None:
    assert fold("p\u0430ssw\u200bord R\u0415SET") == "password reset"
    assert unmask("Сервер не отвечает") == "Сервер не отвечает"
    assert Ticket(body="re\u00adset my p\u0430ssword").text == "reset my password"


def test_html_is_stripped_and_angle_brackets_in_plain_text_are_not() -> None:
    assert strip_html("a < b and c > d") == "a < b and c > d"
    assert "alert" not in strip_html("<p>hi</p><script>alert(1)</script>")


def test_a_million_characters_are_cleaned_in_time() -> None:
    assert clean("word " * 200_000)
