"""Does the furniture of mail change a route? Shipped tickets are wrapped in it, and both copies are decided.

Run: python -P bench/wrapped_mail.py BUNDLE [--rows 200] [--seed 0]
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable
from pathlib import Path

from models.triager import Triager
from triage.ticket import Ticket

ROOT = Path(__file__).parents[1]
_QUOTED = "We have moved your appointment to Thursday.\nPlease bring the forms with you.\n\nBest regards\nThe office"
_HEADERS = {
    "english": ("From: Office <office@example.org>\nSent: Monday, 8 January 2024 08:00\nTo: Kim\n"
                "Subject: Your appointment"),
    "german": "Von: Büro <buero@example.org>\nGesendet: Montag, 8. Januar 2024 08:00\nAn: Kim\nBetreff: Ihr Termin",
    "french": "De : Bureau <bureau@example.org>\nEnvoyé : lundi 8 janvier 2024 08:00\nÀ : Kim\nObjet : Rendez-vous",
    "spanish": "De: Oficina <oficina@example.org>\nEnviado el: lunes 8 de enero 2024\nPara: Kim\nAsunto: Su cita",
    "italian": "Da: Ufficio <ufficio@example.org>\nInviato: lunedì 8 gennaio 2024 08:00\nA: Kim\nOggetto: Appuntamento",
    "dutch": "Van: Kantoor <kantoor@example.org>\nVerzonden: maandag 8 januari 2024\nAan: Kim\nOnderwerp: Afspraak",
    "polish": "Od: Biuro <biuro@example.org>\nWysłano: poniedziałek, 8 stycznia 2024 08:00\nDo: Kim\nTemat: Spotkanie",
    "swedish": "Från: Kontoret <kontoret@example.org>\nSkickat: den 8 januari 2024 08:00\nTill: Kim\nÄmne: Ditt möte",
}  # fmt: skip
_BANNERS = (
    "CAUTION: This email originated from outside of the organization. Do not click links or open attachments unless "
    "you recognize the sender and know the content is safe.\n\n",
    "[EXTERNAL]\n\n",
    "ACHTUNG: Diese E-Mail stammt von außerhalb der Organisation. Klicken Sie auf keine Links, außer Sie kennen den "
    "Absender.\n\n",
    "You don't often get email from kim@example.org. Learn why this is important\n\n",
)
_TRACES = {
    "dotnet": "System.NullReferenceException: Object reference not set to an instance of an object.\n"
    + "".join(f"   at Shop.Basket.Step{n}[T](String name) in C:\\build\\Basket.cs:line {n}\n" for n in range(12)),
    "node": "TypeError: Cannot read properties of undefined\n"
    + "".join(f"    at async Basket.step{n} (/srv/shop/basket.js:{n}:17)\n" for n in range(12)),
    "syslog": "".join(f"Jan  8 08:00:{n:02d} host7 daemon[{n}]: state {n} of 30\n" for n in range(30)),
}
_BASE64 = "".join(random.Random(1).choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", k=760))
_RULE = "________________________________\n"


def _lines(text: str) -> str:
    return "\n".join(text[place : place + 76] for place in range(0, len(text), 76))


WRAPPINGS: dict[str, Callable[[str], str]] = {
    **{
        f"reply below a rule, {language}": lambda body, head=head: f"{body}\n\n{_RULE}{head}\n\n{_QUOTED}"
        for language, head in _HEADERS.items()
    },
    **{f"banner {n + 1}": lambda body, banner=banner: banner + body for n, banner in enumerate(_BANNERS)},
    **{f"{name} trace": lambda body, trace=trace: f"{body}\n\n{trace}" for name, trace in _TRACES.items()},
    "inline image": lambda body: (
        f"{body}\n\n[cid:image001.png@01DA4211.5B0C]\ndata:image/png;base64,{_lines(_BASE64)}\n"
    ),
    "base64 lines": lambda body: f"{body}\n\n{_lines(_BASE64)}\n",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    lines = (ROOT / "datasets" / "tickets.jsonl").read_text("utf-8").splitlines()
    chosen = random.Random(options.seed).sample([json.loads(line) for line in lines], options.rows)
    plain = [Ticket(id=row["id"], subject=row.get("subject", ""), body=row["body"]) for row in chosen]
    triager = Triager.load(options.bundle)
    routes = [(one.tier, one.category) for one in triager.decide(plain)]
    print("| wrapping | same text read | same route |\n|---|---|---|")
    total = kept = 0
    for name, wrap in WRAPPINGS.items():
        wrapped = [Ticket(id=one.id, subject=one.subject, body=wrap(one.body)) for one in plain]
        equal = sum(one.text == other.text for one, other in zip(plain, wrapped, strict=True))
        same = sum(
            route == (one.tier, one.category) for route, one in zip(routes, triager.decide(wrapped), strict=True)
        )
        total, kept = total + len(plain), kept + same
        print(f"| {name} | {equal / len(plain):.3f} | {same / len(plain):.3f} |")
    print(f"| all | | {kept / total:.3f} |")


if __name__ == "__main__":
    main()
