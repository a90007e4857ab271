"""Mails through a mailbox while the service is killed again and again: none lost, none doubled.

python -m bench.mailbox [MAILS] [KILLS]      # 5000 mails, 10 kills; needs Dovecot (dovecot-imapd), as root
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from email.message import EmailMessage
from pathlib import Path

from tests.service.desk.dovecot import PASSWORD, dovecot, mail_server, mailbox_of
from triage.defaults import default_policy

TEXTS = ("the printer jams", "the vpn drops", "I forgot my password and cannot sign in", "my screen stays black")


def message(number: int) -> bytes:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = f"user{number}@example.org", "support@example.org", f"Ticket {number}"
    mail["Message-ID"] = f"<{number}@example.org>"
    mail.set_content(f"{TEXTS[number % len(TEXTS)]}, says user {number}")
    return mail.as_bytes()


def serve(room: Path, log: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        "TRIAGE_HOME": str(room / "home"),
        "TRIAGE_RULES_ONLY": "1",
        "TRIAGE_MAILBOXES": str(room / "mail.toml"),
        "MAIL_PASSWORD": PASSWORD.replace(" ", "_"),
    }
    command = [sys.executable, "-P", "-m", "triage", "serve", "--open-loopback", "--port", "0"]
    return subprocess.Popen(command, env=environment, stdout=log.open("ab"), stderr=subprocess.STDOUT)


def copies(port: int) -> int:
    with mailbox_of(port) as box:
        return int(box.folder_status("Triaged", "MESSAGES")[b"MESSAGES"]) if box.folder_exists("Triaged") else 0


def main(mails: int = 5000, kills: int = 10) -> None:
    room = Path(tempfile.mkdtemp(prefix="mailbox-"))
    with dovecot() as imap, mail_server() as (sink, smtp):
        groups = "".join(f'{group.name} = "{group.name}@example.org"\n' for group in default_policy().groups)
        (room / "mail.toml").write_text(
            f'[mailboxes.support]\nimap = "imap://127.0.0.1:{imap}"\nuser = "support"\npassword = "MAIL_PASSWORD"\n'
            f'done_folder = "Triaged"\nsmtp = "smtp://127.0.0.1:{smtp}"\nsender = "triage@example.org"\n'
            f'since = 2026-01-01\nforward = ["automatic", "suggested"]\n[mailboxes.support.groups]\n{groups}'
        )
        with mailbox_of(imap) as box:
            for number in range(mails):
                box.append("INBOX", message(number))
        began, process, killed = time.monotonic(), serve(room, room / "log"), 0
        while (taken := copies(imap)) < mails:
            assert time.monotonic() - began < 3600, f"{taken} of {mails} after an hour; see {room}/log"
            if killed < kills and taken >= mails * (killed + 1) // (kills + 1):
                process.send_signal(signal.SIGKILL)
                process.wait()
                process, killed = serve(room, room / "log"), killed + 1
            time.sleep(0.05)
        seconds = time.monotonic() - began
        process.terminate()
        process.wait(60)
        with mailbox_of(imap) as box:
            box.select_folder("Triaged", readonly=True)
            found = box.fetch(box.search(), ["BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]"])
            copied = Counter(
                next(value for name, value in one.items() if name.startswith(b"BODY")) for one in found.values()
            )
        store = sqlite3.connect(room / "home" / "store.sqlite")
        [decided] = store.execute("SELECT count(*) FROM decisions").fetchone()
        [subjects] = store.execute("SELECT count(DISTINCT subject) FROM tickets").fetchone()
        forwards = Counter(mail["Resent-Message-ID"] for _, mail, _ in sink.taken)
    print(f"{mails} mails, killed {killed} times, {seconds:.0f} s, {mails / seconds:.0f} mails a second")
    print(f"decided {decided}, of {subjects} mails; lost {mails - subjects}, doubled {decided - subjects}")
    print(f"copies {sum(copied.values())}; lost {mails - len(copied)}, doubled {sum(copied.values()) - len(copied)}")
    print(
        f"forwards {sum(forwards.values())}; of {len(forwards)} mails; doubled {sum(forwards.values()) - len(forwards)}"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
