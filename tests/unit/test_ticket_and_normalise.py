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


OWN = "The scanner on the second floor has stopped and shows a red light since noon, please send somebody."
BELOW = "We moved your appointment.\nBring the forms."


@pytest.mark.parametrize(
    "header",
    [
        "From: Office <o@example.org>\nSent: Monday, 8 January 2024 08:00\nTo: Kim\nSubject: Forms",
        "*From:* Office\n*Sent:* Monday\n*To:* Kim\n*Subject:* Forms",
        "Von: Büro\nGesendet: Montag, 8. Januar 2024 08:00\nAn: Kim\nBetreff: Formulare",
        "De : Bureau\nEnvoyé : lundi 8 janvier 2024\nÀ : Kim\nObjet : Formulaires",
        "De: Oficina\nEnviado el: lunes, 8 de enero\nPara: Kim\nAsunto: Formularios",
        "Da: Ufficio\nInviato: lunedì\nA: Kim\nOggetto: Moduli",
        "Van: Kantoor\nVerzonden: maandag\nAan: Kim\nOnderwerp: Formulieren",
        "Från: Kontoret\nSkickat: den 8 januari\nTill: Kim\nÄmne: Formulär",
        "Od: Biuro\nWysłano: poniedziałek\nDo: Kim\nTemat: Formularze",
        "On Mon, 8 Jan 2024 at 08:00, A Very Long Name Indeed\n<office@example.org> wrote:",
        "Il giorno lun 8 gen 2024 alle ore 08:00 Ufficio ha scritto:",
        "Op ma 8 jan. 2024 om 08:00 schreef Kantoor <k@example.org>:",
        "Em seg., 8 de jan. de 2024, Escritório escreveu:",
    ],
)
@pytest.mark.parametrize("rule", ["", "________________________________\n", "\n-----\n"])
def test_what_was_answered_is_left_out_in_the_usual_languages(header: str, rule: str) -> None:
    ticket = Ticket(body=f"{OWN}\n\n{rule}{header}\n\n{BELOW}")
    assert "appointment" not in ticket.text and ticket.text.startswith(OWN[:60])
    assert "quoted_history" in {part.what for part in ticket.left_out}


@pytest.mark.parametrize("pointer", ["Please see the mail below.", "FYI", "Bitte siehe unten, danke euch"])
def test_what_is_pointed_at_is_read(pointer: str) -> None:
    body = f"{pointer}\n\nFrom: Kim\nSent: Monday\nTo: Desk\nSubject: Scanner\n\n{OWN}"
    assert OWN in Ticket(body=body).text
    assert OWN not in Ticket(subject="Re: Scanner", body=body).text
    unbroken = "打印机从昨天下午开始一直卡纸请派人来看一下"
    assert Ticket(body=body.replace(pointer, unbroken)).text == unbroken


@pytest.mark.parametrize(
    ("around", "what"),
    [
        ("CAUTION: This email originated from outside of the organization. Do not click links or open attachments "
         "unless you recognize the sender.\n\n{}", "banner"),
        ("[EXTERNAL]\n{}", "banner"),
        ("***EXTERNAL EMAIL***\n\n{}", "banner"),
        ("ACHTUNG: Diese E-Mail stammt von außerhalb der Firma.\n{}", "banner"),
        ("Attention : ce message provient de l'extérieur. Ne cliquez pas sur les liens inconnus.\n{}", "banner"),
        ("You don't often get email from kim@example.org. Learn why this is important\n{}", "banner"),
        ("{}\n[cid:image001.png@01DA4211.5B0C]", "inline_data"),
        ("{}\n" + "aGVsbG8gd29ybGQhIHRoaXMgaXMgYSB0ZXN0IQ" * 4, "inline_data"),
        ("{}\ndata:image/png;base64," + "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAA" * 9, "inline_data"),
        ("{}\nSystem.FormatException: Input string\n" + "   at A.B`1.C(String d) in C:\\a\\b.cs:line 7\n" * 4, "log"),
        ("{}\nTypeError: x is undefined\n    at Object.<anonymous> (/srv/a.js:1:2)\n    at async b (/a.js:3:4)", "log"),
        ('{}\nTraceback (most recent call last):\n  File "a.py", line 1, in b\n  File "c.py", line 2, in d', "log"),
        ("{}\n" + "Jan  8 08:00:01 host7 daemon[12]: state 3\n" * 9, "log"),
        ("{}\n" + "<34>1 2024-01-08T08:00:01Z host7 daemon 12 - - state 3\n" * 9, "log"),
    ],
)  # fmt: skip
def test_what_programs_put_around_a_message_is_left_out_and_said(around: str, what: str) -> None:
    ticket = Ticket(body=around.format(OWN))
    assert ticket.text == OWN
    assert {part.what for part in ticket.left_out} == {what}


@pytest.mark.parametrize(
    "data", ["aGVsbG8gd29ybGQhIHRoaXMg" * 4, "data:image/png;base64," + "iVBORw0KGgoAAAANSUhE" * 9]
)
def test_the_words_behind_inline_data_stay(data: str) -> None:
    assert Ticket(body=f"See here\n{data}\nPrinter jams").text == "See here\nPrinter jams"
    assert Ticket(body=f"See here\n{data}==\n{OWN}").text == f"See here\n{OWN}"


def test_words_that_look_like_furniture_stay() -> None:
    for text in (
        "This message about the external monitor came up twice, what is it?",
        "I cannot open attachments in Outlook any more",
        "From: the second floor to the cellar no lamp works",
        "It fails with System.FormatException: Input string was not in a correct format",
    ):
        assert Ticket(body=text).text == text


def test_escaped_html_is_read_as_html() -> None:
    assert Ticket(body="&lt;p&gt;R&amp;amp;D &amp;quot;lab&amp;quot;&lt;/p&gt;").text == 'R&D "lab"'
    assert Ticket(body="AT&amp;T line is dead").text == "AT&T line is dead"
