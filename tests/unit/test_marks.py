"""Furniture of mail is looked for only where a text holds a mark of it: without one, nothing matches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage import normalise

MARKED = {name: value for name, value in vars(normalise).items() if isinstance(value, normalise._Marked)}
PARTS = (
    *("<div>Hello<br>", "> It does not start", "--", "-- ", "_____", "==========", "-" * 20, "*" * 10, "—————"),
    *("Sent from my phone", "Gesendet von meinem Telefon", "Envoyé de mon iPhone", "enviado desde mi móvil"),
    *("This message may contain confidential parts", "THIS E-MAIL IS PRIVILEGED", "this mail is intended for you"),
    *("Diese E-Mail enthält vertrauliche Angaben", "diese E-Mail ist vertraulich", "Confidentiality notice"),
    *("Ce message est strictement confidentiel", "[EXTERNAL]", "[Extern] E-Mail:", "external email -", "[externo]"),
    *("CAUTION: this email originated from outside of the desk.", "Achtung: Diese E-Mail kommt von außerhalb."),
    *("DIESE NACHRICHT STAMMT VON AUSSERHALB", "Ce courriel provient de l'extérieur", "Questa e-mail è stata esterno"),
    *("Este correo procede de fuera", "Deze e-mail komt van buiten", "attenzione: esterna"),
    *("Do not open links unless you know them", "never click attachments from others", "use caution when links"),
    *("You don't often get email from kim@desk.example", "Learn why this is important", "Klicken Sie Links nur, wenn"),
    *("Sie erhalten nicht oft E-Mails von", "Vous n'obtenez pas souvent d'e-mail", "ne cliquez sur aucun lien"),
    *("No haga clic en el enlace", "no abra archivos", "\u017fent from my \u212aindle", "It is broken", "\n", " "),
)


@pytest.mark.parametrize("name", sorted(MARKED))
@given(st.lists(st.sampled_from(PARTS), max_size=5), st.sampled_from(["\n", " "]), st.booleans())
def test_what_holds_no_mark_of_a_pattern_does_not_match_it(
    name: str, parts: list[str], between: str, loud: bool
) -> None:
    text = between.join(parts)
    text = text.upper() if loud else text
    assert MARKED[name].is_possible(text) or not MARKED[name]._pattern.search(text)


def test_every_pattern_is_found_in_some_part() -> None:
    found = {name for name, one in MARKED.items() if any(one.search(part) for part in PARTS)}
    assert found == set(MARKED)


HEADERS = (
    *(
        "On Monday, 3 August, Kim wrote:",
        "-----Original Message-----",
        "Begin forwarded message:",
        "Am 3.8. schrieb Kim :",
    ),
    *(
        "From: Kim",
        "Sent: Monday",
        "*Von:* Kim\n*Gesendet:* Montag",
        "2024-08-03 10:00 Kim <kim@desk.example>:",
        "From : Kim",
    ),
    *(
        "Kim пишет:",
        "---------- Forwarded message ---------  ",
        "To: the desk",
        "> Betreff: Drucker",
        "It is broken",
        "",
    ),
)


@given(st.lists(st.sampled_from(HEADERS), max_size=6))
def test_no_header_of_another_message_is_without_the_end_of_one(parts: list[str]) -> None:
    text = "\n".join(parts)
    if normalise._FORWARD_HEADER.search(text) or normalise._QUOTE_HEADER.search(text):
        assert normalise._HEADER_END.search(text)
