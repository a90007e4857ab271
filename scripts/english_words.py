"""Write the words that tell English at once, to `models/english-words.txt`.

Run as `python -P scripts/english_words.py` when many rows came to the data sets; two minutes. A word is kept that
twenty English texts of the data sets have in small letters, so that it is no name, and that hardly stands in texts of
other languages.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from lingua import ConfidenceValue, Language, LanguageDetectorBuilder

from models.features.vectorizer import words_of
from models.language import MAX_ENGLISH, MIN_CONFIDENCE, WORDS_FILE
from triage.ticket import Ticket

ROOT = Path(__file__).parent.parent
LEAST_TEXTS, LEAST_RATIO = 20, 30
"""English texts that must have a word, and how many there must be for each text of another language that has it."""
_SMALL = re.compile(r"\b[a-z]+\b")


def texts() -> Iterator[str]:
    """Yield the texts of all data sets that hold tickets."""
    for pattern in ("tickets.jsonl", "attention-*.jsonl", "not-tickets-*.jsonl"):
        for file in sorted((ROOT / "datasets").glob(pattern)):
            for row in map(json.loads, file.read_text("utf-8").splitlines()):
                yield Ticket(subject=row["subject"], body=row["body"]).text


def is_english(found: list[ConfidenceValue]) -> bool | None:
    """Say whether a text is English, by the confidence in each language; None where that is open."""
    if found[0].language == Language.ENGLISH:
        return True
    english = next(one.value for one in found if one.language == Language.ENGLISH)
    return False if found[0].value >= MIN_CONFIDENCE and english <= MAX_ENGLISH else None


def main() -> None:
    """Count the words and write those that are kept."""
    detector = LanguageDetectorBuilder.from_all_languages().with_low_accuracy_mode().build()
    counts: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for text in texts():
        verdict = is_english(detector.compute_language_confidence_values(text[:200]))
        if verdict is not None:
            counts[verdict].update(set(words_of(text)) & set(_SMALL.findall(text)) if verdict else set(words_of(text)))
    kept = sorted(
        word
        for word, count in counts[True].items()
        if len(word) > 1 and count >= LEAST_TEXTS and count > LEAST_RATIO * counts[False][word]
    )
    (ROOT / "models" / WORDS_FILE).write_text("\n".join(kept) + "\n", "utf-8")
    print(f"{len(kept)} words written to {WORDS_FILE}")


if __name__ == "__main__":
    main()
