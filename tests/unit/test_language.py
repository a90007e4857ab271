"""Languages: plain English is told at once, others by the detector, and what is too short by nobody."""

from __future__ import annotations

import pytest

from models import language
from models.language import _detect, detect_language, forget_languages


@pytest.mark.parametrize(
    "text",
    [
        "unable to connect to the vpn since my password was changed",
        "The RIP software hangs when I open a huge PDF, kill it and it's fine.",
        "please reset the password for vijghyd yeghrrajgh on telephony_software",
        "install driver on printer hr14 in building 7",
        "Outlook crashes when opening large attachments",
    ],
)
def test_plain_english_needs_no_detector(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "_build", lambda: pytest.fail("the detector was asked"))
    assert detect_language(text) == "en"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Der Drucker im zweiten Stock druckt seit heute Morgen nicht mehr", "de"),
        ("Impossible de me connecter au VPN depuis que le mot de passe a changé", "fr"),
        ("No puedo entrar en el correo desde que cambié la contraseña ayer", "es"),
        ("De printer op de tweede verdieping doet het niet meer sinds vanochtend", "nl"),
        ("De printer had geen papier of inkt, kan iemand komen kijken", "nl"),
        ("O computador do escritorio no segundo andar nao liga desde ontem", "pt"),
        ("Jeg vil gerne have adgang til to mapper for afdelingen i Odense", "da"),
        ("Nie moge zalogowac sie do systemu, co to jest za blad", "pl"),
        ("Mein Phone hat keinen Empfang und der Call Log ist leer", "de"),
        ("Imprimanta nu merge dupa ultimul update", "ro"),
        ("Server error e update problem nel laptop nuovo della sede", None),
        ("VPN down", None),
    ],
)
def test_other_languages_are_told_by_the_detector(text: str, expected: str | None) -> None:
    assert detect_language(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Error: unable to connect to server\nSeit heute morgen kann ich Outlook nicht mehr starten, bitte helfen",
        "RE: [Ticket number 4711] Your request has been received\nHallo, der Drucker im dritten Stock druckt nicht",
        "Out of Office laesst sich nicht einschalten, Fehler in Outlook seit Montag",
    ],
)
def test_english_beside_another_language_is_left_to_the_detector(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Asked(Exception):
        pass

    def build() -> None:
        raise Asked

    monkeypatch.setattr(language, "_build", build)
    with pytest.raises(Asked):
        detect_language(text)


def test_what_was_read_can_be_forgotten() -> None:
    detect_language("the printer in the office cannot print this morning")
    assert _detect.cache_info().currsize > 0
    forget_languages()
    assert _detect.cache_info().currsize == 0
