"""Names of months, weekdays and time zones, as exports in the usual languages write them."""

from __future__ import annotations

import re
import unicodedata
from contextlib import suppress
from datetime import UTC, timedelta, timezone, tzinfo
from functools import cache
from zoneinfo import ZoneInfo

from training.data.values import InvalidValue

_MONTHS = (
    "january february march april may june july august september october november december",
    "januar februar marz april mai juni juli august september oktober november dezember",
    "janner feber maerz april mai juni juli august september oktober november dezember",
    "janvier fevrier mars avril mai juin juillet aout septembre octobre novembre decembre",
    "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "januari februari maart april mei juni juli augustus september oktober november december",
    "janeiro fevereiro marco abril maio junho julho agosto setembro outubro novembro dezembro",
    "januari februari mars april maj juni juli augusti september oktober november december",
    "stycznia lutego marca kwietnia maja czerwca lipca sierpnia wrzesnia pazdziernika listopada grudnia",
)
_SHORT = {"sept": 9, "mrz": 3, "mrt": 3, "okt": 10, "dez": 12, "dic": 12, "juil": 7, "gen": 1, "ene": 1, "set": 9,
          "ago": 8, "out": 10, "ott": 10, "lug": 7, "giu": 6, "mag": 5, "fev": 2, "avr": 4, "abr": 4}  # fmt: skip
_WEEKDAY = re.compile(
    r"(?:mon|tue|wed|thu|fri|sat|sun|mo|di|mi|do|fr|sa|so|lun|mar|mer|mie|jeu|jue|ven|vie|sam|sab|dim|dom|ma|wo|vr|za|zo"
    r"|gio|seg|ter|qua|qui|sex)[^\W\d_]*\.?,?\s+(?=[\d\w])",
    re.IGNORECASE,
)
_OFFSET = re.compile(r"(?:UTC|GMT)?\s*(?P<sign>[+-])(?P<h>\d{1,2})(?::?(?P<m>\d{2}))?", re.IGNORECASE)
_IN_BRACKETS = re.compile(r"\s*[(\[](?P<zone>[^()\[\]]*)[)\]]")
"""What may be a zone that stands in brackets and nowhere else; what follows are words for it."""
_REMARK = re.compile(r"\s*[(\[].*[)\]]\s*$")
_FIRST_WORD = re.compile(r"[A-Z]{3,4}\b")
_HOURS = {
    "UTC": 0, "GMT": 0, "Z": 0, "WET": 0, "WEST": 1, "BST": 1, "CET": 1, "MEZ": 1, "CEST": 2, "MESZ": 2, "EET": 2,
    "EEST": 3, "MSK": 3, "IST": 5.5, "SGT": 8, "JST": 9, "KST": 9, "AEST": 10, "AEDT": 11, "NZST": 12, "NZDT": 13,
    "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7, "BRT": -3,
}  # fmt: skip
"""Zones by their letters; where two share them, the one with more helpdesks (IST is India's)."""


@cache
def _months() -> dict[str, int]:
    found = dict(_SHORT)
    for names in _MONTHS:
        for number, name in enumerate(names.split(), 1):
            found[name] = number
            found.setdefault(name[:3], number)
            found.setdefault(name[:4], number)
    return found


def month_of(name: str) -> int:
    """Return the number of a month by its name, whole or short.

    Raises:
        InvalidValue: If it is no month.

    Example:
        >>> month_of("Jan"), month_of("févr"), month_of("Dezember")
        (1, 2, 12)
    """
    plain = "".join(char for char in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(char))
    months = _months()
    number = months.get(plain) or months.get(plain[:4]) or months.get(plain[:3])
    if number is None or not any(full.startswith(plain[:3]) for full in months):
        raise InvalidValue("opened_at names no month")
    return number


def without_weekday(text: str) -> str:
    """Take the day of the week off the front of a date; ``mar`` before a number stays, for it may be March."""
    match = _WEEKDAY.match(text)
    if match is None:
        return text
    rest = text[match.end() :]
    named = rest[:1].isalpha() or re.match(r"\d{1,2}[\s./-]", rest)
    is_month = match[0].casefold()[:3] in ("mar", "mai", "mag") and not ("," in match[0] or rest[:1].isalpha())
    return rest if named and not is_month else text


def zone_of(text: str) -> tzinfo:
    """Return the time zone that stands behind a time; UTC where none does, as behind a remark in brackets.

    Raises:
        InvalidValue: If it is no zone.

    Example:
        >>> str(zone_of("+0530")), str(zone_of("GMT-3")), str(zone_of("CEST"))
        ('UTC+05:30', 'UTC-03:00', 'UTC+02:00')
        >>> str(zone_of("+0100 (CET)")), str(zone_of("(UTC-05:00) Eastern Time (US & Canada)")), str(zone_of("(PST)"))
        ('UTC+01:00', 'UTC-05:00', 'UTC-08:00')
        >>> str(zone_of("(MESZ, Wien)")), str(zone_of("(Friday)")), str(zone_of("CET (local time)"))
        ('UTC+02:00', 'UTC', 'UTC+01:00')
    """
    zone = _zone_in_brackets(text)
    return _zone_named(_REMARK.sub("", text).strip()) if zone is None else zone


def _zone_in_brackets(text: str) -> tzinfo | None:
    """Return the zone that stands in brackets and nowhere else, alone or as its first word; None for a remark."""
    alone = _IN_BRACKETS.match(text)
    inner = alone["zone"].strip() if alone else ""
    first = _FIRST_WORD.match(inner)
    for name in filter(None, (inner, first and first[0])):
        with suppress(InvalidValue):
            return _zone_named(name)
    return None


def _zone_named(name: str) -> tzinfo:
    if not name or name.upper() in ("Z", "UTC", "GMT"):
        return UTC
    offset = _OFFSET.fullmatch(name)
    if offset:
        minutes = int(offset["h"]) * 60 + int(offset["m"] or 0)
        return timezone(timedelta(minutes=-minutes if offset["sign"] == "-" else minutes))
    if name.upper() in _HOURS:
        return timezone(timedelta(hours=_HOURS[name.upper()]))
    if re.fullmatch(r"[A-Za-z]+/[A-Za-z_]+(?:/[A-Za-z_]+)?", name):
        try:
            return ZoneInfo(name)
        except (LookupError, ValueError, OSError) as error:
            raise InvalidValue("opened_at names no time zone") from error
    raise InvalidValue("opened_at has something behind its time that is no zone")
