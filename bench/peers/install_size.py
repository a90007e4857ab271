"""How many MB packages take with all that they need; `python install_size.py NAME…`, by the Python that has them."""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError, distribution


def closure(names: list[str]) -> set[str]:
    """Return the normalised names of packages and of everything that they need here."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        stated = waiting.pop()
        name = re.sub(r"[-_.]+", "-", re.split(r"[ \[;<>=!~(]", stated)[0]).lower()
        if name in found:
            continue
        try:
            needed = distribution(name).requires or []
        except PackageNotFoundError:
            continue  # not needed on this platform
        found.add(name)
        waiting += [one for one in needed if "extra ==" not in one]
    return found


def megabytes(names: set[str]) -> float:
    files = (file for name in names for file in distribution(name).files or [])
    paths = {path for file in files if (path := file.locate()).is_file()}
    return sum(path.stat().st_size for path in paths) / 1e6


if __name__ == "__main__":
    print(f"{megabytes(closure(sys.argv[1:])):.0f}")
