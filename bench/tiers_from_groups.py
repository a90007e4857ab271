"""Tiers for a desk that only knows groups, from export to model: `python bench/tiers_from_groups.py FILE.parquet OUT`.

The file has `id`, `subject`, `body`, the group that resolved each ticket in `category`, and a column `tier` that only
says whether the first line did (`first-line`) or not. Of its rows 15 % are set aside at random; the others go without
their tier through `triage policy learn` and `triage train --policy`, and the model's own first tier of the rows set
aside is compared with the column that was hidden. Nobody reviews the proposed policy in between.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet as parquet

ASIDE = 0.15
COLUMNS = ("id", "subject", "body", "category")
FIRST_LINE = ("L0", "L1")
ROLES = ("--map", "resolver_group=category", "--map", "category=")


def triage(*words: str) -> str:
    """Run a verb, with a low priority; what it tells on the way goes through."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "triage", *words], stdout=subprocess.PIPE, text=True, check=True, env=os.environ
    )
    return done.stdout


def write(path: Path, rows: list[dict[str, str]], columns: tuple[str, ...]) -> None:
    path.write_text("".join(json.dumps({name: row[name] for name in columns}) + "\n" for row in rows), "utf-8")


def right(rows: list[dict[str, str]], names: list[str | None]) -> float:
    """Return the share of rows whose tier is of the first line where the hidden column says so, and else not."""
    found = [(name in FIRST_LINE) == (row["tier"] == "first-line") for row, name in zip(rows, names, strict=True)]
    return sum(found) / max(1, len(found))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path, help="folder for the files, the policy and the bundle; it must not exist")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True)
    rows = parquet.read_table(chosen.data).to_pylist()
    random.Random(chosen.seed).shuffle(rows)
    cut = round(len(rows) * ASIDE)
    aside, history = rows[:cut], rows[cut:]
    export, unseen, policy = chosen.out / "export.jsonl", chosen.out / "unseen.jsonl", chosen.out / "policy.toml"
    bundle, decided = chosen.out / "bundle", chosen.out / "decided.jsonl"
    write(export, history, COLUMNS)
    write(unseen, aside, COLUMNS[:3])
    learned = json.loads(triage("policy", "learn", str(export), *ROLES, "--out", str(policy), "--json"))
    (chosen.out / "learned.json").write_text(json.dumps(learned, indent=1), "utf-8")
    trained = triage("train", str(export), *ROLES, "--policy", str(policy), "--out", str(bundle), "--no-register",
                     "--json")  # fmt: skip
    (chosen.out / "trained.json").write_text(trained, "utf-8")
    triage("score", str(bundle), str(unseen), "--out", str(decided))
    decisions = [json.loads(line) for line in decided.read_text("utf-8").splitlines()]
    tops = [one["tier_top"] for one in decisions]
    report(aside, decisions, tops)
    own = json.loads(trained)["targets"]["tier"]
    print(f"  against the tiers that the policy proposed, on the part that training set aside: {own['accuracy']:.3f}")
    return 0


def report(aside: list[dict[str, str]], decisions: list[dict[str, str]], tops: list[str | None]) -> None:
    kept = [place for place, one in enumerate(decisions) if one["tier_reason"] == "confident"]
    most = Counter(row["tier"] for row in aside).most_common(1)[0][1] / len(aside)
    print(f"{len(aside)} tickets set aside: first line or not right in {right(aside, tops):.3f} (majority {most:.3f})")
    print(f"  first tiers of the model: {dict(sorted(Counter(map(str, tops)).items()))}")
    risk = 1 - right([aside[place] for place in kept], [tops[place] for place in kept]) if kept else 0.0
    print(f"  decided alone {len(kept) / len(aside):.3f}, of those wrong by the hidden column {risk:.3f}")


if __name__ == "__main__":
    sys.exit(main())
