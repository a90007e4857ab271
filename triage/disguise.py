"""Disguises undone: invisible characters, compatibility forms, and letters of other scripts that look Latin."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Mapping

import re2

MAX_MARKS = 30
"""Combining marks kept in a row, as in the Stream-Safe Text Format (Unicode Standard Annex 15, section 13).

More are never written, and normal forms take time with the square of their number.
"""

MAX_GROWTH = 5_000
"""Characters by which a text may become longer by its compatibility forms.

One character can become eighteen (U+FDFA); what people write, a ligature or an ellipsis here and there, gains little.
"""
_PIECE = 1_000

# Controls, formats and private use, and what Unicode calls default ignorable besides: variation selectors, Hangul
# fillers, Khmer inherent vowels, Mongolian vowel separators, unassigned places for more of them.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5"
    "\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ue000-\uf8ff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\U000f0000-\U0010ffff]+"
)
_MARKS = re2.compile(r"\p{M}+")
_MANY_MARKS = re2.compile(rf"\p{{M}}{{{MAX_MARKS + 1}}}")
_WORD = re.compile(r"\w+")
_FOREIGN = re.compile(r"[^\W\d_a-zA-Z\u00aa-\u024f\u1e00-\u1eff]")
_ASCII_LETTER = re.compile(r"[a-zA-Z]")

# Letters that readers (and attackers) take for ASCII ones: the single letters of confusables.txt, Unicode Technical
# Standard 39; written by scripts/look_alikes.py.
_CONFUSABLE_LETTERS = (
    "ɑɡɣɩɪɯʋʏͿΑΒΕΖΗΙΚΜΝΟΡΤΥΧαγινορυϜϳϺЅІЈАВЕКМНОРСТУХЬаеорсухѕіјѡѴѵҮүһҽӀӏԁԌԛԜԝՍՏՕագզհոռսցքօଠഠဝყჿሀዐᎠᎡᎢᎥᎩᎪᎫ"
    "ᎬᎳᎷᎻᎽᏀᏂᏃᏏᏒᏔᏕᏙᏚᏞᏟᏢᏦᏧᏳᏴᐯᑌᑭᑯᑲᒍᒪᕁᕼᕽᖇᖯᖴᗅᗞᗪᗰᗷᚷᛁᛕᛖᴄᴏᴑᴜᴠᴡᴢᶃᶌẝỿⲅⲎⲒⲔⲘⲚⲞⲟⲢⲣⲤⲥⲦⲨⲬⳐⴸⴹⵏⵔⵕⵝꓐꓑꓒꓓꓔꓖꓗꓙꓚꓜꓝꓟꓠꓡꓢꓣꓦꓧꓪꓫꓬꓮꓰꓲ"
    "ꓳꓴꙇꛟꜱꞘꞙꞟꞲꞳꞴꬲꬵꬽꭇꭈꭎꭒꭚꭵꮁꮃꮓꮩꮪꮯ𐊂𐊆𐊇𐊊𐊐𐊒𐊕𐊖𐊗𐊠𐊡𐊢𐊥𐊫𐊰𐊱𐊲𐊴𐋏𐌁𐌂𐌉𐌑𐌕𐌗𐐄𐐕𐐛𐐠𐐬𐐽𐑈𐒴𐓂𐓎𐓪𐓶𐔓𐔖𐔘𐔜𐔝𐔥𐔦𐔧𑜆𑜊𑜎𑜏𑢠𑢢𑢣𑢤𑢦𑢩𑢮𑢲𑢵𑢸𑢼𑣀𑣁𑣂𑣃𑣄𑣈𑣗𑣘𑣜𖼈𖼊𖼖𖼨𖼵"
    "𖼺𖽀𖽂𖽃"
)
_LETTERS_MEANT = (
    "agyiiwuyJABEZHIKMNOPTYXayivopuFjMSIJABEKMHOPCTYXbaeopcyxsijwVvYyheIidGqWwUSOwqqhnnugfoOooyoUODRTiYAJ"
    "EWMHYGhZbRWSVSLCPKdGBVUPdbJLxHxRbFADDMBXlKMcoouvwzgyfyrHIKMNOoPpCcTYXLVElOQXBPdDTGKJCZFMNLSRVHWXYAEl"
    "OUiVsFfuJXBeforruuyirwzvscBEFlXOPSTABCFOMTYXHBClMTXOCLSocsROUouNOKCVFLXvwwwVFLYEZELOUTvsFizoouyVTLlR"
    "SAUY"
)
# What the standard lacks and eyes still confuse.
_MORE_LETTERS = ("βεηκτχωӏʟ", "Benktxwll")
# Likenesses that hold only in some typefaces. They make up most of everyday Russian or Greek, so they count only
# where a word or its neighbours mix scripts.
_LOOSE_LETTERS = ("вгкмнптиьσᴦ", "brkmhntubor")
_STRICT: Mapping[int, str] = str.maketrans(
    dict(zip(_CONFUSABLE_LETTERS + _MORE_LETTERS[0], _LETTERS_MEANT + _MORE_LETTERS[1], strict=True))
)
_LOOSE: Mapping[int, str] = {**_STRICT, **str.maketrans(dict(zip(*_LOOSE_LETTERS, strict=True)))}

_LOOK_ALIKE = re.compile(f"[{re.escape(''.join(map(chr, _LOOSE)))}]")


def unmask(text: str) -> str:
    r"""Undo disguises: compatibility forms, invisible characters, foreign letters that look Latin.

    A word is read as Latin where all its letters are Latin or look so, and it mixes scripts or stands in a text that
    is not mostly in another script: real Cyrillic or Greek stays readable. Of combining marks in a row the first
    `MAX_MARKS` count, and of a text that compatibility forms would make much longer its beginning.

    Example:
        >>> unmask("p\u0430ssw\u200bord \uff32\uff25\uff33\uff25\uff34")
        'password RESET'
    """
    if text.isascii():
        return text
    text = _normal_form(text)
    return text if text.isascii() else _in_latin(text)


def _normal_form(text: str) -> str:
    """Return the compatibility form (NFKC) without what nobody sees, in time linear to the text's length."""
    text = _few_marks(_INVISIBLE.sub("", text))
    if unicodedata.is_normalized("NFKC", text):
        return text
    most = len(text) + MAX_GROWTH
    return _few_marks(unicodedata.normalize("NFKC", _growing_to(text, most))[:most])


