"""The classifier that travels with the code loads, knows its labels, and tells an alarm from a play of words."""

from __future__ import annotations

import pytest

from models.screening import shipped_classifier
from models.screening.classifier import LABELS, OF_ALARMS, OF_NO_TICKETS, ORDINARY
from triage.screening import screen
from triage.screening.intake import KINDS
from triage.screening.screen import ATTENTION_KINDS
from triage.ticket import Ticket


def test_its_labels_are_those_of_the_screening() -> None:
    assert LABELS[0] == "none" and len(set(LABELS)) == len(LABELS)
    assert LABELS[OF_ALARMS] == ATTENTION_KINDS and sorted(LABELS[OF_NO_TICKETS]) == sorted(KINDS)


@pytest.mark.parametrize(
    ("body", "kinds"),
    [
        ("The charger of my tablet melted into the desk and it smells awful.", ATTENTION_KINDS),
        ("I told the man on the phone the code from my authenticator and now I am logged out.", ATTENTION_KINDS),
        ("Nobody in any of our shops can take payments since noon.", ATTENTION_KINDS),
        ("Thanks a lot, that solved it, have a nice weekend!", KINDS),
        ("I am on holiday until the 4th and will answer then.", KINDS),
    ],
)
def test_it_tells_what_matters(body: str, kinds: tuple[str, ...]) -> None:
    (found,) = shipped_classifier().opinions([Ticket(body=body)])
    assert found.of(kinds) > 0.5
    assert (found.quote in body and bool(found.quote)) == (kinds == ATTENTION_KINDS)


@pytest.mark.parametrize(
    "body",
    [
        "There is a fire in the server room, please send somebody at once",
        "The server room is on fire",
        "We received a bomb threat by mail",
        "Ransomware has encrypted the file server",
        "Gas leak!",
        "Fire in the server room",
        "bomb threat",
        "I don't want to live any more",
        "ransom note on screen",
    ],
)
def test_blunt_alarms_in_the_words_of_a_cue_are_heard(body: str) -> None:
    ticket = Ticket(body=body)
    assert screen(ticket, opinion=shipped_classifier().opinions([ticket])[0]).attention


@pytest.mark.parametrize("lines", [1, 10, 60, 180])
def test_danger_below_what_the_classifier_reads_is_heard(lines: int) -> None:
    line = "The report shows the wrong numbers for my team since Monday, and I would like to know who can look at it.\n"
    ticket, harmless = (Ticket(body=line * lines + last) for last in ("The server room is on fire.", "See you then."))
    for opinion in (shipped_classifier().opinions([ticket])[0], ORDINARY):
        if lines > 1 or opinion is not ORDINARY:
            assert [one.kind for one in screen(ticket, opinion=opinion).attention] == ["safety"]
        assert not screen(harmless, opinion=opinion).attention


@pytest.mark.parametrize(
    "body",
    [
        "Please order a new charger for my tablet, the old one is lost.",
        "The printer on the second floor prints stripes.",
        "How do I set an out of office reply for the group mailbox?",
        "My Excel macro fires twice when I press the button.",
    ],
)
def test_it_leaves_ordinary_tickets_alone(body: str) -> None:
    (found,) = shipped_classifier().opinions([Ticket(body=body)])
    assert found.of(ATTENTION_KINDS) < 0.5 and found.of(KINDS) < 0.5


def test_a_ticket_is_judged_alone_whatever_stands_beside_it() -> None:
    tickets = [Ticket(body="My screen flickers"), Ticket(body="smoke " * 50)]
    assert shipped_classifier().opinions(tickets)[0] == shipped_classifier().opinions(tickets[:1])[0]


@pytest.mark.parametrize(
    "text",
    [
        "您好，我的打印机坏了，无法打印任何文件，请帮忙修理，谢谢。",
        "我的電腦今天早上無法開機，螢幕一直是黑的，請儘快派人來看一下。",
        "密码忘了，请重置",
        "昨日からメールが送信できません。エラーメッセージ「サーバーに接続できません」が表示されます。",
        "プリンターが動きません。助けてください。",
        "비밀번호를 잊어버렸어요",
        "회의실 프로젝터가 켜지지 않습니다. 오후 회의 전에 확인 부탁드립니다.",
        "ลืมรหัสผ่าน เข้าระบบไม่ได้ค่ะ กรุณาช่วยรีเซ็ตให้ด้วย",
        "نسيت كلمة المرور الخاصة بي ولا أستطيع الدخول إلى البريد الإلكتروني",
        "לא מצליח להתחבר למערכת מהבוקר, הסיסמה לא מתקבלת",
        "Ο εκτυπωτής δεν λειτουργεί από το πρωί, παρακαλώ βοηθήστε",
        "Не могу войти в почту, пароль не подходит",
        "प्रिंटर काम नहीं कर रहा है, कृपया मदद करें",
        "என் கணினி வேலை செய்யவில்லை",
        "Máy in không hoạt động, xin giúp đỡ",
        "无法连接VPN，提示错误809",
    ],
)
def test_a_request_in_a_script_that_the_classifier_does_not_read_is_a_ticket_that_says_enough(text: str) -> None:
    ticket = Ticket(body=text)
    [opinion] = shipped_classifier().opinions([ticket])
    found = screen(ticket, (), opinion)
    assert (found.no_ticket, found.vague) == (None, False)


@pytest.mark.parametrize("text", ["asdf jkl qwer", "kjhgfd fdsa poiuyt", "xkcdqz wrtpl bnmq ghjk", "asdfghjkl"])
def test_gibberish_in_latin_letters_is_found(text: str) -> None:
    ticket = Ticket(body=text)
    [opinion] = shipped_classifier().opinions([ticket])
    found = screen(ticket, (), opinion).no_ticket
    assert found is not None and found.kind == "gibberish"
