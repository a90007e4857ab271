"""Code pages and the letters of the languages that are written in them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from unicodedata import category

_CYRILLIC = "абвгдежзийклмнопрстуфхцчшщъыьэюяё"
_SIGNS = frozenset("“”‘’„‚–—…•€£¥§°©®™«»‹›·´¿¡ªº¹²³½¼¾µ×±№†\xa0\xad")
"""Signs of print that any text may have."""
_IN_WORDS, _BEFORE_WORDS = frozenset("’‘´·\xad\xa0"), frozenset("¿¡«»“”„‚‹›–—…€£¥§°©®•")


@dataclass(frozen=True)
class CodePage:
    """A code page.

    Attributes:
        name: As Python's codecs call it.
        alphabets: The letters beyond ASCII of each language, lower case, without those that hardly any word has,
            such as the Slovak ŕ, which is the French à in another page.
        common: Letters that make up most of any text in the script; empty where the Latin script is used.
        prior: Added to the share of letters that fit: how much commoner a page is in exports of our time.
    """

    name: str
    alphabets: tuple[str, ...]
    common: str = ""
    prior: float = 0.0


_WESTERN = ("éèàêçùûôîâëïüœæÿ", "äöüß", "áéíóúñü", "ãõçáéíóúâêôàü", "àèéìòùî", "åäöé", "æøåé", "ëïéèüöêó", "áéíóúýþæöð")
_CENTRAL = ("ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíľňóôšťúýž", "áéíóöőúüű", "ăâîşţșț", "čćđšž")
_BALTIC = ("ąčęėįšųūž", "āčēģīķļņšūž", "äõöüšž")
_TURKISH = ("çğıöşüâî",)
_SLAVIC = (
    _CYRILLIC,
    "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя",
    "абвгдђежзијклљмнњопрстћуфхцчџш",
    "абвгдеёжзійклмнопрстуўфхцчшыьэюя",
)
_RUSSIAN = "оеаинтсрвлкі"
_GREEK = ("αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ",)
_HEBREW = ("אבגדהוזחטיךכלםמןנסעףפץצקרשת",)
_ARABIC = ("ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىيًٌٍَُِّْ",)
_THAI = ("".join(map(chr, range(0x0E01, 0x0E5B))),)

CODE_PAGES = (
    CodePage("cp1252", _WESTERN, prior=0.03),
    CodePage("cp1250", _CENTRAL, prior=0.01),
    CodePage("cp1251", _SLAVIC, _RUSSIAN, prior=0.01),
    CodePage("cp1253", _GREEK, "αοιετσνηυρπκ", prior=0.01),
    CodePage("cp1254", _TURKISH, prior=0.01),
    CodePage("cp1255", _HEBREW, "יוהלאתמרבנ", prior=0.01),
    CodePage("cp1256", _ARABIC, "اليمنوتربع", prior=0.01),
    CodePage("cp1257", _BALTIC, prior=0.01),
    CodePage("cp874", _THAI, "านรอกเงมยล่"),
    CodePage("iso8859_2", _CENTRAL),
    CodePage("iso8859_5", _SLAVIC, _RUSSIAN),
    CodePage("iso8859_7", _GREEK, "αοιετσνηυρπκ"),
    CodePage("koi8_r", _SLAVIC, _RUSSIAN),
    CodePage("cp866", _SLAVIC, _RUSSIAN),
    CodePage("cp850", _WESTERN),
    CodePage("cp852", _CENTRAL),
    CodePage("mac_roman", _WESTERN),
)


def coverage(text: str, page: CodePage) -> float:
    """Return the share of characters beyond ASCII that make sense: letters of one language, cased as words are.

    Args:
        text: Words with at least one such character each, decoded with the page.
        page: The code page.
    """
    beyond = sum(char > "\x7f" for char in text)
    if not beyond:
        return 0.0
    miscased = sum(after > "\x7f" and after.isupper() and before.islower() for before, after in pairwise(text))
    mixed = _mixed(text) if page.common else _signs_within(text)
    best = max(
        sum(char in _SIGNS or char.lower() in letters for char in text if char > "\x7f")
        for letters in map(frozenset, page.alphabets)
    )
    share = (best - miscased - mixed) / beyond
    if page.common:
        letters = [char.lower() for char in text if char > "\x7f" and char.isalpha()]
        usual = sum(char in page.common for char in letters) / max(1, len(letters))
        share *= min(1.0, usual / 0.5)  # in words of the language these letters are some six of ten
    return share + page.prior


def _signs_within(text: str) -> int:
    """Count signs between two letters, or in front of one where none belongs: there a letter was misread."""
    return sum(
        char in _SIGNS
        and char not in _IN_WORDS
        and after.isalpha()
        and (before.isalpha() or before in _SIGNS or char not in _BEFORE_WORDS)
        for before, char, after in zip(f" {text}", text, text[1:], strict=False)
    )


def _is_of_a_word(char: str) -> bool:
    """Say whether a character is a letter, or a mark above or below one, as vowels are in Thai."""
    return char.isalpha() or category(char).startswith("M")


def _mixed(text: str) -> int:
    """Count letters beyond ASCII that touch an ASCII letter: other scripts do not mix with the Latin one in a word."""
    return sum(
        (before > "\x7f") != (after > "\x7f") and _is_of_a_word(before) and _is_of_a_word(after)
        for before, after in pairwise(text)
    )
