"""What is no ticket: automatic replies, bounces, thanks, requests to close, newsletters, spam, nothing and nonsense."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import re2

from triage.languages.alphabets import holds_other_script, other_letters
from triage.normalise import may_hold_furniture, read
from triage.screening.cues import compile_cue, one_of
from triage.screening.reading import plain
from triage.ticket import Ticket

KINDS = ("empty", "gibberish", "bounce", "auto_reply", "newsletter", "spam", "close_request", "thanks")
"""What a message that is no ticket can be, in the order in which it is asked."""

_READ_CHARS = 4_000
_MANY_HINTS = 3
"""Different hints that make a newsletter or spam where no phrase says so: two stand in many a real request."""

_CLOSING_WORDS = 60
"""Words up to which a message may be nothing but thanks or a request to close: longer ones tell something besides."""

_OTHER_WORDS = 8
"""Words that thanks may have beside them ("at the service desk", "my boss liked it too")."""

_REASON_WORDS = 22
"""Words that a request to close may have beside it: why the matter is over."""

_NAME_WORDS = 3

_NAME_LETTERS = 12
"""Letters of another script that thanks may have beside them: a name has no more."""

_WORD = re.compile(r"[^\W\d_]+")
# What is read with re2 could take `re` time with the square of a text's length, or far more.
_NO_LETTERS = r"[^\p{L}\p{N}_]*"
_NO_SUBJECT = re2.compile(
    rf"(?i)^{_NO_LETTERS}(?:(?:re|aw|fw|fwd|wg|sv|tr)\s*:\s*)*"
    r"(?:[(\[]?(?:no subject|blank|empty|kein betreff|ohne betreff|sans objet|sin asunto)[)\]]?)?"
    rf"{_NO_LETTERS}$"
)
# What a mail program puts where nobody wrote anything.
_PLACEHOLDER = re2.compile(
    r"(?i)\[(?:image|cid|bild|inline)[^\]]*\]|get outlook for \w+|outlook (?:für|pour|para) \w+ (?:holen|télécharger)"
)
_SIGN_OFF = re2.compile(
    rf"(?i)^{_NO_LETTERS}(?:(?:kind|best|warm|many)?\s*(?:regards|wishes|greetings)|yours (?:sincerely|truly)|sincerely"
    r"|cheers|mit freundlichen grüßen|freundliche grüße|viele grüße|mfg|cordialement|bien à vous"
    rf"|saludos(?: cordiales)?|atentamente){_NO_LETTERS}$"
)
_CLAUSE = re.compile(r"[.!;:,\n]+|\s[-–—]\s")
_PREFIX = re.compile(r"(?i)^\W*(?:(?:re|aw|sv|rv|tr)\s*:\s*)+")
_KEYBOARD = re.compile(
    r"(?:asd|sdf|dfg|fgh|ghj|hjk|jkl|lkj|kjh|qwe|wer|ert|rtz|rty|tzu|uio|iop|yxc|zxc|xcv|cvb|vbn|bnm|qqq|wertz)"
)
_VOWELS = frozenset("aeiouyáàâäéèêëíìîïóòôöúùûüæøåıœ")
_TEST = re2.compile(
    r"(?:(?:this is (?:just |only )?a |just a |please ignore|only |ein |un |una )*"
    r"(?:test(?:ing)?s?|tests?mail|prueba|essai|probe|hello world|foo|bar|lorem ipsum|123|ignore)"
    rf"(?: (?:of the web ?form|mail|message|email|ticket|please|only|bitte ignorieren|ignore|\d+))*{_NO_LETTERS})+"
)
_BABBLE = frozenset(
    (
        *("la", "bla", "blah", "blub", "lol", "haha", "hihi", "poo", "hi", "hello", "hey", "test", "tst", "tests"),
        *("ok", "testing", "one", "two", "three", "un", "deux", "uno", "dos", "eins", "zwei", "lorem", "ipsum"),
        *("dolor", "sit", "amet", "consectetur", "adipiscing", "elit", "is", "this", "on", "mum"),
    )
)
"""Words of people who try a form out; a message of nothing else says nothing."""

_MOST_SIGNATURE_LINES = 5
_SHORT_WORDS = 30
_JUNK_SHARE = 0.5
"""Share of words that no language has, from which a text is nonsense."""
_UNREAD, _UNREAD_SHARE = 2, 0.15
"""Characters that nobody could decode, and how many for each letter, above which a text is nonsense: a twentieth of the
letters is what umlauts and accents come to that were decoded wrongly."""

_ACRONYM_LETTERS = 6
_WITHOUT_VOWELS = frozenset(
    (
        *("http", "https", "html", "xhtml", "smtp", "dhcp", "snmp", "sftp", "tftp", "ftps", "pptp", "grpc", "mtls"),
        *("mssql", "pgsql", "xlsx", "xlsm", "xlsb", "pptx", "pptm", "sccm", "wsdl", "cmdb", "vpns", "kbps", "mbps"),
        *("gbps", "gmbh", "mgmt", "msgs", "prtg"),
    )
)
"""Words of helpdesks without a vowel, which are written in lower case too."""


@dataclass(frozen=True)
class NoTicket:
    """Why a message is no ticket: its kind, the words or the header that say so, and whether that leaves no doubt."""

    kind: str
    evidence: str
    certain: bool = False


@dataclass(frozen=True)
class _Cues:
    subject: Any
    strong: Any
    weak: tuple[Any, ...]


@cache
def _cues() -> tuple[Mapping[str, _Cues], Any, Any, Any]:
    """Return the cues by kind, what says that somebody wants something done, what goes on after thanks, what asks."""
    data = tomllib.loads(files(__package__).joinpath("intake.toml").read_text("utf-8"))
    request, more, asking = (one_of(data.pop(name)["any"]) for name in ("request", "more", "asking"))
    cues = {
        kind: _Cues(one_of(table["subject"]), one_of(table["strong"]), tuple(map(compile_cue, table["weak"])))
        for kind, table in data.items()
    }
    return cues, request, more, asking


def no_ticket(ticket: Ticket) -> NoTicket | None:
    """Say why a message is no ticket; None where somebody wants something, or nothing speaks against it.

    Headers of the mail count where the caller hands them over as attributes, such as ``Auto-Submitted``
    (RFC 3834), ``Precedence``, ``Return-Path`` or ``Content-Type: multipart/report`` (RFC 6522).
    """
    message = _Message.of(ticket)
    header = _by_header(ticket.attributes)
    certain = _certain(message, header)
    if certain is not None:
        return certain
    if message.is_nonsense:
        return NoTicket("gibberish", message.evidence)
    if message.wants_something and not message.is_machine_made:
        return None
    return next((found for kind in KINDS[2:] if (found := message.speaks_for(kind, header))), None)


def certainly_no_ticket(ticket: Ticket) -> NoTicket | None:
    """Say why a message is no ticket where no opinion about its words could change that: it is empty, or by headers."""
    return _certain(_Message.of(ticket), _by_header(ticket.attributes))


def _certain(message: _Message, header: NoTicket | None) -> NoTicket | None:
    if not message.says_something:
        return NoTicket("empty", message.subject.strip(), certain=True)
    if header is not None and header.kind in ("bounce", "auto_reply"):
        return replace(message.speaks_for("bounce", header) or header, certain=True)
    return None


def _by_header(attributes: Mapping[str, str]) -> NoTicket | None:
    """Return what the headers say by themselves; `newsletter` is a hint only."""
    headers = {name.rpartition(".")[2].lower(): value.strip().lower() for name, value in attributes.items()}
    checks = (
        ("bounce", "return-path", lambda value: value == "<>"),
        ("bounce", "content-type", lambda value: value.startswith("multipart/report")),
        ("bounce", "x-failed-recipients", bool),
        ("auto_reply", "auto-submitted", lambda value: value.startswith("auto-replied")),
        ("auto_reply", "x-autoreply", lambda value: value not in ("", "no")),
        ("auto_reply", "x-autorespond", bool),
        ("auto_reply", "precedence", lambda value: value == "auto_reply"),
        ("newsletter", "list-unsubscribe", bool),
        ("newsletter", "precedence", lambda value: value in ("bulk", "list", "junk")),
    )
    for kind, name, says in checks:
        if name in headers and says(headers[name]):
            return NoTicket(kind, f"{name}: {headers[name]}")
    return None


@dataclass(frozen=True)
class _Message:
    """A message as it is screened: subject and the requester's own part, plain."""

    subject: str
    body: str

    @classmethod
    def of(cls, ticket: Ticket) -> _Message:
        own = ticket.own_part[:_READ_CHARS]
        if "[" in own or "outlook" in own.casefold():
            own = str(_PLACEHOLDER.sub("", own))
        lines = [line for line in own.splitlines() if line.strip()]
        signed = bool(lines) and len(lines) <= _MOST_SIGNATURE_LINES and bool(_SIGN_OFF.match(lines[0]))
        return cls(ticket.subject, "" if signed or _is_disclaimer(own) else own)

    @property
    def evidence(self) -> str:
        return " ".join(f"{self.subject} {self.body}".split())[:100]

    @property
    def says_something(self) -> bool:
        """Whether subject or body has a letter or digit of its own."""
        if _has_letters(self.body):
            return True
        return _has_letters(self.subject) and not _NO_SUBJECT.match(self.subject)

    @property
    def is_nonsense(self) -> bool:
        """Whether nothing in it is a word of any language, or it calls itself a test and no more.

        Of words in other scripts than the Latin one nothing is said but where they are one letter again and again:
        whether the model reads them is for the gate.
        """
        if holds_other_script(written := f"{self.subject}{self.body}"):
            letters = [char for char in written if char.isalnum()]
            return len(letters) >= 4 and len(set(letters)) == 1
        subject = _PREFIX.sub("", self.subject)
        text = plain(f"{subject} {self.body}").strip()
        if _TEST.fullmatch(" ".join(text.replace("-", " ").split())):
            return True
        words = _WORD.findall(text)
        if text.count("\ufffd") > max(_UNREAD, _UNREAD_SHARE * sum(map(len, words))):
            return True
        if not words:
            return not subject.strip() or not any(char.isdigit() for char in text)
        if len(words) > _SHORT_WORDS or _is_code(f"{subject} {self.body}"):
            return False
        if len(words) > 1 and all(word in _BABBLE or _is_junk(word) for word in words):
            return True
        acronyms = {word.casefold() for word in _WORD.findall(f"{subject} {self.body}") if _is_acronym(word)}
        junk = sum(_is_junk(word) and (word not in acronyms or _is_mashed(word)) for word in words)
        return junk >= 1 and junk >= _JUNK_SHARE * len(words)

    @property
    def wants_something(self) -> bool:
        """Whether it asks for something or tells what does not work."""
        request = _cues()[1]
        return bool(request.search(plain(f"{self.body}"))) or bool(request.search(plain(self.subject)))

    @property
    def is_machine_made(self) -> bool:
        """Whether subject and text both say that a mail program wrote it."""
        cues = _cues()[0]
        return any(
            cues[kind].subject.search(plain(self.subject)) and cues[kind].strong.search(plain(self.body))
            for kind in ("bounce", "auto_reply")
        )

    def speaks_for(self, kind: str, header: NoTicket | None) -> NoTicket | None:
        """Return what its words say for one kind, a header of the same kind helping."""
        if kind not in _cues()[0]:
            return None
        cues = _cues()[0][kind]
        subject, body = plain(self.subject), plain(self.body)
        if kind in ("thanks", "close_request"):
            return self._closing(kind, cues)
        hinted = header is not None and header.kind == kind
        match = (cues.subject and cues.subject.search(subject)) or cues.strong.search(f"{subject} {body}")
        hits = sum(bool(weak.search(f"{subject} {body}")) for weak in cues.weak)
        if match or hits >= _MANY_HINTS or (hinted and hits):
            return NoTicket(kind, self.evidence if not match else match.group().strip()[:100])
        return None

    def _closing(self, kind: str, cues: _Cues) -> NoTicket | None:
        """Return what it says where every clause closes the matter, but for a few words."""
        subject = "" if _PREFIX.match(self.subject) else plain(self.subject)
        text = f"{subject}. {plain(self.body)}"
        if len(text.split()) > _CLOSING_WORDS or _cues()[2].search(text) or other_letters(text) > _NAME_LETTERS:
            return None
        clauses = [clause for clause in _CLAUSE.split(text) if clause.strip()]
        if kind == "close_request":
            match = cues.strong.search(text)
            return (
                NoTicket(kind, match.group().strip()[:100])
                if match and _beside(clauses, cues) <= _REASON_WORDS
                else None
            )
        if _cues()[3].search(text):
            return None
        first = next((match for clause in clauses if (match := cues.strong.match(clause.strip()))), None)
        if first is None or _beside(clauses, cues, starting=True) > _OTHER_WORDS:
            return None
        return NoTicket(kind, first.group().strip()[:100])


