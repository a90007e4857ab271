"""Text made comparable: cleaning for the model, folding for the rules; the original is never touched."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from typing import Any, NamedTuple

import re2

from triage.disguise import unmask
from triage.languages.alphabets import words_written

_HEAD_SHARE = 0.75
"""Of an over-long text three quarters are its beginning: there people say what is wrong; below stand logs."""
_GAP = "\n[…]\n"


class _Marked:
    """A pattern that nothing matches without one of some marks: to look for these first takes a tenth of the time.

    Args:
        pattern: What is looked for.
        marks: Parts of which every match holds at least one, case-folded.
    """

    def __init__(self, pattern: str, *marks: str) -> None:
        self._pattern = re2.compile(pattern)
        self.marks = marks

    def is_possible(self, text: str) -> bool:
        """Say whether a text holds a mark."""
        folded = text.casefold()
        for mark in self.marks:  # noqa: SIM110 - a generator takes longer than looking for most of the marks
            if mark in folded:
                return True
        return False

    def search(self, text: str) -> Any:
        """Find the first match in a text, or None."""
        return self._pattern.search(text) if self.is_possible(text) else None

    def match(self, text: str) -> Any:
        """Return the match at the very beginning of a text, or None."""
        return self._pattern.match(text) if self.is_possible(text) else None

    def removed_from(self, text: str) -> str:
        """Return a text without any match."""
        return str(self._pattern.sub("", text)) if self.is_possible(text) else text


_BLOCK_TAGS = frozenset(
    (
        *("address", "article", "blockquote", "br", "div", "dl", "dt", "dd", "footer", "header", "hr", "li", "ol", "p"),
        *("h1", "h2", "h3", "h4", "h5", "h6", "pre", "section", "table", "td", "th", "tr", "ul"),
    )
)
_SILENT_TAGS = frozenset(["script", "style", "head", "title"])
_UNPARSED = {name: re.compile(rf"(?i)</{name}(?=[\s/>])") for name in ("script", "style")}
_TAG_NAME = re.compile(r"<(?P<end>/?)(?P<name>[a-zA-Z][^\s/>]*+)")
_REST_OF_TAG = re.compile(r"""(?:[^"'>]++|"[^"]*+"|'[^']*+')*+>""")
_MISQUOTED_TAGS = 3
"""Tags with open quotes, each read to the end of the text in vain, after which quotes count no more."""
_HUGE_REFERENCE = re.compile(r"&#(?:[0-9]{8,}|[xX][0-9a-fA-F]{7,});?")
"""Character references beyond the last character (U+10FFFF): Python refuses to read a number of 4,300 digits."""

_LOOKED_THROUGH = 50
"""So many times the length of a title are looked through for it: tags are longer than what they show."""
_TAG = _Marked(r"(?i)<(?:html|body|div|p|br|span|table|a|b|i|img|font|ul|ol|li|h[1-6]|pre|style|script)\b[^<>]*>", "<")
_FROM = "from|von|de|da|van|från|fra|od|lähettäjä|от|expéditeur|remitente|mittente|absender|afzender|feladó|kimden|από"
_SENT = (
    "sent|date|gesendet|datum|envoyé(?: le)?|date d.envoi|enviado(?: el)?|fecha|enviada(?: em)?|data|inviato|verzonden"
    "|skickat|sendt|dato|wysłano|odesláno|lähetetty|päivämäärä|отправлено|дата|elküldve|gönderildi|tarih|στάλθηκε"
)
_TO = "to|an|à|para|a|aan|till|til|do|komu|vastaanottaja|кому|címzett|kime|προς|cc|kopie|kopia|bcc"
_SUBJECT = "subject|betreff|objet|asunto|assunto|oggetto|onderwerp|ämne|emne|temat|předmět|aihe|тема|tárgy|konu|θέμα"
"""What mail programs call the lines above a message, in the languages of Europe's desks."""

_HEADER_END = re.compile(r"(?m)(?:--|:)[ \t]*$|:[^\n:]*\n[^\n:]*:")
"""What no header of another message is without: a line that ends in such a mark, or two with a colon in a row."""

_QUOTE_HEADER = re2.compile(
    r"(?im)^[ \t>]*(?:-{2,} ?(?:original message|ursprüngliche nachricht|message d.origine|mensaje original"
    r"|messaggio originale|oorspronkelijk bericht|ursprungligt meddelande|mensagem original|исходное сообщение) ?-{2,}"
    r"|(?:on|am|le|el|em|il|op|den|på|dnia|w dniu) .{4,100}(?:\n.{0,80})? (?:wrote|schrieb.{0,60}|a écrit|escribió"
    r"|escreveu|ha scritto|schreef.{0,60}|skrev.{0,60}|napisał.{0,60}|pisze) ?:"
    r"|.{4,100} (?:пишет|написал|написал\(а\)):|\d{4}-\d\d-\d\d.{4,60} <[^<>\n]+>:)[ \t]*$"
)
# What a mail program writes above a message that is passed on; the ones of Outlook stand above answers as well.
_FORWARD_HEADER = re2.compile(
    r"(?im)^[ \t>]*(?:-{2,} ?(?:forwarded (?:message|by .{0,60})|weitergeleitete nachricht|original message"
    r"|ursprüngliche nachricht|message transf[ée]r[ée]|message d.origine|mensaje (?:reenviado|original)"
    r"|messaggio inoltrato|doorgestuurd bericht|mensagem encaminhada) ?-{2,}"
    r"|begin forwarded message:|anfang der weitergeleiteten nachricht:|début du message transféré ?:"
    rf"|(?:_{{5,}}[ \t]*\n\s{{0,20}})?\*?(?:{_FROM})\*? ?:\*? ?.+\n[ \t>]*"
    rf"\*?(?:{_SENT}|{_TO}|{_SUBJECT})\*? ?:\*? ?.*)[ \t]*$"
)
_SAID_FORWARD = re2.compile(
    r"(?i)forward|weitergeleitet|transf[ée]r|reenviad|inoltrat|doorgestuurd|encaminhad|vidarebefordra"
)
_MAIL_HEADER = re2.compile(rf"(?im)^[ \t>]*\*?(?:{_FROM}|{_SENT}|{_TO}|reply-to|importance|wichtigkeit)\*? ?:.*$\n?")
_SUBJECT_HEADER = re2.compile(rf"(?im)^[ \t>]*\*?(?:{_SUBJECT})\*? ?:\*?[ \t]*")
_FROM_OUTSIDE = ("extern", "estern", "outside", "extérieur", "ausserhalb", "buiten", "fuera")
_BANNER = _Marked(
    r"(?i)\A\s*(?:\[[^\]\n]{0,40}(?:external|extern|externe|externo|esterna)[^\]]{0,300}\]"
    r"|[*!\s]{0,6}(?:caution|warning|attention|achtung|vorsicht|atención|attenzione|let op|external e?-?mail"
    r"|externe e?-?mail)\b[^\n]{0,60}(?:outside|external|extern|extérieur|externo|außerhalb|esterno|buiten)"
    r"[^\n]{0,300})\s*\n?",
    *_FROM_OUTSIDE,
)
_BANNER_TAG = _Marked(
    r"(?im)^[ \t*!>|]*\[?(?:external|extern|externe?s?|externo|esterna)\]?[ \t]*(?:e-?mail|message|sender|nachricht)?"
    r"[ \t]*[*!:\]-]+[ \t]*$\n?",
    *_FROM_OUTSIDE,
)
_BANNER_SENTENCE = _Marked(
    r"(?i)(?:\b(?:caution|warning|attention|achtung|vorsicht|atención|attenzione|let op|external e-?mail"
    r"|externe e-?mail)\b"
    r"[ \t]*[:!*-]*\s*)?(?:this (?:e-?mail|message)|diese (?:e-?mail|nachricht)|(?:ce|cet) (?:e-?mail|message|courriel"
    r"|courrier)|este (?:correo|mensaje|e-?mail)|questa e-?mail|deze e-?mail|dit bericht)[^\n.]{0,25}"
    r"(?:originated|came|comes|was sent|stammt|kommt|wurde|provient|vient|proviene|procede|è stata|komt|is afkomstig)"
    r"[^\n.]{0,30}(?:outside|external|außerhalb|extern|extérieur|externe|fuera|externo|esterno|buiten)[^\n.]*[.!]?"
    r"[ \t]*\n?",
    *_FROM_OUTSIDE,
)
_BANNER_ADVICE = _Marked(
    r"(?i)(?:(?:please )?(?:do not|don.t|never) (?:click|open)[^\n.]*(?:links?|attachments?)[^\n.]*(?:unless|if you"
    r"|from)"
    r"|klicken sie[^\n.]*(?:links|anhänge)[^\n.]*(?:nur|nicht|wenn|außer)|ne cliquez (?:pas|sur aucun)[^\n.]*"
    r"(?:lien|pièce)|no (?:haga clic|abra)[^\n.]*(?:enlace|archivo)|you don.t often get e-?mail from"
    r"|sie erhalten nicht (?:häufig|oft) e-?mails von|vous n.obtenez pas souvent d.e-?mail|learn why this is important"
    r"|\buse caution (?:when|before)[^\n.]*(?:links?|attachments?))[^\n.]*(?:\.\w{2,}[^\n.]*)*[.!]?[ \t]*\n?",
    *("link", "attachment", "klicken", "cliquez", "enlace", "archivo", "often get", "erhalten nicht", "obtenez"),
    *("learn why", "use caution"),
)
_BANNER_PARTS = (_BANNER_TAG, _BANNER_SENTENCE, _BANNER_ADVICE)
_RULE = _Marked(
    r"(?m)^[ \t>]*(?:_{5,}|={10,}|-{20,}|\*{10,}|—{5,})[ \t]*$\n?",
    *("_" * 5, "=" * 10, "-" * 20, "*" * 10, "—" * 5),
)
_LONG_RUN = 76
"""Characters in a row from which data is written into a text: as long as a line of base64 in a mail (RFC 2045)."""
_IMAGE = re.compile(r"data:[\w.+-]{1,40}/[\w.+-]{1,80}(?:;[\w.+=-]{1,80})*;base64,")
"""What begins an image that stands in the text itself, as mail programs and editors write it (RFC 2397)."""
_INLINE_DATA = re2.compile(
    rf"{_IMAGE.pattern}|\b[A-Za-z0-9+/]{{{_LONG_RUN},}}|\[(?:cid|image|bild|inline image)[:\s][^\]\n]{{0,120}}\]"
)
_BASE64 = re.compile(r"([A-Za-z0-9+/]*+)(={0,2}+)")
_BASE64_LINE = re.compile(r"[ \t]*+\r?\n[ \t]*+([A-Za-z0-9+/]++)(={0,2}+)")
LEAST_WIDTH = 40
"""Characters of a line from which on it may be one of folded base64: hardly a word is as long."""
_MOST_WIDTH = 100
"""Characters to which programs fold base64, at most."""
_WORD = re.compile(r"(?:[A-Z]?[a-z]+|[A-Z]+)[0-9]*")
_CLOSING = {'"': '"', "'": "'", "(": ")"}
_QUOTED_LINE = _Marked(r"(?m)^[ \t]*>.*$", ">")
_QUOTE_MARKS = re2.compile(r"(?m)^(?:[ \t]*>)+ ?")
_SIGNATURE = _Marked(r"(?m)^-- ?$", "--")
_SENT_FROM = _Marked(
    r"(?im)^[ \t]*(?:sent from my|gesendet von meinem|envoyé de mon|enviado desde mi) .{0,60}$",
    *("sent from my", "gesendet von meinem", "envoyé de mon", "enviado desde mi"),
)
_DISCLAIMER = _Marked(
    r"(?ims)^[^\n]{0,40}(?:this (?:e-?mail|message)(?: and any attachments?)? "
    r"(?:is|are|may be|may contain|contains?) [^\n]{0,40}(?:confidential|privileged|intended)"
    r"|confidentiality notice|diese e-?mail (?:enthält|ist) vertraulich"
    r"|ce message (?:est|contient)[^\n]{0,60}confidentiel)",
    *("confidential", "privileged", "intended", "vertraulich", "confidentiel"),
)
_FRAME = re2.compile(
    r"(?m)^[ \t]*(?:at (?:async |new )?[\w.$<>`\[\], /:\\-]+(?:\(.*\).*|:\d+:\d+)|File \".*\", line \d+.*"
    r"|\.{3} \d+ (?:more|common frames omitted)|--- End of (?:inner exception )?stack trace.*|goroutine \d+ \[.*"
    r"|#\d+ +0x[0-9a-f]+.*|#\d+ +/.*\(\d+\): .*|from /.*:\d+:in .*)[ \t]*$"
)
"""A line of a stack trace: of Java, .NET, Node, Python, Go, C, PHP and Ruby."""
_FRAME_START = re.compile(r"(?m)^[ \t]*(?:at |File \"|\.{3} |--- End|goroutine |#|from /)")
"""How each of them begins."""

_MARKED = (_BANNER, *_BANNER_PARTS, _RULE, _QUOTED_LINE, _SIGNATURE, _SENT_FROM, _DISCLAIMER)
_ALL_MARKS = tuple(dict.fromkeys(mark for one in _MARKED for mark in one.marks))

_THROWN = re2.compile(
    r"(?:Unhandled exception[.:] ?|Caused by: |Uncaught |Exception in thread .{0,60} "
    r"|Traceback \(most recent call last\):"
    r"|---> )*(?:[\w.$]*(?:Exception|Error|Fault)\b(?::.*| \(.*)?)?[ \t]*$"
)
"""The line above a stack trace: what was thrown."""

_LOG_LINE = re2.compile(
    r"(?m)^(?:[ \t]*\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d.*$|\d\d:\d\d:\d\d[.,]\d+ .*$"
    r"|(?:<\d{1,3}>\d? ?)?(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +\d{1,2} \d\d:\d\d:\d\d [\w.-]+ "
    r"[\w./\[\]()-]+: ?.*$"
    r"|<\d{1,3}>1 \d{4}-\d\d-\d\dT.*$|\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d.*$)"
)
"""A line of a log: with a time in front, as programs and syslog write them."""

_EXPORT_MARK = re2.compile(r"_x(?:000[DA9]|00[0aA]0)_\r?\n?|#LBBR#|&(?:amp;)*#(?:13|x[dD]);")
"""Line breaks as some exports write them: Excel's XML, AXIOS and SAP."""
_REFERENCE = re2.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
_AMPERSANDS = re2.compile(r"&(?:amp;)+")
_ESCAPED = 4
"""Times that a text is taken out of HTML: what is escaped twice is read, and nothing is read without an end."""
_BLANK_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")
_SPACES = re.compile(r"[ \t\f\v\r]+")
_LOG_LINES_KEPT, _LEAST_FRAMES = 5, 2
_ENOUGH_WORDS = 6
"""Words of a person from which a log or a stack trace beside them is not read."""
_POINTED_WORDS = 4
"""An own part with fewer words above the header of another message points at it, whatever it says."""
_POINTING = re2.compile(
    r"(?i)\b(?:see|as|mail|e-?mail|message|request|ticket|thread) (?:the )?below\b|\bfyi\b|\bforward(?:ed"
    r"|ing)?\b|\bfwd?\b"
    r"|\bsiehe unten\b|\bs\.\s?u\.|\bweitergeleitet\b|\bzur (?:info|kenntnis|bearbeitung)\b"
    r"|\bci-dessous\b|\bpour info\b"
    r"|\btransf(?:ère|éré|eré)|\bver abajo\b|\breenv[íi]o\b|\binoltro\b|\bdoorgestuurd\b|\bhandle (?:this"
    r"|the following)\b"
)
_SHORT_WORDS = 25
"""An own part with fewer words is read with what it forwards: 'please see below' says nothing by itself."""
_MAX_FORWARDS = 5
_FOLDINGS = 4


class _Html:
    """Reads the text out of HTML, however malformed, in time linear to its length.

    `html.parser` takes time with the square of the length where tags are left open, and fails on long character
    references. Here what is not closed is text, as it is there.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._last_end, self._last_comment_end = text.rfind(">"), text.rfind("-->")
        self._misquoted = 0
        self._parts: list[str] = []
        self._silent = 0

    def read(self) -> str:
        """Return the text between the tags, a new line for each tag that begins or ends a block."""
        place = 0
        while (start := self._text.find("<", place)) >= 0:
            self._add(self._text[place:start])
            place = self._markup(start)
            if place == start:
                self._add("<")
                place += 1
        self._add(self._text[place:])
        return "".join(self._parts)

    def _add(self, data: str) -> None:
        if data and not self._silent:
            self._parts.append(unescape(_HUGE_REFERENCE.sub("\ufffd", data)))

    def _markup(self, start: int) -> int:
        """Take in what begins at an angle bracket; returns where it ends, or its start where it is only text."""
        if self._text.startswith("<!--", start) and start < self._last_comment_end - 1:
            return max(self._text.find("-->", start + 2), start) + 3
        tag = _TAG_NAME.match(self._text, start)
        if start > self._last_end or not (tag or self._text.startswith(("<!", "<?", "</"), start)):
            return start
        if tag is None:
            return self._text.find(">", start) + 1
        end = self._end_of_tag(tag.end())
        self_closing = self._text[end - 2] == "/"
        return self._tag(tag["name"].lower(), bool(tag["end"]), self_closing, end)

    def _end_of_tag(self, place: int) -> int:
        """Find the end of a tag outside of quotes; where quotes stay open, its first closing bracket."""
        if self._misquoted < _MISQUOTED_TAGS:
            if rest := _REST_OF_TAG.match(self._text, place):
                return rest.end()
            self._misquoted += 1
        return self._text.find(">", place) + 1

    def _tag(self, name: str, closes: bool, self_closing: bool, end: int) -> int:
        if name in _BLOCK_TAGS:
            self._parts.append("\n\n" if self_closing and not closes else "\n")
        if name not in _SILENT_TAGS or self_closing:
            return end
        self._silent = max(0, self._silent - 1) if closes else self._silent + 1
        if closes or name not in _UNPARSED:
            return end
        closing = _UNPARSED[name].search(self._text, end)
        return closing.start() if closing else len(self._text)


def title_of(subject: str, body: str, most: int) -> str:
    """Return what a ticket is called in one line: its subject, else the beginning of its body, without HTML.

    Args:
        subject: Of the ticket; it is no HTML.
        body: Of the ticket.
        most: Most characters of the title.

    Example:
        >>> title_of("", "<p>The printer<br>is on&nbsp;fire</p>", 14), title_of("Is a <b> wrong?", "", 20)
        ('The printer is…', 'Is a <b> wrong?')
    """
    beginning = body[: _LOOKED_THROUGH * most]
    words = next((one for said in (subject, strip_html(beginning), beginning) if (one := " ".join(said.split()))), "")
    return words[:most] + "…" if len(words) > most else words


def strip_html(text: str) -> str:
    r"""Turn an HTML mail body into plain text; text without HTML comes back unchanged.

    Example:
        >>> strip_html("<div>Hello<br>there &amp; you</div>").strip()
        'Hello\nthere & you'
    """
    if not _TAG.search(text):
        return text
    return _Html(text).read()


def without_images(text: str) -> str:
    r"""Return a text without the images that are written into it; the words behind them stay.

    Example:
        >>> without_images("data:image/png;base64,iVBORw0KGgoAAAA==\n\nThe VPN drops").strip()
        'The VPN drops'
    """
    return _without_data(_IMAGE, text) if ";base64," in text else text


def _without_data(beginnings: Any, text: str) -> str:
    """Return a text without the data of which a pattern finds the beginnings."""
    kept, place = [], 0
    for found in beginnings.finditer(text):
        start, end = found.span()
        if start >= place:
            kept.append(text[place:start])
            place = end if text[start] == "[" else _end_of_base64(text, start, end if text[end - 1] == "," else start)
    return "".join([*kept, text[place:]])


def _end_of_base64(text: str, start: int, first: int) -> int:
    """Return where data end: at their padding, at a blank, or at a line break that folds no base64.

    Args:
        text: That holds them.
        start: Where they begin, with what says that they are data.
        first: Where the first line of base64 begins.
    """
    run = _BASE64.match(text, first)
    begun = chars = run.end() - first if run else 0
    width = 0
    while run and not run[2] and (line := _BASE64_LINE.match(text, run.end())):
        length = len(line[1])
        if length != width if width else length < max(begun, LEAST_WIDTH):
            folds = width > 0 or 0 < begun <= _MOST_WIDTH
            return line.end() if _is_last(line, _CLOSING.get(text[start - 1 : start], ""), chars, folds) else run.end()
        run, width, chars = line, length, chars + length
    return run.end() if run else first


def _is_last(line: re.Match[str], closing: str, chars: int, folds: bool) -> bool:
    """Say whether a shorter line below base64 is its end, rather than the first word of what is said behind it.

    Args:
        line: What is in doubt.
        closing: What ends the attribute in which the data stand; empty where they stand in none.
        chars: Of base64 above it.
        folds: Whether the lines above it are of a width to which programs fold.
    """
    after = line.string[line.end() : line.end() + 1]
    if closing:
        return after == closing
    if _WORD.fullmatch(line[1]) or (chars + len(line[1]) + len(line[2])) % 4:
        return False
    return not after.isalnum() if line[2] else folds and (not after or after in "\r\n")


def shortened(text: str, max_chars: int) -> tuple[str, int]:
    r"""Return a text of at most so many characters, and how many were taken out between head and tail.

    HTML that is over-long is as long as what it shows.

    Example:
        >>> shortened("a" * 60 + "b" * 60, 20)
        ('aaaaaaaaaaa\n[…]\nbbbb', 105)
        >>> shortened(f"<style>{'p { margin: 0 } ' * 20}</style><p>It drops</p>", 100)
        ('It drops', 0)
    """
    if len(text) > max_chars:
        text = strip_html(text).strip()
    if len(text) <= max_chars:
        return text, 0
    room = max(0, max_chars - len(_GAP))
    head = int(room * _HEAD_SHARE)
    return text[:head] + _GAP + text[len(text) - room + head :], len(text) - room


def fold(text: str) -> str:
    r"""Fold text for matching by rules: unmasked, lower case, accents kept, white space single.

    Example:
        >>> fold("  Drucker\tGEHT\nnicht ")
        'drucker geht nicht'
    """
    text = strip_html(text)
    for _ in range(_FOLDINGS):  # lower case can bring new look-alikes: a combining iota becomes a Greek letter
        before, unmasked = text, unmask(text)
        text = unmasked.casefold()
        if text in (before, unmasked):
            break
    return " ".join(text.replace("\u2019", "'").split())


class LeftOut(NamedTuple):
    """A part of a text that was not read: what it was, and its length in characters."""

    what: str
    chars: int


@dataclass(frozen=True)
class Cleaned:
    """A text as the model reads it, and what of it was left out."""

    text: str
    left_out: tuple[LeftOut, ...] = ()


def _cut_off(text: str, *, whole: bool = False) -> tuple[str, str, str]:
    """Cut a text at its signature, disclaimer or quoted thread, whichever comes first.

    Args:
        text: Any text.
        whole: Whether it may be cut at its very beginning, so that nothing is left.

    Returns:
        What is left, what was cut off, and what that begins with; the latter two empty where nothing was cut.
    """
    cut, what = len(text), ""
    patterns = (
        ("quoted_history", _FORWARD_HEADER),
        ("quoted_history", _QUOTE_HEADER),
        ("signature", _SIGNATURE),
        ("disclaimer", _DISCLAIMER),
    )
    has_header = _HEADER_END.search(text) is not None
    for name, pattern in patterns if has_header else patterns[2:]:
        match = pattern.search(text)
        if match and match.start() < cut and (whole or text[: match.start()].strip()):
            cut, what = match.start(), name
    return text[:cut], text[cut:], what


def _forwarded(text: str) -> str:
    """Return what a text passes on, without the lines of the mail program above it; empty where it is no forward."""
    match = _FORWARD_HEADER.search(text)
    if match is None:
        return ""
    below = text[match.start() :]
    below = below.split("\n", 1)[1] if "\n" in below else ""
    return str(_SUBJECT_HEADER.sub("", _MAIL_HEADER.sub("", _QUOTE_MARKS.sub("", below))))


def _read(text: str, left_out: list[LeftOut], *, answer: bool, depth: int = 0) -> str:
    """Cut furniture off, and read what a short message forwards; nothing is cut that would leave nothing to read."""
    banner = _BANNER.match(text)
    if banner and text[banner.end() :].strip():
        left_out.append(LeftOut("banner", banner.end()))
        text = text[banner.end() :]
    kept, rest, what = _cut_off(text)
    passed_on = _forwarded(rest) if rest and not answer and depth < _MAX_FORWARDS and _points_below(kept, rest) else ""
    if passed_on.strip():
        return f"{_unquoted(kept, left_out)}\n{_read(passed_on, left_out, answer=False, depth=depth + 1)}"
    if what:
        left_out.append(LeftOut(what, len(rest)))
    return _unquoted(kept, left_out)


def _points_below(kept: str, rest: str) -> bool:
    """Whether an own part is to be read with what stands below it: it is short, and what follows is passed on.

    The header that Outlook writes stands above answers and forwards alike: it counts where the own part points at it,
    or hardly says anything.
    """
    words = words_written(kept)
    if words >= _SHORT_WORDS:
        return False
    return words < _POINTED_WORDS or bool(_SAID_FORWARD.search(rest[:200]) or _POINTING.search(kept))


def _unquoted(text: str, left_out: list[LeftOut]) -> str:
    kept = _SENT_FROM.removed_from(_QUOTED_LINE.removed_from(text))
    if not kept.strip():
        return text
    if len(kept) < len(text):
        left_out.append(LeftOut("quoted_history", len(text) - len(kept)))
    return kept


def _shorten_logs(text: str) -> str:
    """Keep the first lines of a pasted log: the rest repeats and crowds out the words.

    Of a stack trace the frames go, for they are addresses and no words. Beside enough words of a person, logs and what
    was thrown are evidence for people, and not read at all.
    """
    begun, written = len(_FRAME_START.findall(text)), text.count("\n") + 1
    frames = len(_FRAME.findall(text)) if begun >= _LEAST_FRAMES else begun
    logged = len(_LOG_LINE.findall(text)) if written > _LOG_LINES_KEPT else written
    if frames < _LEAST_FRAMES and logged <= _LOG_LINES_KEPT:
        return text
    lines = text.split("\n")
    own = [line for line in lines if not _FRAME.match(line) and not _LOG_LINE.match(line) and not _THROWN.match(line)]
    enough = words_written(" ".join(own)) >= _ENOUGH_WORDS
    most = 0 if enough and logged > _LOG_LINES_KEPT else _LOG_LINES_KEPT
    kept, seen = [], 0
    for line in lines:
        seen += bool(_LOG_LINE.match(line))
        in_trace = frames >= _LEAST_FRAMES and bool(_FRAME.match(line) or (enough and _THROWN.match(line)))
        if not in_trace and (not _LOG_LINE.match(line) or seen <= most):
            kept.append(line)
    shorter = "\n".join(kept)
    return shorter if shorter.strip() else "\n".join(lines[:_LOG_LINES_KEPT])


def _kept(kept: str, text: str, what: str, left_out: list[LeftOut]) -> str:
    """Return what is kept of a text where a part was taken out, unless nothing would be left."""
    if len(kept) == len(text) or not kept.strip():
        return text
    left_out.append(LeftOut(what, len(text) - len(kept)))
    return kept


def clean(text: str) -> str:
    r"""Clean text for the model: HTML, disguises, quoted threads, signatures, disclaimers and long logs removed.

    Idempotent, never raises on any string, and never empties a text that has something to read.

    Example:
        >>> clean("It is broken\n\n\nplease help\n-- \nA. Person, Accounts")
        'It is broken\nplease help'
    """
    return read(text).text


def read(text: str, *, answer: bool = False) -> Cleaned:
    r"""Clean text for the model and say what was left out.

    Args:
        text: What somebody wrote.
        answer: Whether it answers another message: what stands below it is old then, and not read.

    Example:
        >>> read("It is broken\n-- \nA. Person").left_out
        (LeftOut(what='signature', chars=13),)
    """
    return read_plain(plain_text(text), answer=answer)


def read_plain(text: str, *, answer: bool = False) -> Cleaned:
    """Do what `read` does for what `plain_text` returned."""
    if not may_hold_furniture(text):
        return Cleaned(_single_spaced(text))
    left_out: list[LeftOut] = []
    if "[" in text or max(map(len, text.split()), default=0) >= _LONG_RUN:
        text = _kept(_without_data(_INLINE_DATA, text), text, "inline_data", left_out)
    for pattern in _BANNER_PARTS:
        text = _kept(pattern.removed_from(text), text, "banner", left_out)
    text = _read(text, left_out, answer=answer)
    text = _RULE.removed_from(text) or text
    shorter = _shorten_logs(text)
    if len(shorter) < len(text):
        left_out.append(LeftOut("log", len(text) - len(shorter)))
    return Cleaned(_single_spaced(shorter), _added_up(left_out))


def may_hold_furniture(text: str) -> bool:
    """Say whether a text may hold anything that is not read; most do not, and need no closer look.

    Args:
        text: As `plain_text` returns it.
    """
    if "[" in text or _HEADER_END.search(text) or max(map(len, text.split()), default=0) >= _LONG_RUN:
        return True
    folded = text.casefold()
    for mark in _ALL_MARKS:
        if mark in folded:
            return True
    return text.count("\n") >= _LOG_LINES_KEPT or len(_FRAME_START.findall(text)) >= _LEAST_FRAMES


def _single_spaced(text: str) -> str:
    return _BLANK_LINES.sub("\n", _SPACES.sub(" ", text)).strip()


def own_part(text: str) -> str:
    r"""Return what the sender wrote above signature and thread; what is forwarded where that is nothing.

    Example:
        >>> own_part("Thanks!\n\nOn Monday, 3 August, A. Person wrote:\n> Is it fixed?")
        'Thanks!'
    """
    return own_part_plain(plain_text(text))


def own_part_plain(text: str) -> str:
    """Do what `own_part` does for what `plain_text` returned."""
    if not may_hold_furniture(text):
        return text.strip()
    banner = _BANNER.match(text)
    kept, rest, _ = _cut_off(text[banner.end() :] if banner else text, whole=True)
    own = _SENT_FROM.removed_from(_QUOTED_LINE.removed_from(kept)).strip()
    return own or _forwarded(rest).strip()


def plain_text(text: str) -> str:
    """Return a text without HTML and disguises: the costly part of reading it, done once for each ticket.

    HTML that is escaped, as exports have it, is taken out as well.
    """
    text = without_export_marks(text)
    for _ in range(_ESCAPED):
        before, text = text, strip_html(_unescaped(text))
        if text == before or "&" not in text:
            break
    return unmask(text).replace("\r\n", "\n").replace("\r", "\n")


def without_export_marks(text: str) -> str:
    r"""Return a text with line breaks where an export wrote marks of them.

    Example:
        >>> without_export_marks("It is broken._x000D_\nPlease help#LBBR#Kim")
        'It is broken.\nPlease help\nKim'
    """
    return str(_EXPORT_MARK.sub("\n", text)) if "_x0" in text or "#" in text else text


def _unescaped(text: str) -> str:
    """Return a text without character references; HTML keeps its own, which reading it takes out."""
    if "&" not in text or not _REFERENCE.search(text) or _TAG.search(text):
        return text
    return unescape(str(_AMPERSANDS.sub("&", text)) if "&amp;" in text else text)


def _added_up(left_out: list[LeftOut]) -> tuple[LeftOut, ...]:
    """Add up parts of one sort, in the order in which they were first met."""
    total: dict[str, int] = {}
    for what, chars in left_out:
        total[what] = total.get(what, 0) + chars
    return tuple(LeftOut(what, chars) for what, chars in total.items())
