"""Write the names of languages and the codes for them, to `triage/languages/names.txt`.

Run as `python -P scripts/language_names.py` when Babel has newer data of the Unicode CLDR. Each line is an ISO 639-1
code, then all that stands for it: older and longer codes, its names in the languages of Europe, and its name in itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from babel import Locale
from babel.core import get_global
from babel.localedata import locale_identifiers

from triage.languages.names import DETECTED_AS, NAMES_FILE, folded

ROOT = Path(__file__).parent.parent
READ_BY = frozenset(
    (
        *("be", "bg", "bs", "ca", "cs", "cy", "da", "de", "el", "en", "es", "et", "eu", "fi"),
        *("fr", "ga", "gl", "hr", "hu", "is", "it", "lb", "lt", "lv", "mk", "mt", "nb", "nl"),
        *("nn", "pl", "pt", "pt_PT", "ro", "ru", "sk", "sl", "sq", "sr", "sr_Latn", "sv", "tr", "uk"),
    )
)
"""Locales in whose languages desks of Europe write."""


def base_of(code: str) -> str:
    """Return the code of a language without script and region, as the detector has it."""
    base = code.split("_")[0]
    return DETECTED_AS.get(base, base)


def stated() -> Iterator[tuple[str, str]]:
    """Yield codes and names, each with the code that it stands for."""
    known = sorted({base_of(str(code)) for code in Locale.parse("en").languages})
    for code in (*known, *DETECTED_AS):
        yield code, base_of(code)
    for alias, code in get_global("language_aliases").items():
        if "_" not in alias:
            yield alias, base_of(DETECTED_AS.get(alias, str(code)))
    there = set(locale_identifiers())
    for locale in sorted(READ_BY | (there & set(known))):
        for code, name in Locale.parse(locale).languages.items():
            if locale in READ_BY or base_of(code) == base_of(locale):
                yield name, base_of(code)


def main() -> None:
    """Collect codes and names; a name that stands for several languages stands for none."""
    found: dict[str, set[str]] = defaultdict(set)
    for name, code in stated():
        if len(code) == 2:
            found[folded(name)].add(code)
    lines: dict[str, list[str]] = {code: [] for name, codes in sorted(found.items()) for code in codes & {name}}
    for name, codes in sorted(found.items()):
        if len(codes) == 1 and name not in codes:
            lines[min(codes)].append(name)
        elif len(codes) > 1:
            print(f"left out, for it is several: {name} ({', '.join(sorted(codes))})")
    text = "".join("\t".join((code, *names)) + "\n" for code, names in lines.items())
    (ROOT / "triage" / "languages" / NAMES_FILE).write_text(text, "utf-8")
    print(f"{sum(map(len, lines.values()))} names of {len(lines)} languages written to {NAMES_FILE}")


if __name__ == "__main__":
    main()
