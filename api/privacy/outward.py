"""Text for outside parties: without personal data, as far as patterns and capitals show them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

import re2

from api.privacy.redact import Finding, Redactor
from triage.escalation.packet import find_references
from triage.screening.reading import Spans, plain
from triage.screening.vagueness import empty_words, signed_names

_TITLES = r"mr|mrs|ms|dr|prof|sister|dame|cllr|herr|frau|mme|mlle|monsieur|madame|sra?|se[ñn]ora?|do[ñn]a"
_ROLES = (
    r"caller|requester|user|reporter|contact|customer|employee|student|pupil|manager|boss|colleague|reported by|my name"
    r"|anrufer(?:in)?|melder(?:in)?|(?:be)?nutzer(?:in)?|anwender(?:in)?|kolleg(?:e|in)|mitarbeiter(?:in)?"
    r"|ansprechpartner(?:in)?|betroffene[rn]?|gemeldet von|mein name|ich hei(?:ß|ss)e"
    r"|appelante?|demandeur|demandeuse|utilisat(?:eur|rice)|coll[èe]gue|signal[ée] par|je m'appelle|je suis"
    r"|solicitante|usuari[oa]|compa[ñn]er[oa]|alumn[oa]|me llamo|soy"
)
_PERSON = r"\p{Lu}[\p{L}.'’-]*"
_IS = r"(?: name)?(?:\.?:?| :| is| ist| lautet| est| es)"
_NAMES = (
    re2.compile(rf"\b(?i:{_TITLES}|{_ROLES}){_IS} {_PERSON}(?: {_PERSON})*(?: \([\w.\\-]{{3,}}\))?"),
    re2.compile(rf"\b(?i:{_ROLES}|name|nom|nombre){_IS} {_PERSON}(?: {_PERSON})?, {_PERSON}(?: {_PERSON})?"),
    re2.compile(r"\p{Lu}\p{Ll}+(?:[ -](?:(?:de|da|van|von|der|la|el|al) )*\p{Lu}[\p{Ll}.']+)+"),
)
"""A person who is announced by a title or a role, given name first or last; and two or more words with capitals in a
row: a person, a street, a town, a firm; no business of a vendor."""

_TOKEN = r"[a-z0-9][a-z0-9._\\@-]{2,}"
_ACCOUNTS = (
    re2.compile(
        r"\b(?:(?:user|log-?in|account|benutzer|nutzer|anmelde|konto)[ -]?(?:name|id|kennung)|identifiant"
        r"|nom d'utilisateur|nombre de usuario|my (?:log-?in|user))"
        rf"(?: is| was| ist| lautet| est| es)?(?: ?[:=])?[ \"'«(]{{1,3}}({_TOKEN})"
    ),
    re2.compile(
        r"\b(?:user|log-?in|account|konto|utilisateur|compte|usuari[oa]|cuenta"
        r"|(users|log-?ins|accounts|(?:be)?nutzer|anwender|konten|utilisateurs|comptes|usuari[oa]s|cuentas))"
        rf"(?: ?[:=] ?[\"'«(]?| [\"'«(])({_TOKEN})"
    ),
    re2.compile(
        r"\b(?:log(?:ged|ging|s)?|sign(?:ed|ing|s)?)[ -]?in as(?: user)?[ \"'«(]{1,3}"
        rf"({_TOKEN})"
    ),
)
"""What announces what somebody signs in with, over lower-case text without accents, as are the next seven. A first
group is a word that several may follow."""
_FURTHER = re.compile(
    rf"[\"'»)]?(?:, ?(?:(?:and|und|et|y) )?| ?& ?| (?:and|und|et|y|or|o(?:u|der)?) )[\"'«(]?({_TOKEN})"
)
_MARKS = re.compile(r"[\d_\\@]|\.[a-z0-9]")
"""What no ordinary word has in it."""
_BARE = re2.compile(
    r"\b(?:(for|of|by|from|as|unlock|reset|fur|von|pour|para) )?"
    rf"(?:user|log-?in|(?:be)?nutzer|anwender|utilisateur|usuari[oa]) ({_TOKEN})"
)
_DOES = re.compile(
    r"(?: (?:is|are|was|has|had|can|cannot|could|does|did|gets?|says|said|needs?|wants|reports?|reported|sees|tried"
    r"|called|complains|isn.t|can.t|couldn.t|doesn.t|didn.t|hasn.t|ist|hat|kann|war|wird|wurde|bekommt|braucht|meldet|sagt|sieht"
    r"|est|ne|n.a|n.est|ne|peut|dit|esta|tiene|puede|dice)|.s)\b"
    r"|, ?(?:ext|extn|extension|durchwahl|dw|nebenstelle|klappe|apparat|poste|interno|anexo|tel|phone|telefon|student"
    r"|employee|personal|matrikel|matricule)\w*[ .:]"
)
"""What follows a word that is somebody's: verbs of which a sentence has one, and how somebody is reached."""
_NO_ACCOUNT = re2.compile(
    r"access|accounts?|actions?|admins?|administrat\w+|agents?|another|any|attempts?|base|beim|bekommt|blocked|braucht|buttons?|calls|changed"
    r"|click\w+|codes?|complain\w+|created|credentials|data|deleted|details|devices?|dice|dijo|director\w+|disabled|erhalt"
    r"|every|expired|fine|form|gave|gesperrt|groups?|her|his|holder|home|interface|lists?|locked|lock|logged|login|logs"
    r"|lost|mailbox|manage\w+|manual|mask|meldet|menu|named?|open(?:ed|s)?|pages?|passwords?|permissions?|policy|portal"
    r"|process|profiles?|prompt|receives|refuse[ds]|rejected|report(?:ed|s)|rights?|roles?|saw|schreibt|screens?|scripts?"
    r"|security|sees|server|sessions?|settings|shows|sich|sieht|started|system|their|tiene|training|using|via|wants|wegen"
    r"|whose|window|certificates?|choice|community|cookies?|count|creation|demand|different|director(?:y|ies)|domain|environment"
    r"|errors?|existing|expected|experiences?|fail(?:ed|s|ure|ures)|feedback|flow|folders?|guest|guides?|input|licen[cs]es?"
    r"|links?|load|local|new|normal|other|requests?|root|services?|side|support|tables?|test|tokens?|traffic|urls?|usual"
)
"""What is no account though it stands after the word for one, beside the words that say nothing anyway."""
_IS_IT = r"(?:[ -]?(?:number|nummer|no|nr|id)\.?)?(?: is| ist| est| es)?"
_NUMBERED = re2.compile(
    r"\b(?:student|pupil|employee|personnel|staff|badge|matrikel|personal|ausweis|schuler|etudiant|eleve|matricule"
    rf"|estudiante|alumn[oa]|matricula|legajo){_IS_IT}[ :#=]{{1,3}}([a-z]{{0,3}}-?\d[\da-z-]{{2,}})"
)
_EXTENSION = re2.compile(
    r"\b(?:ext|extn|extension|durchwahl|dw|nebenstelle|klappe|apparat|poste|interno|anexo)"
    rf"{_IS_IT}[ :.#=]{{0,3}}(\d{{2,6}})\b"
)

