"""Write requirements.lock: the versions installed here of all that pyproject.toml asks for, and of what that needs.

`python -P scripts/lock.py` writes the file. With `--check` it says whether the file names every stated requirement
at a version that is allowed. A lock file of uv or pip-tools would name the package index it was made with;
versions alone hold for every index.
"""

import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
HEADER = """\
# The versions that are tested, for `pip install -c`. Written by `make lock`; do not edit.
# Build labels such as +cpu are left out, so that every build of a version fits.
"""


def stated() -> list[Requirement]:
    """Return every requirement of pyproject.toml: base, extras, dependency groups and build system."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    project = document["project"]
    lists = [
        project["dependencies"],
        *project["optional-dependencies"].values(),
        *document["dependency-groups"].values(),
    ]
    return [Requirement(text) for one in [*lists, document["build-system"]["requires"]] for text in one]


def installed() -> dict[str, str]:
    """Return name and version of every stated requirement and all that it needs, as installed here.

    Raises:
        SystemExit: A stated requirement is not installed.
    """
    found: dict[str, str] = {}
    waiting = [(requirement, True) for requirement in stated()]
    while waiting:
        requirement, asked = waiting.pop()
        name = canonicalize_name(requirement.name)
        extras = sorted(requirement.extras) or [""]
        if name in found and extras == [""]:
            continue
        try:
            package = distribution(name)
        except PackageNotFoundError:
            if asked:
                sys.exit(f"{name} is not installed: run make install, then make lock")
            continue  # needed on another platform only
        found[name] = Version(package.version).public
        for text in package.requires or []:
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append((needed, False))
    return found


def missing() -> list[str]:
    """Return the stated requirements that the lock file does not fulfil, as sentences."""
    lines = [line for line in LOCK.read_text("utf-8").splitlines() if "==" in line]
    locked = dict(line.split("==") for line in lines)
    return [
        f"{requirement} is stated, {locked.get(canonicalize_name(requirement.name), 'nothing')} is locked"
        for requirement in stated()
        if not requirement.specifier.contains(locked.get(canonicalize_name(requirement.name), "0"), prereleases=True)
    ]


if __name__ == "__main__":
    if "--check" in sys.argv:
        gaps = missing()
        sys.exit("requirements.lock is stale, run make lock: " + "; ".join(gaps) if gaps else 0)
    LOCK.write_text(HEADER + "".join(f"{name}=={version}\n" for name, version in sorted(installed().items())), "utf-8")
