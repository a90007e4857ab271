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
    """

    kind: str
    expression: str
    group: int = 0
    whole: bool = True
    check: str | None = None
    cue: str | None = None


_GAP = r"[ \x{a0}\x{2009}\x{202f}./-]"
SECRET_WORD = (
    r"pass ?word|passwd|passphrase|pwd|pass ?code|passwort|kennwort|kennung|mot de passe|contrase(?:ñ|n)a|senha"
    r"|secret(?:[ _-]?(?:access[ _-]?)?key)?|client[ _-]?secret|api[ _-]?key|access[ _-]?key|auth[ _-]?token"
    r"|access[ _-]?token|token|otp|tan|pin(?: code)?|puk"
)
_TELEPHONE_WORD = (
    r"\b(?:call|ring|tele?phone|phone|phon|tel|mobile|mob|cell|handy|mobil|telefon|rufnummer|fax|whats ?app|sms"
    r"|messages?|reach|contact|dial|answer(?:ing)?|extension|durchwahl|t[ée]l[ée]phone|portable|m[óo]vil|tel[ée]fono|appelez|ll[áa]m\w*)\b"
)

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
        r"(?i)[a-z]{2}\d{2}(?:[ -]?[a-z0-9]{4}){2,7}(?:[ -]?[a-z0-9]{1,3})?",
        check="mod97",
        cue=r"(?i)\biban\b[^\x00]*\x00",
    ),
    Pattern("IP", r"(?i)(?:[0-9a-f]{0,4}:){2,7}(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9a-f]{0,4})", check="address"),
    Pattern("IP", r"(?:\d{1,3}\.){3}\d{1,3}", check="address"),
    Pattern("MAC", r"(?i)(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}"),
    Pattern("SSN", r"\d{3}-\d{2}-\d{4}"),
    Pattern("SSN", r"\d{9}", cue=r"(?i)\b(?:ssn|social security)\b[^\x00]*\x00"),
    Pattern(
        "CARD",
        r"\d{12,19}|\d{4}(?:[ -]\d{4}){2,3}(?:[ -]\d{1,3})?|\d{4}[ -]\d{6}[ -]\d{4,5}",
        check="luhn",
        cue=r"(?i)\b(?:card|kreditkarte|karte|carte|tarjeta|cc|visa|mastercard|amex)\b[^\x00]*\x00",
    ),
    Pattern(
        "LICENCE",
        r"(?i)[a-z]{0,2}\d[\da-z-]{5,}",
        cue=r"(?i)(?:driv(?:er|ing)\S*\s+licen[cs]e|f[üu]hrerschein\S*|passport)[^\x00]{0,20}\x00",
    ),
    Pattern("PHONE", rf"\+\d{{1,3}}(?:{_GAP}{{0,2}}\(?\d{{1,5}}\)?){{2,6}}"),
    Pattern("PHONE", rf"\b00\d{{1,3}}(?:{_GAP}{{0,2}}\(?\d{{1,5}}\)?){{2,6}}", check="telephone"),
    Pattern("PHONE", rf"\(\d{{1,5}}\)(?:{_GAP}{{0,2}}\d{{2,8}}){{1,4}}", check="telephone"),
    Pattern("PHONE", rf"0\d{{1,5}}(?:{_GAP}{{1,2}}\d{{2,8}}){{1,5}}", check="telephone"),
    Pattern("PHONE", rf"\d{{2,4}}(?:{_GAP}\d{{2,4}}){{2,4}}", check="telephone"),
    Pattern(
        "PHONE",
        rf"(?:\(\d{{1,5}}\){_GAP}?)?\d(?:{_GAP}?\d){{5,14}}",
        cue=rf"(?i){_TELEPHONE_WORD}[^\x00]{{0,36}}\x00|\x00\s*(?:office|fax|mobile|cell|home|work)\b",
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
        r"([A-Z]{0,2}\d[\dA-Z]{1,5}(?:[ -][\dA-Z]{2,4})?)\b",
        group=1,
    ),
)