_NUMBER = re.compile(r"\b\d[\d .-]{5,}\d\b")
"""Long numbers that no word before them calls a contract, serial or case number."""
_GOES_ON = re.compile(r"[@\w]|[.:/-]\w|[ /-]?\(?\d{2}")
"""What shows that a number is part of something longer: of an address, or of groups of a telephone number."""
_GROUPED = re.compile(r"\d \d")
_CALLED_A_NUMBER = re.compile(r"n(?:umbers?|ummer|umero|um|os?|r)\b|n[°º]|\bid\b|[:#=]|\bs/?n\b|\bser|\bimei\b|tag\b")
"""What says of the digits behind it that they are a number by which a matter is known, whatever they look like."""
_STAYS = "\0"


def outward(text: str) -> str:
    """Return a text as an outside party may read it: nobody is named, and only contract, serial and case numbers stay.

    A number stays where a word right before it calls it one of these, unless it is a valid card, account or other
    number of a kind that has a shape of its own. Digits in groups, as telephone numbers are written, need more than
    such a word alone: "number", "ID" or a colon.

    Example:
        >>> outward("Caller Kim Weber, kim@example.org: contract C-77120, badge 123 456 78")
        '[NAME], [EMAIL]: contract C-77120, badge [PHONE]'
        >>> outward("User kweber, ext 4711, has vendor case number 00778812")
        'User [ACCOUNT], ext [PHONE], has vendor case number 00778812'
    """
    text = text.encode("utf-8", "replace").decode("utf-8")
    found = _redactor().find(text)
    stays = _staying(text, found)
    masked = list(text)
    for start, end in stays:
        masked[start:end] = _STAYS * (end - start)
    kept = Spans(stays)
    apart = [one for one in found if not kept.overlaps(one.start, one.end)]
    parts, done = [], 0
    for one in _merged([*apart, *_persons("".join(masked))]):
        parts += [text[done : one.start], f"[{one.kind}]"]
        done = one.end
    return "".join([*parts, text[done:]])


