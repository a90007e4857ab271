"""What the name of a group says of its tier, in English, German, French and Spanish."""

from __future__ import annotations

from dataclasses import dataclass

import re2

from triage.screening.reading import plain


@dataclass(frozen=True)
class Named:
    """A word in a group's name, the tier of the default policy that it speaks for, and how strongly."""

    word: str
    tier: str
    points: float


_SURE, _LIKELY, _HINT = 4.0, 2.0, 1.0
_LEVEL = (
    r"(?:\b(?:tier|level|line|lvl|stufe|ebene|niveau|nivel|linea|ligne)[ _-]?{n}\b|\b[ltn][ _-]?{n}\b|"
    r"\b{ordinal}[ _-]?(?:level|line|tier|stufe|ligne|linea|nivel)\b)"
)
_ORDINALS = (
    ("L0", "0", "(?:zero|zeroth|0th)"),
    ("L1", "1", "(?:first|1st|erste|premiere|primera|1er)"),
    ("L2", "2", "(?:second|2nd|zweite|deuxieme|segunda|2e)"),
    ("L3", "3", "(?:third|3rd|dritte|troisieme|tercera|3e)"),
    ("L4", "4", "(?:fourth|4th|vierte|quatrieme|cuarta|4e)"),
)
_WORDS = (
    (
        "L0",
        _SURE,
        r"self[ _-]?(?:service|help)|chat ?bot|virtual (?:agent|assistant)|selbsthilfe|"
        r"knowledge ?base|libre[ -]service|autoservicio",
    ),
    ("L0", _LIKELY, r"portal|automation|\bbot\b"),
    (
        "L1",
        _SURE,
        r"service[ _-]?desk|help[ _-]?desk|front[ _-]?(?:desk|office)|call[ _-]?cent(?:er|"
        r"re)|hotline|benutzerservice|centre de services|mesa de (?:ayuda|servicio)|"
        r"assistance utilisateurs",
    ),
    ("L1", _LIKELY, r"dispatch|user support|customer (?:service|support|care)|kundendienst|anwenderbetreuung"),
    (
        "L4",
        _SURE,
        r"vendors?\b|suppliers?\b|manufacturer|lieferant|hersteller|fournisseur|proveedor|"
        r"\bexternal|\bextern|third[ _-]?party",
    ),
    ("L4", _LIKELY, r"carrier|\bprovider|contractors?\b|outsourc|maintenance contract|partner"),
    (
        "L3",
        _LIKELY,
        r"engineering|\bengineers?\b|develop|entwickl|desarroll|architect|architekt|"
        r"r ?& ?d\b|\bdba\b|\bsre\b|experts?\b|expertise|spezialist|specialist|"
        r"incident[ _-]?response|\bcsirt\b|\bcert\b|forensic|major[ _-]?incident|"
        r"product team|backend|platform team",
    ),
    ("L3", _HINT, r"database|data protection|datenschutz|\bcore\b|\bsoc\b"),
    (
        "L2",
        _LIKELY,
        r"technical support|technischer support|support technique|soporte tecnico|"
        r"on[ _-]?site|vor[ -]?ort|field|workplace|desktop|deskside|operations|\bops\b|"
        r"betrieb|exploitation|operaciones|fulfil?ment|identity|application support|second",
    ),
    ("L2", _HINT, r"support|admin|management|network|netz|server|infrastructure|infrastruktur|security|access"),
)


def named(group: str) -> Named | None:
    """Return what a group's name says most strongly; None where it says nothing.

    Example:
        >>> named("Service Desk Vienna")
        Named(word='service desk', tier='L1', points=4.0)
        >>> named("2nd Level Netzwerk").tier, named("GRP_17")
        ('L2', None)
    """
    text = plain(group).replace("_", " ")
    for tier, number, ordinal in _ORDINALS:
        found = re2.search(_LEVEL.format(n=number, ordinal=ordinal), text)
        if found:
            return Named(found.group(0).strip(), tier, _SURE)
    said = [
        Named(found.group(0).strip(), tier, points)
        for tier, points, pattern in _WORDS
        if (found := re2.search(pattern, text))
    ]
    return max(said, key=lambda one: one.points, default=None)