def _growing_to(text: str, most: int) -> str:
    """Return the beginning of a text whose compatibility form has about so many characters."""
    grown = 0
    for start in range(0, len(text), _PIECE):
        if grown > most:
            return text[:start]
        grown += len(unicodedata.normalize("NFKC", text[start : start + _PIECE]))
    return text


def _few_marks(text: str) -> str:
    if not _MANY_MARKS.search(text):  # to find one is much quicker than to go through all
        return text
    return str(_MARKS.sub(lambda run: run.group()[:MAX_MARKS], text))


def _in_latin(text: str) -> str:
    """Put Latin letters for their look-alikes in the words where they pass for them."""
    if not _LOOK_ALIKE.search(text):
        return text
    foreign_letters = len(_FOREIGN.findall(text))
    words = _WORD.findall(text)
    times = Counter(word for word in words if not word.isascii())
    strict, loose = (dict(zip(words, _WORD.findall(text.translate(table)), strict=True)) for table in (_STRICT, _LOOSE))
    passing = {word for word in times if loose[word] != word and _is_latin(loose[word])}
    mixed = {word for word in passing if _ASCII_LETTER.search(word)}
    alike = {word for word in passing - mixed if _is_latin(strict[word])}
    letters = {word: times[word] * len(_FOREIGN.findall(word)) for word in passing}
    elsewhere = foreign_letters - sum(letters.values())
    doubtful = passing - mixed - alike
    if sum(map(letters.__getitem__, mixed)) > elsewhere:
        alike |= doubtful
    else:
        elsewhere += sum(map(letters.__getitem__, doubtful))
    read = {word: loose[word] for word in mixed}
    latin = sum(map(text.count, string.ascii_letters)) + sum(map(letters.__getitem__, mixed))
    if latin > elsewhere or not elsewhere:
        read |= {word: loose[word] for word in alike}
        read |= {word: strict[word] for word in times.keys() - mixed - alike if _ASCII_LETTER.search(word)}
    if not read:
        return text
    # Marks may stand behind a look-alike: with a Latin letter they make one character.
    return unicodedata.normalize("NFKC", _WORD.sub(lambda word: read.get(word.group(), word.group()), text))


def _is_latin(word: str) -> bool:
    return word.isascii() or not _FOREIGN.search(word)