def _beside(clauses: Sequence[str], cues: _Cues, *, starting: bool = False) -> int:
    """Count the words of clauses that do not close the matter; names and greetings of three words do not count."""
    thanks = _cues()[0]["thanks"]

    def closes(clause: str) -> bool:
        return bool(thanks.strong.match(clause) or thanks.weak[0].search(clause)) or (
            not starting and bool(cues.strong.search(clause))
        )

    words = (len(clause.split()) for clause in map(str.strip, clauses) if not closes(clause))
    return sum(count for count in words if count > _NAME_WORDS)


def _has_letters(text: str) -> bool:
    """Say whether a text has a letter or a digit."""
    return any(map(str.isalnum, text))


def _is_disclaimer(text: str) -> bool:
    """Say whether a text is nothing but the lines that a mail server adds below every mail."""
    below = f"x\n{text}"
    return may_hold_furniture(below) and bool(text.strip()) and read(below).text == "x"


def _is_code(text: str) -> bool:
    """Say whether a text holds an error code or a number that a desk can look up."""
    return bool(re.search(r"\b(?:0x[0-9a-fA-F]+|[A-Z]{2,}[_-][A-Z0-9_-]+|[A-Z]+\d{3,}|\w+\.\w{2,3}\b)", text))


def _is_junk(word: str) -> bool:
    """Say whether a run of letters is no word: keys in a row, one letter repeated, or no vowel in it."""
    return _is_mashed(word) or (len(word) >= 4 and not _VOWELS & set(word) and word not in _WITHOUT_VOWELS)


def _is_acronym(word: str) -> bool:
    """Say whether a word is written as acronyms are; nothing else says of most of them that they are words."""
    return word.isupper() and len(word) <= _ACRONYM_LETTERS


def _is_mashed(word: str) -> bool:
    """Say whether a run of letters is keys in a row, or one letter repeated."""
    if len(word) < 3:
        return False
    if len(set(word)) <= 2 and len(word) >= 4:
        return True
    rows = len(_KEYBOARD.findall(word))
    return bool(rows) and rows * 3 >= len(word) - 2
