"""A real Dovecot on loopback with one mailbox, and a mail server that keeps what it gets."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import socketserver
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from select import select
from threading import Thread
from typing import Any

from aiosmtpd.controller import Controller
from imapclient import IMAPClient

DOVECOT = shutil.which("dovecot", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
IMAP = Path("/usr/lib/dovecot/imap")
CAN_RUN = bool(DOVECOT) and IMAP.exists() and os.geteuid() == 0
USER, PASSWORD = "support", "a password of mail"
CONFIG = """
protocols = imap
listen = 127.0.0.1
base_dir = {room}/run
state_dir = {room}/state
log_path = {room}/dovecot.log
ssl = no
disable_plaintext_auth = no
mail_location = maildir:{room}/mail/%u
mail_fsync = never
first_valid_uid = 1
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={room}/mail/%u
}}
service imap-login {{
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
"""
SMALL = """
mail_plugins = quota
plugin {
  quota = maildir:User quota
  quota_max_mail_size = 100k
}
"""
"""More configuration, by which the server refuses mails above a size for good."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def dovecot(more: str = "", password: str = PASSWORD.replace(" ", "_")) -> Iterator[int]:
    """Run Dovecot until the block is left, and give its port."""
    room = Path(tempfile.mkdtemp(prefix="dovecot-"))
    room.chmod(0o755)
    user, port = pwd.getpwnam("mail"), free_port()
    (room / "mail").mkdir()
    os.chown(room / "mail", user.pw_uid, user.pw_gid)
    config = room / "dovecot.conf"
    config.write_text(CONFIG.format(room=room, uid=user.pw_uid, gid=user.pw_gid, port=port, password=password) + more)
    process = subprocess.Popen([str(DOVECOT), "-F", "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, (room / "dovecot.log").read_text()
                time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(room, ignore_errors=True)


@contextmanager
def mailbox_of(port: int) -> Iterator[IMAPClient]:
    """Log in to the mailbox, as a mail server that delivers or a person who reads."""
    with IMAPClient("127.0.0.1", port, ssl=False) as client:
        client.login(USER, PASSWORD.replace(" ", "_"))
        yield client


@contextmanager
def cut_off(port: int, at: bytes, times: int | None = None) -> Iterator[tuple[int, list[bytes]]]:
    """Stand between a client and a server, and end each connection on which the client writes what an expression finds.

    Args:
        port: Of the server.
        at: The expression.
        times: How often that happens; None for always.

    Yields:
        The port of this, and what connections were ended at.
    """
    cuts = list[bytes]()

    class Between(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", port)) as server:
                ends = {self.request: server, server: self.request}
                while True:
                    for one in select(list(ends), [], [])[0]:
                        data = one.recv(65536)
                        cut = one is self.request and (times is None or len(cuts) < times) and re.search(at, data)
                        if cut:
                            cuts.append(data)
                        if cut or not data:
                            return
                        ends[one].sendall(data)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Between) as between:
        Thread(target=between.serve_forever, daemon=True).start()
        yield int(between.server_address[1]), cuts
        between.shutdown()


@dataclass
class Sink:
    """A mail server that keeps what it gets: the recipients of each mail, and the mail.

    Attributes:
        taken: What it has got.
        refusals: Replies to recipients that it refuses, by their address.
        sender_refusal: Reply to every sender; None where each is taken.
        most_bytes: Up to which size senders get no such reply; None where each gets it.
        cut_off: Subject of a mail after which it ends the connection, without a reply.
    """

    taken: list[tuple[list[str], Message, bytes]] = field(default_factory=list)
    refusals: dict[str, str] = field(default_factory=dict)
    sender_refusal: str | None = None
    most_bytes: int | None = None
    cut_off: str | None = None

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        if self.sender_refusal is not None:
            sizes = [int(one.partition("=")[2]) for one in options if one.upper().startswith("SIZE=")]
            if self.most_bytes is None or any(size > self.most_bytes for size in sizes):
                return self.sender_refusal
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        message = message_from_bytes(envelope.content)
        if self.cut_off is not None and message["Subject"] == self.cut_off:
            server.transport.abort()
            return "250 OK"
        self.taken.append((list(envelope.rcpt_tos), message, envelope.content))
        return "250 OK"


@contextmanager
def mail_server(port: int | None = None, **options: Any) -> Iterator[tuple[Sink, int]]:
    """Run a mail server until the block is left, and give what it takes and its port."""
    sink, port = Sink(), port or free_port()
    controller = Controller(sink, hostname="127.0.0.1", port=port, data_size_limit=64 * 1024 * 1024, **options)
    controller.start()
    try:
        yield sink, port
    finally:
        controller.stop()
