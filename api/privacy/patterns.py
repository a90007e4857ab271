"""The shapes of personal data and secrets, most specific first; expressions are re2."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pattern:
    """A shape to look for.

    A match counts where its check holds, or where its cue stands near it, or where it needs neither.

    Attributes:
        kind: What a match is replaced by, in brackets.
        expression: What it looks like.
        group: The group of the expression that is replaced.
        whole: Whether letters and digits may not touch it.
        check: Name of the check that a match must pass; see `api.privacy.redact`.
        cue: Expression on the 40 characters before a match, a NUL, and the 12 after it.
        tail: Expression of the end of a match that may belong to what follows: where the match does not hold with it,
            it is tried without.
        part: Expression of what parts a match: where it is touched and does not hold, the search goes on behind the
            first of them.
    """

    kind: str
    expression: str
    group: int = 0
    whole: bool = True
    check: str | None = None
    cue: str | None = None
    tail: str | None = None
    part: str | None = None


_SPACE = r" \x{a0}\x{2009}\x{202f}"
_LAST_WORD = rf"[{_SPACE}]+[^{_SPACE}]+$"
_TIME_OR_DATE = rf"[{_SPACE}]+(?:\d{{1,2}}|\d{{1,4}}[./-][\d./-]+|(?:19|20)\d{{6}})$"
_GAP = rf"[{_SPACE}./-]"
SECRET_WORD = (
    r"pass ?word|passwd|passphrase|pwd|pass ?code|passwort|kennwort|kennung|mot de passe|contrase(?:ñ|n)a|senha"
    r"|secret(?:[ _-]?(?:access[ _-]?)?key)?|client[ _-]?secret|api[ _-]?key|access[ _-]?key|auth[ _-]?token"
    r"|access[ _-]?token|token|otp|tan|pin(?: code)?|puk"
)
_TELEPHONE_WORD = (
    r"\b(?:call|ring|tele?phone|phone|phon|tel|mobile|mob|cell|handy|mobil|telefon|rufnummer|fax|whats ?app|sms"
    r"|messages?|reach|contact|dial|answer(?:ing)?|extension|durchwahl|t[ée]l[ée]phone|portable|m[óo]vil|tel[ée]fono|appelez|ll[áa]m\w*)\b"
)
_IBAN_COUNTRIES = {
    15: "NO",
    16: "BE",
    18: "DK|FI|FK|FO|GL|NL|SD",
    19: "MK|SI",
    20: "AT|BA|EE|KZ|LT|LU|MN|XK",
    21: "CH|HR|LI|LV",
    22: "BG|BH|CR|DE|GB|GE|IE|ME|RS|VA",
    23: "AE|GI|IL|IQ|OM|SO|TL",
    24: "AD|CZ|ES|MD|PK|RO|SA|SE|SK|TN|VG",
    25: "LY|PT|ST",
    26: "IS|TR",
    27: "BI|DJ|FR|GR|IT|MC|MR|SM",
    28: "AL|AZ|BY|CY|DO|GT|HN|HU|LB|NI|PL",
    29: "BR|EG|PS|QA|UA",
    30: "JO|KW|MU|YE",
    31: "MT|SC",
    32: "LC",
    33: "RU",
}
"""How many characters an IBAN of a country has (ISO 13616): what follows one is often a short word."""


def _iban(length: int, countries: str) -> str:
    """Return the expression of an IBAN of this length, written in groups of four or without a gap."""
    groups, rest = divmod(length - 4, 4)
    last = rf"[ -]?[a-z0-9]{{{rest}}}" if rest else ""
    return rf"(?:{countries})\d{{2}}(?:[ -]?[a-z0-9]{{4}}){{{groups}}}{last}"


_GROUP_WITH_DIGIT = r"[ -]?(?:\d[a-z0-9]{3}|[a-z]\d[a-z0-9]{2}|[a-z]{2}\d[a-z0-9]|[a-z]{3}\d)"
_IBAN_CUE = r"(?i)\biban\b[^\x00]*\x00"

PATTERNS: tuple[Pattern, ...] = (
    Pattern(
        "SECRET", r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\z)", whole=False
    ),
    Pattern("SECRET", r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?"),
    Pattern("SECRET", r"\b(?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA|ANVA)[0-9A-Z]{16}\b"),
    Pattern(
        "SECRET",
        r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{40,}|glpat-[A-Za-z0-9_-]{16,}|xox[abprs]-[A-Za-z0-9-]{10,})",
    ),
    Pattern(
        "SECRET",
        r"\b(?:AIza[0-9A-Za-z_-]{30,}|ya29\.[0-9A-Za-z_-]{20,}|[srp]k_(?:live|test)_[0-9A-Za-z]{16,}|sk-[A-Za-z0-9_-]{20,}|SG\.[\w-]{16,}\.[\w-]{16,})",
    ),
    Pattern("SECRET", r"\btriage_[0-9a-f]{8}_[A-Za-z0-9_-]{20,}"),
    Pattern("SECRET", r"(?i)\b[a-z][a-z0-9+.-]*://[^\s/:@]{0,200}:([^\s/@]+)@", group=1, whole=False),
    Pattern("SECRET", r"(?i)\b(?:bearer|basic)\s+([A-Za-z0-9._~+/=-]{16,})", group=1),
    Pattern(
        "SECRET",
        r"(?i)[?&](?:access_token|token|api_?key|key|sig|signature|secret|password|pwd|code)=([^&\s#\"']+)",
        group=1,
        whole=False,
    ),
    Pattern(
        "SECRET",
        rf"(?i)\b\w*(?:{SECRET_WORD})(?:\b|_)[\"']?\s*(?::|=|=>|->)+\s*[\"']?([^\s\"'\[,;][^\s\"',;]*)",
        group=1,
        whole=False,
    ),
    Pattern(
        "SECRET",
        rf"(?i)\b(?:{SECRET_WORD})\b(?:\s+(?:is|was|ist|war|lautet|est|es|era|to|now|still|von|of))+[:\s]+[\"']?([^\s\"']+)",
        group=1,
        whole=False,
        check="password",
    ),
    Pattern(
        "EMAIL",
        r"(?i)[\p{L}0-9._%+'=/&$#!*?^{}|~-]+@(?:[\p{L}0-9](?:[\p{L}0-9-]*[\p{L}0-9])?\.)+[\p{L}]{2,24}",
        whole=False,
    ),
    Pattern(
        "IBAN",
        rf"(?i){'|'.join(_iban(*of_a_length) for of_a_length in _IBAN_COUNTRIES.items())}",
        check="mod97",
        cue=_IBAN_CUE,
        part=r"[ -]",
    ),
    Pattern(  # one of another country, or with a character too few or too many
        "IBAN",
        rf"(?i)[a-z]{{2}}\d{{2}}(?:[ -]?[a-z0-9]{{4}})(?:{_GROUP_WITH_DIGIT}){{1,6}}(?:[ -]?\d{{1,3}})?",
        check="mod97",
        cue=_IBAN_CUE,
        tail=r"[ -]\d{1,3}$",
        part=r"[ -]",
    ),
    Pattern(
        "IP",
        r"(?i)(?:[0-9a-f]{1,4}:[0-9a-f]{0,4}:|::)(?:[0-9a-f]{0,4}:){0,5}(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9a-f]{0,4})",
        check="address",
        tail=r"\b:$",
        part=r"(?i)^[0-9a-f]{1,4}:\b",
    ),
    Pattern("IP", r"(?:\d{1,3}\.){3}\d{1,3}", check="address"),
    Pattern("MAC", r"(?i)(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}"),
    Pattern("SSN", r"\d{3}-\d{2}-\d{4}"),
    Pattern("SSN", r"\d{9}", cue=r"(?i)\b(?:ssn|social security)\b[^\x00]*\x00"),
    Pattern(
        "CARD",
        r"\d{12,19}|\d{4}(?:[ -]\d{4}){2,3}(?:[ -]\d{1,3})?|\d{4}[ -]\d{6}[ -]\d{4,5}",
        check="luhn",
        cue=r"(?i)\b(?:card|kreditkarte|karte|carte|tarjeta|cc|visa|mastercard|amex)\b[^\x00]*\x00",
        tail=r"[ -]\d{1,3}$",
        part=r"[ -]",
    ),
    Pattern(
        "LICENCE",
        r"(?i)[a-z]{0,2}\d[\da-z-]{5,}",
        cue=r"(?i)(?:driv(?:er|ing)\S*\s+licen[cs]e|f[üu]hrerschein\S*|passport)[^\x00]{0,20}\x00",
    ),
    Pattern("PHONE", rf"\+\d{{1,3}}(?:{_GAP}{{0,2}}\(?\d{{1,5}}\)?){{2,6}}", tail=_LAST_WORD),
    Pattern("PHONE", rf"\b00\d{{1,3}}(?:{_GAP}{{0,2}}\(?\d{{1,5}}\)?){{2,6}}", check="telephone", tail=_TIME_OR_DATE),
    Pattern("PHONE", rf"\(\d{{1,5}}\)(?:{_GAP}{{0,2}}\d{{2,8}}){{1,4}}", check="telephone", tail=_TIME_OR_DATE),
    Pattern("PHONE", rf"0\d{{1,5}}(?:{_GAP}{{1,2}}\d{{2,8}}){{1,5}}", check="telephone", tail=_TIME_OR_DATE),
    Pattern("PHONE", rf"\d{{2,4}}(?:{_GAP}\d{{2,4}}){{2,4}}", check="telephone"),
    Pattern(
        "PHONE",
        rf"(?:\(\d{{1,5}}\){_GAP}?)?\d(?:{_GAP}?\d){{5,14}}",
        cue=rf"(?i){_TELEPHONE_WORD}[^\x00]{{0,36}}\x00|\x00\s*(?:office|fax|mobile|cell|home|work)\b",
        tail=_TIME_OR_DATE,
    ),
    Pattern(
        "NAME",
        r"(?i:\bmy name is|(?:^|[\n.;,!]|\bfull |\bmy )\s*name:|\bich hei(?:ß|ss)e|\bmein name ist"
        r"|\bje m'appelle|\bme llamo)"
        r"\s+(\p{Lu}[\p{L}'’.-]*(?:[ ]\p{Lu}[\p{L}'’.-]*){0,3})",
        group=1,
    ),
    Pattern(
        "POSTCODE",
        r"(?i)\b(?:zip(?: ?code)?|post ?code|postal code|plz|postleitzahl|code postal)\b\s*(?::|is|=|ist)?\s*"
        r"([A-Z]{0,2}\d[\dA-Z]{1,5}(?:[ -](?:\d[\dA-Z]{1,3}|(?-i:[A-Z]{2}))\b)?)\b",
        group=1,
    ),
)
