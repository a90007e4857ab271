"""Write the table of look-alikes in `triage/disguise.py` anew, from the confusables of Unicode TR 39.

Takes the `confusables.json` of the package confusable-homoglyphs, which holds the Unicode table:
    python -P scripts/look_alikes.py SITE-PACKAGES/confusable_homoglyphs/confusables.json
"""

from __future__ import annotations

import json
import sys
import unicodedata
from pathlib import Path

_WIDTH = 100
# Letters of everyday alphabets whose likeness is loose: `triage/disguise.py` lists them with those it takes only
# beside other signs of a disguise.
_LOOSE = "гσᴦ"


def main() -> None:
    """Print the two strings of the table."""
    table = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    pairs = sorted(
        (source, _target(source, targets)) for source, targets in table.items() if _target(source, targets) is not None
    )
    for strings in zip(*pairs, strict=True):
        text = "".join(str(one) for one in strings)
        for start in range(0, len(text), _WIDTH):
            print(f'    "{text[start : start + _WIDTH]}"')
        print()


def _target(source: str, targets: list[dict[str, str]]) -> str | None:
    """Return the ASCII letter that a letter is taken for; None where there is none, or normal forms replace it."""
    stays = len(source) == 1 and ord(source) >= 0x250 and unicodedata.normalize("NFKC", source) == source
    if not stays or unicodedata.category(source)[0] != "L" or source in _LOOSE:
        return None
    letters = [one["c"] for one in targets if len(one["c"]) == 1 and one["c"].isascii() and one["c"].isalpha()]
    if not letters:
        return None
    # The Unicode table knows I and l as one shape: a capital letter is an I.
    return "I" if letters[0] == "l" and unicodedata.category(source) == "Lu" else letters[0]


if __name__ == "__main__":
    main()
