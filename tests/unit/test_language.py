"""Languages: plain English is told at once, others by the detector, and what is too short by nobody."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from models import language
from models.language import _detect, detect_language, forget_languages
from training.data.dataset import read_dataset
from training.data.labelled_ticket import LabelledTicket
from training.gate.gate import languages_of
from triage.decision import Reason
from triage.gate import Gate
from triage.languages.alphabets import languages_written
from triage.languages.names import language_code
from triage.policy import parse_policy
from triage.prediction import Prediction, Score
from triage.ticket import Ticket


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


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("printer 着火了", ("ja", "zh")),
        ("outlook ハッキングされた", ("ja", "zh")),
        ("printer горит", ("be", "bg", "kk", "mk", "mn", "ru", "sr", "uk")),
        ("взлом outlook, украли пароль", ("be", "bg", "kk", "mk", "mn", "ru", "sr", "uk")),
        ("printer يحترق ودخان كثير هنا", ("ar", "fa", "ur")),
        ("מדפסת VPN", ("he",)),
        ("The printer of Mr 王伟 on the third floor has jammed again", ()),
        ("Der Drucker größtenteils außer Betrieb, łódź", ()),
        ("µ-controller does not start, 230 Ω at the plug", ()),
    ],
)
def test_a_script_tells_what_a_text_may_be_in(text: str, written: tuple[str, ...]) -> None:
    assert languages_written(text) == written


def test_a_gate_reads_scripts_of_its_languages_only() -> None:
    english, russian = (Gate(languages=frozenset({code})) for code in ("en", "ru"))
    burning = Prediction({"tier": (Score("L1", 1.0),)}, words=2, written=languages_written("printer горит"))
    assert english.unreadable("tier", burning) is Reason.UNSUPPORTED_LANGUAGE
    assert russian.unreadable("tier", burning) is not Reason.UNSUPPORTED_LANGUAGE
    stated = replace(burning, language="en")  # as a helpdesk may state of all its tickets
    assert english.unreadable("tier", stated) is Reason.UNSUPPORTED_LANGUAGE
    assert Gate().unreadable("tier", burning) is not Reason.UNSUPPORTED_LANGUAGE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("自周一以来，报告显示的数字不正确，请帮助我解决这个问题。", "zh"),
        ("プリンターが動きません", "ja"),
        ("프린터가 작동하지 않습니다", "ko"),
        ("der Drucker brennt", "de"),
        ("printer is on fire", None),
        ("press del key twice", None),
    ],
)
def test_a_short_text_tells_its_language_where_its_letters_or_a_common_word_do(text: str, expected: str | None) -> None:
    assert detect_language(text) == expected


def test_languages_of_short_tickets_count_by_their_script() -> None:
    rows = [LabelledTicket(Ticket(str(number), body="VPN упал"), {"tier": "L1"}) for number in range(60)]
    assert "ru" in languages_of(rows)


@pytest.mark.parametrize(
    ("code", "stated"),
    [
        (
            "en",
            ("en", "EN-us", "en_US.UTF-8", "eng", "1033", "English", "Englisch", "English (US)", "anglais"),
        ),
        (
            "de",
            ("de_AT@euro", "ger", "deu", "1031", "Deutsch", "German - Switzerland", "niemiecki", "немски"),
        ),
        ("fr", ("FR", "Français", "francais", "French (CA)", "fr: Français", "ranska", "französisch")),
        ("nb", ("no", "nb-NO", "norsk", "Norwegian")),  # as the detector has it
        ("zh", ("zh_Hans_CN", "Chinese (Simplified)", "中文")),
        ("he", ("iw", "Hebrew")),
        (
            None,
            ("", " ", "Klingon", "xx", "us", "mul", "English, German", "en;de", "en/French", "C", "9" * 300),
        ),
    ],
)
def test_a_language_is_known_by_its_codes_names_and_locales(code: str | None, stated: tuple[str, ...]) -> None:
    assert {one: language_code(one) for one in stated} == dict.fromkeys(stated, code)
    assert language_code(None) is None


def test_every_language_of_the_detector_is_known_by_its_own_code() -> None:
    from lingua import Language

    codes = [one.iso_code_639_1.name.lower() for one in Language.all()]
    assert [language_code(code) for code in codes] == codes
    assert language_code("yi") == "yi"  # a code goes before a name


def test_a_column_of_names_is_one_of_codes_and_what_is_none_is_told(tmp_path: Path) -> None:
    stated = ["English"] * 6 + ["Deutsch"] * 6 + ["Klingon", "English; German", "", "-"]
    rows = "".join(
        f'"{language}",the report {n} shows wrong figures since Monday,L1\n' for n, language in enumerate(stated)
    )
    (tmp_path / "rows.csv").write_text("language,text,tier\n" + rows, "utf-8")
    dataset = read_dataset([tmp_path / "rows.csv"])
    assert [row.ticket.language for row in dataset.rows] == ["en"] * 6 + ["de"] * 6 + [None] * 4
    [finding] = [one for one in dataset.findings if one.code == "unknown-languages"]
    assert finding.rows == 3 and "'Klingon' (1)" in finding.what and "'-' (1)" in finding.what
    assert languages_of(dataset.rows) == {"en", "de"}


def test_a_policy_may_name_the_languages_of_its_translations() -> None:
    policy = parse_policy('[[tiers]]\nlabel = "L1"\n[translations.norsk]\n"Who?" = "Hvem?"\n')
    assert policy.in_language(["Who?"], "nb") == ("Hvem?",)
