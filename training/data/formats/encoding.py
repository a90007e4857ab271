"""What a text file is encoded in: found from its bytes where they tell, and refused where they do not."""

from __future__ import annotations

import codecs
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.data.formats.alphabets import CODE_PAGES, CodePage, coverage
from triage.errors import InvalidDataset, InvalidRequest

_CHUNK = 1 << 16
_SAMPLE_BYTES = 1 << 18
_WORD = re.compile(rb"[A-Za-z'\x80-\xff]*[\x80-\xff][A-Za-z'\x80-\xff]*")
_WIDE = (("shift_jis", "kana"), ("euc_jp", "kana"), ("gb18030", "han"), ("big5", "han"), ("euc_kr", "hangul"))
_SCRIPTS = {"kana": 0.25, "hangul": 0.8, "han": 0.3}
"""Share of the letters beyond ASCII that are of the script, or for Chinese among its commonest characters."""

_LEAST_COVERAGE = 0.9
"""Share of the letters beyond ASCII that one alphabet must have: names and typing errors leave it below 1."""

_LEAST_LEAD = 0.02
"""Lead in that share by which one code page is believed before another that reads the text otherwise."""

_LEAST_LETTERS = 20
"""Letters that a code page which hardly anybody uses any more must explain to be believed; with fewer it can still be
what keeps another page from being believed."""

_FEW_LETTERS = 5
"""Letters of several bytes each from which no encoding of one byte a letter is believed in their place."""

_MOSTLY_UTF8 = 0.6
"""Share of bytes beyond ASCII that are UTF-8, from which a file is UTF-8 with faults: others seldom reach 0.3."""


@dataclass(frozen=True)
class Encoding:
    """What a file is encoded in.

    Attributes:
        name: As Python's codecs call it.
        errors: How `open` is to treat wrong bytes.
        notes: What to tell the user; empty for UTF-8, which is what everybody expects.
    """

    name: str
    errors: str = "strict"
    notes: tuple[str, ...] = ()


def encoding_of(path: Path, stated: str | None = None) -> Encoding:
    """Find what a text file is encoded in, or check what was stated.

    A UTF-8 file with some wrong bytes stays UTF-8, so that only those rows are bad. A code page is believed where its
    letters form words of one of its languages and no other page reads the text as well.

    Raises:
        InvalidDataset: If the encoding cannot be told, or the file is not in the stated one.
        InvalidRequest: If no such encoding exists.
    """
    if stated is not None:
        return _checked(path, stated)
    with path.open("rb") as file:
        start = file.read(_CHUNK)
    wide = _utf16(start)
    if wide is not None:
        return Encoding(wide, "surrogatepass", ("it is read as UTF-16",))
    if start.count(0) > len(start) / 4:
        raise InvalidDataset(f"{path} is no text: more than a quarter of its bytes are zero; export it as CSV or JSON")
    wrong = first_wrong_byte(path, "utf-8")
    if wrong is None:
        return Encoding("utf-8-sig")
    sample = _sample(path)
    if _utf8_share(sample) > _MOSTLY_UTF8:
        return Encoding("utf-8-sig", "surrogateescape")
    return _legacy(path, sample)


def as_utf8(path: Path, encoding: Encoding, target: Path) -> Path:
    """Write a text file anew in UTF-8, and return where.

    Raises:
        InvalidDataset: If it cannot be read in this encoding.
    """
    with path.open(encoding=encoding.name, newline="") as file, target.open("w", encoding="utf-8", newline="") as copy:
        try:
            shutil.copyfileobj(file, copy)
        except UnicodeError as error:
            raise InvalidDataset(f"{path} is not {encoding.name}: {error}; state its --encoding") from error
    return target


def _utf8_share(sample: bytes) -> float:
    """Return the share of bytes beyond ASCII that are part of a character in UTF-8."""
    beyond = sum(byte > 0x7F for byte in sample)
    valid = sample.decode("utf-8", errors="ignore").removeprefix("\ufeff")
    return sum(len(char.encode()) for char in valid if char > "\x7f") / max(1, beyond)


def _checked(path: Path, stated: str) -> Encoding:
    try:
        name = codecs.lookup(stated).name
        "".encode(name)  # a codec such as base64 is no encoding of text
    except LookupError as error:
        raise InvalidRequest(
            f"--encoding {stated!r} is no encoding: write one that Python knows, such as utf-8, cp1252, cp1251, "
            "iso8859-2 or shift_jis"
        ) from error
    name = "utf-8-sig" if name == "utf-8" else name
    wrong = first_wrong_byte(path, name)
    if wrong is not None:
        raise InvalidDataset(f"{path} is not {stated}: a wrong byte at about {wrong}; state another --encoding")
    return Encoding(name, "strict", (f"it is read as {stated}, as stated",))


