"""What must never wait is seen and quoted; what is no ticket, or says nothing, is told from what only looks so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.screening import Attention, NoTicket, Opinion, find_attention, no_ticket, screen
from triage.screening.cues import Frame, InParts, frames_of, one_of
from triage.ticket import Ticket

anything = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=300)


def kinds(body: str, subject: str = "") -> list[str]:
    return [one.kind for one in find_attention(Ticket(subject=subject, body=body))]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("safety", "The battery of my handheld is swollen and the case is splitting."),
        ("safety", "There is smoke coming out of the switch cabinet on level 2!"),
        ("safety", "I got an electric shock when I touched the printer."),
        ("safety", "Two guests are stuck in the lift and the emergency phone is dead."),
        ("safety", "A caller said he will come to the desk with a knife."),
        ("safety", "A student writes in the chat that she does not want to live any more."),
        ("safety", "Aus der Steckdose kommen Funken und es riecht verbrannt."),
        ("safety", "Il y a de la fumée qui sort du serveur."),
        ("safety", "Huele a gas en el sótano, cerca de los servidores."),
        ("credentials", "I entered my password on a fake login page this morning."),
        ("credentials", "Somebody signed in to my mailbox from Lagos, that was not me."),
        ("credentials", "All files on the share are encrypted and there is a ransom note."),
        ("credentials", "I gave the caller my PIN, he said he was from the bank."),
        ("credentials", "Ich habe mein Passwort auf einer gefälschten Seite eingegeben."),
        ("data_exposure", "I sent the payroll list to the wrong person."),
        ("data_exposure", "Everyone in the company can open the folder with the sick notes."),
        ("data_exposure", "I left the laptop on the train, it is not encrypted and has patient data on it."),
        ("outage", "Nobody in the whole hospital can log in since 8."),
        ("outage", "All 14 shops are offline, no till takes cards."),
        ("outage", "Seit heute früh geht im gesamten Werk kein Netz mehr."),
    ],
)
def test_what_must_not_wait_is_flagged_with_its_kind_and_the_words_that_say_so(kind: str, body: str) -> None:
    found = find_attention(Ticket(body=body))
    assert kind in [one.kind for one in found]
    assert all(one.evidence and one.evidence in body for one in found)


@pytest.mark.parametrize(
    "body",
    [
        *("Hay humo saliendo del servidor", "Sale humo del servidor", "Veo humo en el servidor", "El servidor humea"),
        *("Hay mucho humo en la sala", "Huele raro, como a quemado", "Hay llamas saliendo del ordenador"),
        *("Salen chispas del enchufe", "Hay agua saliendo del rack", "Está cayendo agua sobre el servidor"),
        *("De la fumée sort du serveur", "Le serveur fume", "Fumée sortant de la baie", "Il y a du feu dans la salle"),
        *("Des flammes sortent de l'ordinateur", "De l'eau coule sur le serveur", "Une odeur de brûlé sort du PC"),
        *("Da kommt Rauch aus dem Server", "Es ist Rauch am Server zu sehen", "Qualmender Server im Keller"),
        *("Aus dem Drucker schlagen Flammen", "Es tropft Wasser auf den Server", "Es riecht verbrannt"),
        *("Smoke is coming out of the server", "The server is giving off smoke", "Water is dripping onto the server"),
        *("There are flames coming out of the printer", "Water is coming through the ceiling onto the servers"),
        *("There is water on our server", "Water has been leaking over two servers", "Du feu sur l'imprimante"),
        *("Rauch hinter dem Kopierer", "Starker Rauch unter dem Schreibtisch", "Rauch am Netzwerkschrank"),
        *("Herr Rauch meldet: Rauch am Server", "Portable fumé à côté, le serveur fume", "Humo desde ayer en el rack"),
        "Kollegin sieht Rauch aus dem Server",
    ],
)
def test_smoke_fire_and_water_are_flagged_however_their_coming_out_is_said(body: str) -> None:
    assert kinds(body) == ["safety"]


@pytest.mark.parametrize(
    "body",
    [
        *(
            "No hay humo, solo no arranca",
            "La máquina de humo pide licencia nueva",
            "Je fume dehors, mon badge ne marche plus",
        ),
        *(
            "Kein Rauch, nur kein Bild",
            "The water bill does not open on the file server",
            "Das Raucherzimmer hat kein WLAN",
        ),
        *("Herr Rauch am Standort Wien kann sich nicht anmelden", "Frau Petra Rauch kommt nicht in das VPN"),
        *("Rauch unter Durchwahl 233 erreichbar, Outlook geht nicht", "Kollege Rauch im Büro 4 braucht Zugriff"),
        *(
            "Water quality readings are not stored on the server any more.",
            "Water consumption report on the server",
        ),
        *("Hot water booking page on our web server is down", "Sensor de humo desde ayer sin datos"),
        *("Le filtre écran fumé est rayé", "Un portable fumé gris", "La caméra du feu sur la place ne répond plus"),
    ],
)
def test_words_for_smoke_and_water_alone_are_no_alarm(body: str) -> None:
    assert kinds(body) == []


@pytest.mark.parametrize(
    "body",
    [
        "When I fire up the app it hangs, I have to kill the process.",
        "Please open port 443 in the firewall for the new supplier.",
        "The smoke test after the upgrade is still missing.",
        "Could someone burn a CD for me?",
        "My battery drains fast since the update.",
        "There is a dead pixel in the middle of my monitor.",
        "It left a crash dump of 2 GB.",
        "I keep getting the phishing training reminder.",
        "I forgot my password.",
        "My password expired and the new one is not accepted.",
        "The outage is over, everything works again, thanks.",
        "Is the planned outage on Saturday going to affect the library?",
        "Everyone in my team likes the new scanner and wants one.",
        "I have not been exposed to the new policy yet.",
        "Please give me edit rights on the threat model document.",
        "Fire drill next Tuesday at two, the doors will release.",
        "The UPS beeps; it is not hot and not swollen. Please order a battery.",
        "I got a suspicious mail, did not click and deleted it.",
        "Die Firewall blockiert die Seite des Lieferanten.",
    ],
)
def test_what_only_sounds_so_is_left_alone(body: str) -> None:
    assert kinds(body) == []


def test_what_the_shortlist_of_frames_leaves_out_would_find_nothing() -> None:
    file = Path(__file__).parents[2] / "datasets" / "attention-d.jsonl"
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    tickets = [Ticket(subject=row.get("subject") or "", body=row.get("body") or "") for row in rows]
    found = [find_attention(ticket) for ticket in tickets]
    assert sum(map(bool, found)) > 50
    assert found == [find_attention(ticket, frames_of("attention.toml")) for ticket in tickets]


def test_cues_that_are_too_large_as_one_pattern_are_joined_in_parts() -> None:
    large = tuple(rf"\bword{number}\b.{{0,1000}}(?:gone|lost|\w+ed)\b" for number in range(90))
    pattern = one_of(large)
    assert isinstance(pattern, InParts)
    assert one_of(list(large)) is pattern, "finding out that they are too large takes half a second: once is enough"
    text = "word80 is lost. word2 is gone"
    assert pattern.search(text).group() == "word80 is lost. word2 is gone"
    assert [match.start() for match in pattern.finditer(text)] == [0, 16]
    assert pattern.search("word2") is None
    found = find_attention(Ticket(body=text), (Frame("loss", "of the policy", large),))
    assert [(one.kind, one.evidence) for one in found] == [("loss", "word80 is lost.")]


def test_a_desk_adds_a_kind_of_its_own() -> None:
    frames = (Frame("spill", "of the policy", ("formalin",)),)
    assert [one.kind for one in find_attention(Ticket(body="Formalin on the floor"), frames)] == ["spill"]


def test_a_forwarded_alarm_is_read_and_an_old_thread_below_an_answer_is_not() -> None:
    below = "-----Original Message-----\nFrom: Ward C\nTo: Reception\nThe charger in room 4 is on fire"
    assert kinds(f"Whose is this?\n\n{below}", subject="FW: help") == ["safety"]
    assert kinds(f"It is settled.\n\n{below}", subject="Re: help") == []


@given(subject=anything, body=anything)
def test_screening_never_raises_and_quotes_what_was_written(subject: str, body: str) -> None:
    ticket = Ticket(subject=subject, body=body)
    screened = screen(ticket)
    for one in screened.attention:
        assert one.evidence in ticket.text or one.evidence in ticket.body or one.evidence in ticket.subject


@given(
    before=st.sampled_from(["", "Hello,\n\n", "Hi  team, "]), after=st.sampled_from(["", "\n-- \nA. B.", "\nThanks"])
)
def test_greetings_and_signatures_do_not_hide_an_alarm(before: str, after: str) -> None:
    body = f"{before}my  laptop battery is\nswollen{after}"
    found = find_attention(Ticket(body=body))
    assert [one.kind for one in found] == ["safety"] and found[0].evidence in body


@pytest.mark.parametrize(
    ("kind", "subject", "body"),
    [
        ("auto_reply", "Automatic reply: Ticket 12", "I am out of the office until 4 May."),
        ("auto_reply", "AW: Ticket 12", "Ich bin bis 4. Mai im Urlaub, in dringenden Fällen hilft die Zentrale."),
        ("bounce", "Undeliverable: Ticket 12", "Delivery has failed to these recipients: a@b.example"),
        ("thanks", "Re: Ticket 12", "Thank you so much, works perfectly now!"),
        ("thanks", "Re: Ticket 12", "Merci beaucoup, bonne journée !"),
        ("close_request", "Re: Ticket 12", "Problem solved, you can close the ticket."),
        ("close_request", "", "Hat sich erledigt, Ticket kann geschlossen werden."),
        ("newsletter", "Weekly digest", "Top stories this week ... View in browser | Unsubscribe"),
        ("spam", "Hello", "We are an SEO agency and bring you on page 1 of Google. Dear Sir/Madam, reply for a quote."),
        ("empty", "Re:", "-- \nA. Person\nAccounts"),
        ("empty", "(no subject)", ""),
        ("gibberish", "asdf", "asdf asdf jkl"),
        ("gibberish", "test", "test test 123"),
    ],
)
def test_messages_that_are_no_ticket_are_told_by_kind(kind: str, subject: str, body: str) -> None:
    found = no_ticket(Ticket(subject=subject, body=body))
    assert found is not None and found.kind == kind


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ({"Auto-Submitted": "auto-replied"}, "auto_reply"),
        ({"X-Autoreply": "yes"}, "auto_reply"),
        ({"Return-Path": "<>"}, "bounce"),
        ({"headers.Content-Type": "multipart/report; report-type=delivery-status"}, "bounce"),
        ({"Auto-Submitted": "no"}, None),
    ],
)
def test_headers_of_the_mail_count_where_the_caller_hands_them_over(header: dict[str, str], kind: str | None) -> None:
    found = no_ticket(Ticket(subject="Order 7", body="Your order is on its way to us", attributes=header))
    assert (found.kind if found else None) == kind


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        ("Out of office", "My out of office autoreply isn't sent, please fix it."),
        ("Newsletter tool", "The newsletter tool sends every issue twice."),
        ("Thanks in advance", "Thanks in advance: VPN is down."),
        ("Layout", "Please close the gap in the report."),
        ("Mail", "Mails I send bounce back with 550 5.7.1."),
        ("Thanks, but", "Thanks for the reply but it still doesn't print."),
        ("printer", ""),
        ("VPN", "?"),
        ("0x80070005", "when I run updates"),
        ("imprimante", "en panne"),
        ("Ajout", "Merci d'ajouter Mme Castaing au groupe."),
    ],
)
def test_real_requests_that_look_like_it_stay_tickets(subject: str, body: str) -> None:
    assert no_ticket(Ticket(subject=subject, body=body)) is None


@pytest.mark.parametrize(
    "body",
    [
        "Bonjour, mon compte SAP est verrouillé, merci de le débloquer",
        "Pouvez-vous débloquer mon compte, merci",
        "Prière de débloquer mon compte SAP, merci beaucoup",
        "Je vous remercie de débloquer mon compte",
        "Merci de nous l'installer",
        "Merci d'y remédier rapidement",
        "Imprimante en panne, merci",
        "Je n'arrive pas à me connecter, merci",
        "Mein Konto ist gesperrt, danke fürs Entsperren",
        "Könnt ihr mein Konto entsperren, merci",
        "Konto bitte entsperren. Vielen Dank",
        "Ich brauche einen neuen Monitor, danke",
        "Kein Zugriff auf SAP, vielen Dank",
        "Mi cuenta está bloqueada, gracias por desbloquearla",
        "Podéis desbloquear mi cuenta, gracias",
        "No puedo entrar en SAP, gracias",
        "Account locked, thanks",
        "Please renew my certificate, thanks",
        "Appreciate if you can reset my password",
        "Il mio account è bloccato, grazie",
        "Mijn account is geblokkeerd, bedankt",
    ],
)
def test_thanks_in_advance_are_a_request(body: str) -> None:
    assert no_ticket(Ticket(body=body)) is None


@pytest.mark.parametrize(
    "body",
    [
        "Merci d'avoir débloqué mon compte",
        "Merci de m'avoir aidé",
        "Merci de votre aide, tout marche",
        "Danke fürs Entsperren!",
        "Danke, jetzt kann ich wieder drucken",
        "Gracias por desbloquear mi cuenta, ya funciona",
        "Thanks for unlocking my account!",
    ],
)
def test_thanks_for_what_was_done_are_thanks(body: str) -> None:
    found = no_ticket(Ticket(body=body))
    assert found is not None and found.kind == "thanks"


@pytest.mark.parametrize(
    "body",
    [
        "it stopped working again, please fix",
        "help!!",
        "same problem as yesterday",
        "Hi team,\nit does not work. Please call me on +44 20 7946 0123.\nRegards,\nAnna Keller",
        "it stopped working again\nThanks\nAnna Keller\nAccounts Payable",
        "geht schon wieder nicht\nMit freundlichen Gruessen\nAnna Keller",
        "geht schon wieder nicht\nMit freundlichen Grüßen\nAnna Keller",
        "geht schon wieder nicht\nViele Grüße\nAnna",
        "it does not work, thanks, Anna",
        "geht schon wieder nicht, bitte dringend helfen. Danke",
        "ça ne marche plus, merci",
        "no funciona otra vez",
    ],
)
def test_a_message_that_does_not_say_what_is_wrong_is_vague(body: str) -> None:
    assert screen(Ticket(body=body)).vague


@pytest.mark.parametrize(
    "sign_off", ["\nThanks\n", "\n\nKind regards,\n\n", "\nMfG\n", "\nThanks, ", "\nViele Grüße\n"]
)
@pytest.mark.parametrize("name", ["Anna Meyer", "Klaus Müller", "Anna"])
@pytest.mark.parametrize(
    "reached",
    [
        *("\next. 4433", ", ext. 4433", " (ext. 4433)", "\nextension 4433", "\nExt: 4433", "\nx4433", "\nphone: 4433"),
        *("\nPhone: 555-123-4567", "\n(555) 123-4567", "\n555.123.4567", "\nTel. 0711 123456", "\n(030) 123456"),
        *(
            "\nM: +49 171 1234567 | anna.meyer@example.com",
            "\nAccounting\nanna.meyer@example.com",
            ", +44 20 7946 0123",
        ),
        *("\nE-Mail: a.meyer@example.com", " <anna@example.com>", "\nTéléphone : 01 23 45 67 89", "\nDurchwahl 4433"),
    ],
)
def test_how_to_reach_who_wrote_it_carries_no_weight(sign_off: str, name: str, reached: str) -> None:
    assert screen(Ticket(body=f"It stopped working again, please fix.{sign_off}{name}{reached}")).vague


@pytest.mark.parametrize(
    "body",
    [
        *(
            "doesn't work anymore pls help asap",
            "it does not work, thanks in advance",
            "geht leider nicht, danke im Voraus",
        ),
        *(
            "ça ne marche pas, merci d'avance",
            "no funciona, gracias de antemano",
            "please call me on extension 4433, it fails",
        ),
    ],
)
def test_everyday_words_say_nothing(body: str) -> None:
    assert screen(Ticket(body=body)).vague


@pytest.mark.parametrize(
    "place", ["{} is not working", "it is not working\n{}", "not working: {}\nThanks\nAnna Meyer\nx4433"]
)
@pytest.mark.parametrize(
    "thing",
    [
        *("10.20.30.40", "error 1234", "AB-12345", "0x80070005", "extension 4433", "phone 4433", "PC 4711"),
        *("INC0012345", "error 123-456-7890", "Fehler: 123 456 7890", "code 555-1234"),
    ],
)
def test_a_number_that_names_a_thing_is_enough_not_to_be_vague(place: str, thing: str) -> None:
    if place.startswith("it") and thing == "extension 4433":
        return  # below a message that is where somebody can be reached
    assert not screen(Ticket(body=place.format(thing))).vague


@pytest.mark.parametrize(
    "body",
    [
        *("printer", "my laptop is broken", "VPN?", "error 0x8007 again", "Drucker geht nicht"),
        *("Hilfe, geht nicht mehr\nDrucker", "help, it is not working\nVPN\nSAP Login", "Please help\nVPN\nThanks"),
    ],
)
def test_a_word_for_the_thing_is_enough_not_to_be_vague(body: str) -> None:
    assert not screen(Ticket(body=body)).vague


def test_alarms_of_machines_are_known_by_channel_or_form() -> None:
    alert = "Alert: HighErrorRate\nSeverity: critical\nService: gateway\nStatus: firing"
    assert screen(Ticket(body=alert)).by_machine
    assert screen(Ticket(body="disk is filling up", channel="monitoring")).by_machine
    assert not screen(Ticket(body="I saw an alert on my screen, what is it?")).by_machine


def test_an_absence_note_that_names_the_emergency_number_is_no_alarm() -> None:
    note = Ticket(subject="Automatic reply: INC-1", body="I am on leave until Monday. In case of fire call 112.")
    screened = screen(note)
    assert screened.attention == () and screened.no_ticket is not None


def opinion(**probabilities: float) -> Opinion:
    return Opinion({"none": 1.0 - sum(probabilities.values()), **probabilities}, "The charger went soft.")


def test_a_classifier_flags_what_no_cue_knows_and_quotes_the_sentence() -> None:
    ticket = Ticket(body="Hello. The charger went soft. Bye")
    assert screen(ticket).attention == ()
    assert screen(ticket, (), opinion(safety=0.9)).attention == (Attention("safety", "The charger went soft."),)
    assert screen(ticket, (), opinion(safety=0.2)).attention == ()


def test_a_cue_counts_where_the_classifier_does_not_think_it_absurd() -> None:
    ticket = Ticket(body="There is smoke coming out of the cabinet in the corner.")
    assert screen(ticket, (), opinion(safety=0.2)).attention
    assert not screen(ticket, (), opinion(safety=0.001)).attention


def test_a_cue_of_the_desk_itself_counts_whatever_the_classifier_thinks() -> None:
    own = (Frame("spill", "of the policy", ("formalin",)),)
    found = screen(Ticket(body="Formalin on the floor"), own, opinion(safety=0.001)).attention
    assert [one.kind for one in found] == ["spill"]


def test_a_header_leaves_no_doubt_and_words_do() -> None:
    header = Ticket(subject="Order", body="Your order is on its way", attributes={"Auto-Submitted": "auto-replied"})
    assert screen(header, (), opinion()).no_ticket is not None
    thanks = Ticket(body="Thank you so much!")
    assert screen(thanks, (), opinion(thanks=0.9)).no_ticket is not None
    assert screen(thanks, (), opinion()).no_ticket is None
    answer = Ticket(subject="Re: plotter", body="the beers are on me")
    assert screen(answer, (), opinion(thanks=0.95)).no_ticket == NoTicket("thanks", "")
    assert screen(Ticket(body="printer again"), (), opinion(close_request=0.95)).no_ticket is None
    assert screen(Ticket(body="wq lop jnn"), (), opinion(gibberish=0.95)).no_ticket == NoTicket("gibberish", "")


@pytest.mark.parametrize(
    "text",
    [
        "Принтер на третьем этаже не печатает уже второй день, помогите пожалуйста",
        "プリンターが動きません。助けてください。",
        "الطابعة لا تعمل منذ الصباح",
        "Ο εκτυπωτής δεν λειτουργεί",
        "打印机坏了,无法打印文件",
    ],
)
def test_words_in_another_script_are_no_gibberish(text: str) -> None:
    assert no_ticket(Ticket(body=text)) is None


@pytest.mark.parametrize(
    "text", ["Thanks, 打印机坏了，无法打印", "Danke! принтер не работает", "thank you الطابعة لا تعمل"]
)
def test_thanks_before_what_is_wrong_in_another_script_are_no_thanks(text: str) -> None:
    assert no_ticket(Ticket(body=text)) is None


@pytest.mark.parametrize("text", ["Thanks! 王小明", "Thank you, Иван Петров", "Thank you very much, Nguyễn Văn An"])
def test_a_name_in_another_script_may_stand_below_thanks(text: str) -> None:
    found = no_ticket(Ticket(body=text))
    assert found is not None and found.kind == "thanks"


@pytest.mark.parametrize(
    "text",
    ["DHCP broken", "HTTP error", "SMTP down", "MSSQL crashed", "RPC PSSQL down", "http error", "SMTP HTTP", "html"],
)
def test_acronyms_without_a_vowel_are_no_gibberish(text: str) -> None:
    found = no_ticket(Ticket(subject=text))
    assert found is None or found.kind != "gibberish"


def test_a_letter_that_was_decoded_wrongly_here_and_there_is_no_gibberish() -> None:
    assert no_ticket(Ticket(body="Der Drucker im B\ufffdro l\ufffduft nicht, bitte pr\ufffdfen")) is None
    found = no_ticket(Ticket(body="\ufffd\ufffd\ufffd \ufffd\ufffd\ufffd \ufffd\ufffd a\ufffd"))
    assert found is not None and found.kind == "gibberish"


@pytest.mark.parametrize("text", ["XKCDQZ WRTPL BNMQ", "ASDF", "AAAA broken", "wrtpl bnmq broken", "xkcdq"])
def test_capitals_make_no_word_of_what_is_none(text: str) -> None:
    found = no_ticket(Ticket(body=text))
    assert found is not None and found.kind == "gibberish"


@pytest.mark.parametrize("text", ["啊啊啊啊啊啊啊", "ㅋㅋㅋㅋㅋㅋ", "ははははは"])
def test_one_letter_again_and_again_is_gibberish_in_every_script(text: str) -> None:
    found = no_ticket(Ticket(body=text))
    assert found is not None and found.kind == "gibberish"


def test_a_vowel_of_turkish_is_one() -> None:
    assert no_ticket(Ticket(body="yıldız kırıldı")) is None


def test_a_classifier_is_not_heard_on_scripts_that_it_does_not_read() -> None:
    chinese = Ticket(body="新闻 " * 12)
    assert screen(chinese, (), opinion(newsletter=0.95)).no_ticket is None
    english = Ticket(body="All our winter offers for you and for your whole team, up to half off, 王")
    assert screen(english, (), opinion(newsletter=0.95)).no_ticket == NoTicket("newsletter", "")
    assert screen(english, (), opinion(gibberish=0.95)).no_ticket is None


def test_words_are_not_asked_where_the_classifier_leaves_them_no_room() -> None:
    thanks = Ticket(subject="Thanks", body="Thank you so much, all good now.")
    assert no_ticket(thanks) is not None and screen(thanks, (), opinion()).no_ticket is None
    assert screen(Ticket(subject="(no subject)", body="--"), (), opinion()).no_ticket is not None
    bounced = Ticket(subject="xxkcd qwrtz", body="wrtz sdfg", attributes={"Return-Path": "<>"})
    found = screen(bounced, (), opinion()).no_ticket
    assert found is not None and (found.kind, found.certain) == ("bounce", True)


@pytest.mark.parametrize("alarm", [0.0, 0.02, 0.05, 0.3, 0.7])
@pytest.mark.parametrize("none", [0.0, 0.05, 0.2])
@pytest.mark.parametrize(
    ("subject", "body"),
    [
        ("Smoke", "There is smoke coming out of the server room."),
        ("Thanks", "Thank you, all good."),
        ("VPN", "VPN drops."),
    ],
)
def test_a_classifier_seconds_or_silences_what_the_cues_find(
    alarm: float, none: float, subject: str, body: str
) -> None:
    ticket = Ticket(subject=subject, body=body)
    found = screen(ticket, (), Opinion({"safety": alarm, "thanks": none}, quote=body))
    cued, closed = bool(find_attention(ticket)), no_ticket(ticket) is not None
    assert bool(found.attention) == (alarm >= 0.5 or (cued and alarm >= 0.03))
    if not found.attention:
        assert (found.no_ticket is not None) == (closed and none >= 0.1)


@pytest.mark.parametrize(
    ("body", "heard"),
    [
        ("bomb threat", True),
        ("I don't want to live any more", True),
        ("The whole site is down, nobody can work", False),  # only danger to people
        ("About the bomb threat that we talked of in the meeting on Monday morning", False),  # enough to judge by
    ],
)
def test_a_written_cue_of_danger_in_few_words_is_never_silenced(body: str, heard: bool) -> None:
    ticket = Ticket(body=body)
    assert find_attention(ticket) and bool(screen(ticket, (), opinion()).attention) is heard


@pytest.mark.parametrize("body", ["Phone: 4433 does not work", "Telefon: 4433 geht nicht", "Extension: 4433 is down"])
def test_a_telephone_that_does_not_work_is_no_place_to_be_reached(body: str) -> None:
    assert not screen(Ticket(body=body)).vague