def _staying(text: str, found: Iterable[Finding]) -> list[tuple[int, int]]:
    """Return the announced numbers that are that alone: no part of something longer, and of no other kind."""
    phones = Spans((one.start, one.end) for one in found if one.kind == "PHONE")
    others = Spans((one.start, one.end) for one in found if one.kind != "PHONE")
    stays, taken = [], Spans()
    for one in find_references(text):
        reaches_over = phones.overlaps(one.start - 1, one.start) or phones.overlaps(one.end, one.end + 1)
        is_other = reaches_over or others.overlaps(one.start, one.end) or _GOES_ON.match(text, one.end)
        said = plain(text[one.start : one.end])
        is_phone = _GROUPED.search(said) and not _CALLED_A_NUMBER.search(said) and phones.overlaps(one.start, one.end)
        if not (is_other or is_phone) and taken.take(one.start, one.end):
            stays.append((one.start, one.end))
    return stays


def _is_ordinary(word: str) -> bool:
    return word in empty_words() or _NO_ACCOUNT.fullmatch(word) is not None


def _persons(text: str) -> Iterable[Finding]:
    """Find names, accounts and numbers that are somebody's."""
    for pattern in _NAMES:
        yield from (Finding("NAME", *match.span()) for match in pattern.finditer(text))
    yield from (Finding("NAME", *span) for span in signed_names(text))
    lower = plain(text)
    yield from (Finding("ACCOUNT", *span) for span in _accounts(text, lower))
    yield from (Finding("ACCOUNT", *match.span(1)) for match in _NUMBERED.finditer(lower))
    yield from (Finding("PHONE", *match.span(1)) for match in _EXTENSION.finditer(lower))
    yield from (Finding("NUMBER", *match.span()) for match in _NUMBER.finditer(text))


def _accounts(text: str, lower: str) -> Iterable[tuple[int, int]]:
    """Find what people sign in with: after words that announce it, and where it stands bare beside a word for people.

    Args:
        text: As it was written: capitals tell a thing in a list from an account.
        lower: In lower case, without accents.
    """
    for pattern in _ACCOUNTS:
        for match in pattern.finditer(lower):
            token = pattern.groups  # the last group
            if not _is_ordinary(match[token].rstrip(".-")):
                yield match.span(token)
                are_several = pattern.groups > 1 and match[1] is not None
                yield from _in_list(text, lower, match.end(token), are_several=are_several)
    for match in _BARE.finditer(lower):
        word = match[2].rstrip(".-")
        if not _is_ordinary(word) and (match[1] or _MARKS.search(word) or _DOES.match(lower, match.end(2))):
            yield match.span(2)


def _in_list(text: str, lower: str, end: int, *, are_several: bool) -> Iterable[tuple[int, int]]:
    """Find the accounts that stand in a list behind one; where several are announced, words too."""
    while (more := _FURTHER.match(lower, end)) is not None and not _is_ordinary(more[1].rstrip(".-")):
        written = text[slice(*more.span(1))]
        if not _MARKS.search(more[1].rstrip(".-")) and not (are_several and (written.islower() or written.isupper())):
            return
        yield more.span(1)
        end = more.end(1)


def _merged(found: Iterable[Finding]) -> list[Finding]:
    """Return findings in order, of which those that overlap are one, of the kind of the first."""
    merged: list[Finding] = []
    for one in sorted(found, key=lambda finding: finding.start):
        if merged and one.start < merged[-1].end:
            last = merged[-1]
            merged[-1] = Finding(last.kind, last.start, max(last.end, one.end))
        else:
            merged.append(one)
    return merged


@cache
def _redactor() -> Redactor:
    return Redactor()
