"""Mails that nobody should write, and those that mail programs do write: read as a person would see them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from email.header import decode_header, make_header
from email.parser import BytesParser

import pytest

from api.http.reception import Received
from api.mail.answers import with_headers
from api.mail.message import identity, parse, ticket_of

HEAD = b"From: Kim <kim@example.org>\r\nSubject: printer\r\nMIME-Version: 1.0\r\n"
IMAGE = b"Content-Type: image/png; name=s.png\r\nContent-Disposition: inline; filename=s.png\r\n\r\niVBORw0KGgo="
TEXT = b"Content-Type: text/plain\r\n\r\n"
HTML = b"Content-Type: text/html; charset=utf-8\r\n\r\n"


def read(raw: bytes) -> Received:
    message = parse(raw)
    assert len(identity(message, raw)) == 64
    return ticket_of(message, "T-1", 20_000)


def parts(*bodies: bytes, kind: bytes = b"mixed") -> bytes:
    inner = b"".join(b"--b\r\n" + body + b"\r\n" for body in bodies)
    return b"Content-Type: multipart/" + kind + b"; boundary=b\r\n\r\n" + inner + b"--b--\r\n"


def nested(levels: int) -> bytes:
    return b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n%slevel %d\r\n--b%d\r\n"
        % (level, level, TEXT, level, level)
        for level in range(levels)
    )


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Type: text/plain; charset=idna\r\n\r\nthe printer jams",
        b"Content-Type: text/plain; charset=undefined\r\n\r\nthe printer jams",
        b"Content-Type: text/plain; charset=a\x00b\r\n\r\nthe printer jams",
        b"Content-Type: text/plain; charset*=a\x00b''utf-8\r\n\r\nthe printer jams",
        b"Content-Type: text/plain; name*\r\n\r\nthe printer jams",
        b"Content-Type: text/plain; name*0*=\"utf-8''\r\n\r\nthe printer jams",
        b"Message-ID: <a@[\r\n\r\nthe printer jams",
        b"Reply-To: " + b"(" * 20_000 + b"\r\n\r\nthe printer jams",
        b"Date: Mon, 99 (((\r\n\r\nthe printer jams",
        parts(TEXT + b"the printer jams", b"Content-Disposition: attachment; filename*\r\n\r\nxx"),
        parts(TEXT + b"the printer jams", nested(1_000)),
        parts(TEXT + b"the printer jams", b"Content-Type: message/rfc822\r\n\r\n" * 1_000),
    ],
)
def test_what_the_library_fails_on_is_read_all_the_same(rest: bytes) -> None:
    ticket = read(HEAD + rest)
    assert ticket.subject == "printer" and "the printer jams" in ticket.body


def test_a_sender_that_is_all_brackets_is_read() -> None:
    assert read(b"From: " + b"(" * 20_000 + b"\r\nSubject: printer\r\n\r\njams").body == "jams"


@pytest.mark.parametrize(
    "header",
    [
        b"Subject:" + b" =?utf-8?q?printer?=\r\n" * 31_000,
        b"Subject: printer\r\nContent-Type: text/plain" + b"; a=b" * 38_000 + b"\r\n",
        b"Subject: printer\r\nContent-Type: text/plain" + b"; a=b\r\n " * 22_000 + b"; a=b\r\n",
    ],
)
def test_a_long_header_takes_no_time(header: bytes) -> None:
    began = time.process_time()
    ticket = read(header + b"\r\nit jams")
    assert ticket.subject.startswith("printer") and ticket.body == "it jams"
    assert time.process_time() - began < 1


RELATED = parts(HTML + b"<p>the vpn drops</p>", IMAGE, kind=b"related").replace(b"=b", b"=c").replace(b"--b", b"--c")
ATTACHED_MAIL = b"From: a@example.org\r\nSubject: menu\r\n\r\nthe canteen menu\r\n"


@pytest.mark.parametrize(
    ("rest", "body"),
    [
        (parts(TEXT + b"Hi all,", IMAGE, TEXT + b"the vpn drops"), "Hi all,\nthe vpn drops"),
        (parts(HTML + b"<p>Hi all,</p>", IMAGE, HTML + b"<p>the vpn drops</p>"), "Hi all,\nthe vpn drops"),
        (parts(RELATED, TEXT + b"-- the list"), "the vpn drops\n-- the list"),
        (
            parts(
                HTML + b"<p>the vpn drops</p>",
                b"Content-Type: message/rfc822\r\nContent-Disposition: attachment\r\n\r\n" + ATTACHED_MAIL,
            ),
            "the vpn drops",
        ),
        (
            parts(HTML + b"<p>the vpn drops</p>", b"Content-Type: message/rfc822\r\n\r\n" + ATTACHED_MAIL),
            "the vpn drops",
        ),
        (
            parts(HTML + b"<p>the vpn drops</p>", b'Content-Type: text/plain; name="vpn.log"\r\n\r\n12:00 error'),
            "the vpn drops",
        ),
        (parts(b'Content-Type: text/plain; name="body.txt"\r\n\r\nthe vpn drops'), "the vpn drops"),
        (parts(HTML + b"<p>the <b>vpn</b> drops</p>", TEXT + b"the vpn drops", kind=b"alternative"), "the vpn drops"),
        (parts(TEXT + b" ", HTML + b"<p>the vpn drops</p>", kind=b"alternative"), "the vpn drops"),
        (parts(TEXT + b"the vpn drops", HTML + b"<p>the vpn drops</p>"), "the vpn drops"),
        (parts(HTML + b"<p>the vpn drops</p>", TEXT + b"-- the list"), "the vpn drops\n-- the list"),
        (parts(TEXT + b"the vpn drops", HTML + b"<html><body><br></body></html>"), "the vpn drops"),
    ],
)
def test_the_body_of_a_mail_is_what_its_program_shows(rest: bytes, body: str) -> None:
    assert read(HEAD + rest).body.strip() == body


def test_markup_takes_no_room_from_the_text() -> None:
    style = b'p.MsoNormal {margin:0cm; font-family:"Calibri",sans-serif;}\n' * 400
    below = b'<p class="MsoNormal"><span style="font-family:Calibri;mso-fareast-language:EN-US"></span></p>\n' * 80
    text = b"<p>I forgot my password, please reset it</p>"
    ticket = read(HEAD + HTML + b"<html><head><style>" + style + b"</style></head><body>" + text + below + b"</body>")
    assert ticket.body == "I forgot my password, please reset it" and ticket.cut == ()


@pytest.mark.parametrize(
    ("charset", "content", "text"),
    [
        (b"", "größer".encode(), "größer"),
        (b"", "größer".encode("cp1252"), "größer"),
        (b"us-ascii", "größer".encode(), "größer"),
        (b"us-ascii", "Büro".encode("cp1252"), "Büro"),
        (b"iso-8859-1", "“Büro” für 5 €".encode("cp1252"), "“Büro” für 5 €"),
        (b"iso-8859-15", "5 €".encode("iso-8859-15"), "5 €"),
        (b"", "Menü, Größe".encode()[:-2], "Menü, Grö�"),  # cut off within a character
        (b"", "Menü".encode("cp1252"), "Menü"),
    ],
)
def test_letters_stay_what_they_are_whatever_charset_is_stated(charset: bytes, content: bytes, text: str) -> None:
    stated = b"; charset=" + charset if charset else b""
    assert read(HEAD + b"Content-Type: text/plain" + stated + b"\r\n\r\n" + content).body == text


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("Drücker".encode(), "Drücker"),
        ("Drücker".encode("cp1252"), "Drücker"),
        (b"=?iso-8859-1?q?Dr=FCcker_=96_5_=80?=", "Drücker – 5 €"),
        (b"=?utf-8?q?Dr=C3?=\r\n =?utf-8?q?=BCcker?= jams", "Drücker jams"),
        (b"=?klingon?q?printer?= =?utf-8?b?a?=", "=?klingon?q?printer?= =?utf-8?b?a?="),
    ],
)
def test_subjects_are_decoded_as_far_as_they_can_be(written: bytes, read_as: str) -> None:
    assert read(b"Subject: " + written + b"\r\n\r\nx").subject == read_as


def headers_after(head: Sequence[bytes]) -> list[tuple[str, str]]:
    raw = b"\r\n".join([*head, b"", b"X-Triage-Group: a line of the body", b""])
    written = with_headers(raw, {"X-Triage-Group": "Störung – Büro"})
    assert written.isascii() and written.endswith(raw[raw.index(b"\r\n\r\n") :])
    message = BytesParser().parsebytes(written)
    return [(name, str(make_header(decode_header(value)))) for name, value in message.items()]


@pytest.mark.parametrize(
    "made_up",
    [
        [b"X-Triage-Group: executive-office"],
        [b"x-triage-AUTOMATION: automatic", b"X-Triage-Kind: spam,", b"\tmore of it"],
        [b"X-Triage-Attention:", b" safety", b"X-Triage-Decision: 0", b"X-Triage-Repeat: possible"],
    ],
)
def test_what_a_sender_makes_up_is_not_told_as_ours(made_up: list[bytes]) -> None:
    ours, kept = ("X-Triage-Group", "Störung – Büro"), [("Subject", "X-Triage-Group: no"), ("From", "kim@example.org")]
    for head in (
        [*made_up, b"Subject: X-Triage-Group: no", b"From: kim@example.org"],
        [b"Subject: X-Triage-Group: no", *made_up, b"From: kim@example.org"],
        [b"Subject: X-Triage-Group: no", b"From: kim@example.org", *made_up],
    ):
        assert headers_after(head) == [ours, *kept]


BROKEN = b"Message-ID: <scanner@example.org>\r\nDate: Mon, 30 Nov 2026 09:00:00 +0000\r\n"


@pytest.mark.parametrize(
    ("first", "second", "is_one"),
    [
        (BROKEN + b"\r\njams", BROKEN + b"Received: by another way\r\n\r\njams\r\n-- \r\nthe list", True),
        (BROKEN + b"\r\njams", BROKEN + b"\r\ndrops", False),
        (BROKEN + b"\r\njams", BROKEN.replace(b"09:00", b"09:01") + b"\r\njams", False),
        (b"Message-ID: <>\r\n" + BROKEN[35:] + b"\r\njams", b"Message-ID: <>\r\n" + BROKEN[35:] + b"\r\ndrops", False),
        (BROKEN[:35] + b"\r\njams", BROKEN[:35] + b"\r\ndrops", False),
        (b"\r\njams", b"\r\njams", True),
    ],
)
def test_what_makes_a_mail_the_same_one(first: bytes, second: bytes, is_one: bool) -> None:
    assert (identity(parse(first), first) == identity(parse(second), second)) is is_one