def first_wrong_byte(path: Path, name: str) -> int | None:
    """Return about where a file cannot be decoded, in bytes; None where all of it can."""
    decoder, place = codecs.getincrementaldecoder(name)(), 0
    with path.open("rb") as file:
        try:
            while chunk := file.read(_CHUNK):
                decoder.decode(chunk)
                place += len(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            return place + error.start
    return None


def _utf16(start: bytes) -> str | None:
    """Tell UTF-16 by its mark, or by the zeros that Latin letters have in every second byte."""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    half = len(start) // 2
    even, odd = start[0 : 2 * half : 2].count(0), start[1 : 2 * half : 2].count(0)
    if half and odd > 0.4 * half and even < 0.02 * half:
        return "utf-16-le"
    return "utf-16-be" if half and even > 0.4 * half and odd < 0.02 * half else None


def _sample(path: Path) -> bytes:
    """Return lines with letters beyond ASCII, as many as are needed, from all over the file."""
    found, size = [], 0
    with path.open("rb") as file:
        for line in iter(lambda: file.readline(_SAMPLE_BYTES), b""):  # JSON may be one line
            if not line.isascii():
                found.append(line)
                size += len(found[-1])
                if size > _SAMPLE_BYTES:
                    break
    return b"".join(found)


def _legacy(path: Path, sample: bytes) -> Encoding:
    wide = next((name for name, script in _WIDE if _is_wide(sample, name, script)), None)
    if wide is not None and first_wrong_byte(path, wide) is None:
        return Encoding(wide, "strict", (f"its encoding was detected as {wide}; state another with --encoding",))
    words = [match[0] for match in _WORD.finditer(sample)][:20_000]
    ranked = sorted(_readings(words), key=lambda reading: -reading.share)
    ranked = [reading for reading in ranked if first_wrong_byte(path, reading.page.name) is None]
    best = next((reading for reading in ranked if reading.believable), None)
    if best is None or best.share < _LEAST_COVERAGE:
        raise InvalidDataset(
            f"{path} is not UTF-8, and its encoding cannot be told from its bytes; state it with --encoding "
            "(such as cp1252), or save the file as UTF-8"
        )
    rivals = [one for one in ranked if one is not best and one.fit > best.fit - _LEAST_LEAD and one.text != best.text]
    wider = [name for name, script in _WIDE if _is_wide(sample, name, script, least=_FEW_LETTERS)]
    if wider or (rivals and not _same_family(best, rivals)):
        names = ", ".join(dict.fromkeys([best.page.name, *(one.page.name for one in rivals), *wider]))
        raise InvalidDataset(
            f"{path} is not UTF-8, and its bytes make sense in several encodings ({names}); state one with --encoding"
        )
    return Encoding(best.page.name, "strict", (f"its encoding was detected as {best.page.name}; state another with "
                                               "--encoding",))  # fmt: skip


@dataclass(frozen=True)
class _Reading:
    """How the words of a file read in one code page: the page, the text, and the share of letters that fit."""

    page: CodePage
    text: str
    share: float

    @property
    def fit(self) -> float:
        """The share, whatever page is the commonest."""
        return self.share - self.page.prior

    @property
    def believable(self) -> bool:
        """Whether the page is in use, or explains enough letters."""
        return bool(self.page.prior) or sum(char > "\x7f" and char.isalpha() for char in self.text) >= _LEAST_LETTERS


def _readings(words: Sequence[bytes]) -> Iterator[_Reading]:
    for page in CODE_PAGES:
        try:
            text = b" ".join(words).decode(page.name)
        except UnicodeDecodeError:
            continue
        yield _Reading(page, text, coverage(text, page))


def _same_family(best: _Reading, rivals: Sequence[_Reading]) -> bool:
    """Whether the rivals differ in signs alone, such as a euro sign: then the commonest page is taken."""
    letters = [char for char in best.text if char.isalpha()]
    return all([char for char in rival.text if char.isalpha()] == letters for rival in rivals)


def _is_wide(sample: bytes, name: str, script: str, least: int = _LEAST_LETTERS) -> bool:
    """Whether a sample makes sense in an encoding of several bytes a letter, and has so many letters."""
    try:
        text = sample.decode(name)
    except UnicodeDecodeError as error:
        if error.start < len(sample) - 4:
            return False
        text = sample[: error.start].decode(name)
    beyond = [char for char in text if char > "\x7f" and not "\uff00" <= char <= "\uffef" and char.isalpha()]
    if len(beyond) < least:
        return False
    within: Callable[[str], bool] = {
        "kana": lambda char: "\u3040" <= char <= "\u30ff",
        "hangul": lambda char: "\uac00" <= char <= "\ud7a3",
        "han": lambda char: char in _COMMON_HAN,
    }[script]
    return sum(map(within, beyond)) > _SCRIPTS[script] * len(beyond)


_COMMON_HAN = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心"
    "這個們來為國說時會對發過後裡種經學現當沒動還進樣無法請問題電腦密碼帳號打印机网络登录系统错误無網路登錄印表機系統錯誤"
)
