"""`triage keys`, `triage store` and `triage feedback` as people type them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partialmethod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import make_url, update
from structlog.testing import capture_logs

import api.store as store_package
from api.http.examples import DECISION_EXAMPLE
from api.maintenance.retention_job import RetentionJob
from api.security.api_keys import Keyring
from api.security.openid import OpenId
from api.settings import load_settings
from api.store.feedback import Statement
from api.store.outbox import PendingUpdate
from api.store.people.tables import StoredUser
from api.store.people.users import Rights
from api.store.repository import Repository, open_repository, store_url
from api.store.rows import NewDecision
from api.store.tables import StoredTicket
from models.encoder import Progress
from models.home import triage_home
from models.knowledge import KnowledgeFolder
from models.wire import DecisionDocument
from training.data.dataset import read_dataset
from training.encoders.cache import CachedEncoder
from training.settings import Settings as TrainingSettings
from triage.__main__ import main
from triage.errors import InvalidRequest
from triage.knowledge import Proposal
from triage.ticket import Ticket

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `triage …` on a fresh home: status, output, errors."""
    monkeypatch.setenv("TRIAGE_HOME", str(tmp_path / "home"))

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as end:
            status = int(end.code or 0)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


@pytest.fixture
def store(tmp_path: Path) -> Repository:
    return open_repository(tmp_path / "home")


def decide(store: Repository, ticket_id: str, body: str = "the vpn drops") -> str:
    stated = DECISION_EXAMPLE | {"decision_id": None, "ticket_id": ticket_id, "tier": "L1", "model_version": None}
    document = DecisionDocument.model_validate(stated)
    return store.record([NewDecision(Ticket(id=ticket_id, body=body), document)])[0].id


@pytest.mark.parametrize(
    ("written", "why"),
    [
        (b"sqlite:////tmp/a\0b.sqlite", "cannot be printed"),
        (b"sqlite:////tmp/a.sqlite\nsqlite:////tmp/b.sqlite\n", "cannot be printed"),
        (b"postgresql://kim:\x1b[A@127.0.0.1/x", "cannot be printed"),
        (b"\xff", "it is no UTF-8 text"),
    ],
)
def test_an_odd_file_with_the_address_of_the_store_is_refused_by_its_name(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: bytes, why: str
) -> None:
    (tmp_path / "url").write_bytes(written)
    monkeypatch.setenv("TRIAGE_STORE_URL_FILE", str(tmp_path / "url"))
    status, _, err = run("keys", "list")
    assert status == 2 and "TRIAGE_STORE_URL_FILE" in err and why in err and "fault of this program" not in err
    monkeypatch.delenv("TRIAGE_STORE_URL_FILE")
    with pytest.raises(InvalidRequest, match=f"TRIAGE_OIDC_CLIENT_SECRET_FILE .*{why}"):
        OpenId(load_settings(oidc_client_secret_file=tmp_path / "url"))
    with pytest.raises(InvalidRequest, match="the store's URL cannot be read"):
        open_repository(tmp_path, "sqlite:////tmp/a\0b.sqlite")


def test_service_and_training_read_the_environment_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("POLICY", "BUNDLE", "RULES", "WORKERS", "MODEL"):
        monkeypatch.setenv(f"TRIAGE_{name}", "")
    monkeypatch.setenv("TRIAGE_HOME", "~/state")
    serving, training = load_settings(), TrainingSettings()
    assert serving.home == training.home == triage_home() == (tmp_path / "state").resolve() and serving.home.is_dir()
    assert (serving.policy, serving.bundle, serving.rules, serving.workers) == (None, None, None, 1)
    assert (training.policy, training.bundle, training.model) == (None, None, serving.model)
    monkeypatch.setenv("TRIAGE_POLICY", "~/policy.toml")
    assert load_settings().policy == TrainingSettings().policy == tmp_path / "policy.toml"
    monkeypatch.setenv("TRIAGE_HOME", "~nobody-of-this-name/state")
    with pytest.raises(InvalidRequest, match="write the path in full"):
        load_settings()


@pytest.mark.parametrize("name", ["what?", "50%41", "a b#c", "Büro"])
def test_a_home_may_have_any_characters(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAGE_HOME", str(tmp_path / name))
    home = load_settings().home
    open_repository(home).close()
    assert (tmp_path / name / "store.sqlite").is_file() and make_url(store_url(home)).database == str(
        home / "store.sqlite"
    )
    assert make_url(TrainingSettings().tracking_uri).database == str(home / "mlflow.db")
    assert [one.name for one in tmp_path.iterdir()] == [name]


def test_a_key_is_shown_once_with_what_to_do_next(run: Run, store: Repository) -> None:
    status, out, err = run("keys", "create", "desk", "--scope", "predict,read", "--expires", "90d", "--clearance", "2")
    key = out.split("\n")[0]
    assert status == 0 and err == "" and re.fullmatch(r"triage_[0-9a-f]{8}_[\w-]{43}", key)
    row = Keyring(store).by_key(key)
    assert row.scopes == {"predict", "read"} and row.clearance == 2 and row.name == "desk"
    assert row.expires_at is not None and timedelta(days=89) < row.expires_at - datetime.now(UTC) < timedelta(days=91)
    assert "triage serve" in out and "curl" in out and f"triage keys revoke {row.prefix}" in out
    status, out, _ = run("keys", "list")
    assert status == 0 and row.prefix in out and key not in out


def test_a_key_is_said_to_open_the_pages_only_where_nobody_has_an_account(run: Run, store: Repository) -> None:
    assert "in a browser and sign in with the key" in run("keys", "create", "desk", "--scope", "predict,read")[1]
    store.add_user("anna", Rights(["admin"]))
    told = run("keys", "create", "other", "--scope", "predict,read")[1]
    assert "sign in with the key" not in told and "curl" in told and "triage keys revoke" in told


def test_keys_in_json(run: Run) -> None:
    status, out, _ = run("keys", "create", "--json", "--scope", "read", "--scope", "admin", "--name", "ops")
    made = json.loads(out)
    assert status == 0 and made["scopes"] == ["admin", "read"] and made["expires_at"] is None
    status, out, _ = run("keys", "revoke", made["key"], "--json")
    assert status == 0 and json.loads(out)["revoked_at"]
    listed = json.loads(run("keys", "list", "--json")[1])["keys"]
    assert [key["id"] for key in listed] == [made["id"]] and "key" not in listed[0]


def test_a_key_whose_name_has_the_form_of_a_key_is_the_one_that_is_revoked(run: Run, store: Repository) -> None:
    for name in ("desk", "prod_desk_key"):
        run("keys", "create", name)
    assert run("keys", "revoke", "prod_desk_key")[0] == 0
    kept = store.keys()
    assert {row.name: row.revoked_at is not None for row in kept} == {"desk": False, "prod_desk_key": True}


def test_a_leaver_is_disabled_also_where_nobody_is_an_admin(run: Run, store: Repository) -> None:
    for name, role in (("kim", "agent"), ("lee", "admin")):
        store.add_user(name, Rights([role]))
    assert run("users", "disable", "lee")[0] == 2
    with store.database.writing() as session:
        session.execute(update(StoredUser).where(StoredUser.login == "lee").values(roles="agent"))
    assert run("users", "disable", "kim")[0] == 0
    assert run("users", "roles", "lee", "--role", "lead")[0] == 0


def test_a_key_without_stated_scopes_does_the_daily_work(run: Run) -> None:
    assert json.loads(run("keys", "create", "--json")[1])["scopes"] == ["feedback", "predict", "read"]
    assert json.loads(run("keys", "create", "--scope", "all", "--json")[1])["scopes"] == [
        *("admin", "feedback", "people", "predict", "read", "train"),
    ]


WRONG = (
    ("keys", "create", "--scope", "everything"),
    ("keys", "create", "a", "--name", "b"),
    ("keys", "create", "--expires", "soon"),
    ("users", "create", "kim", "--password-file", "/dev/null"),
    ("users", "password", "kim", "--password-file", "/dev/null"),
    ("keys", "revoke", "nobody"),
    ("keys",),
    ("store", "restore", "nowhere.sqlite"),
    ("store", "forget", "T-9"),
    ("store", "retention", "--days", "-1"),
    ("store", "retention", "--days", "99999999999"),
    ("store", "retention", "--days", "nan"),
    ("keys", "create", "x", "--clearance", "-1"),
    ("users", "create", "kim", "--clearance", "99999999999"),
    ("users", "roles", "kim", "--clearance", "1000001"),
    ("store", "outbound", "retry", "99999999999999999999"),
    ("feedback", "export", "--out", "rows.jsonl", "--cap-per-agent", "-1"),
    ("store", "migrate", "0815"),
    ("store", "outbound", "retry", "7"),
    ("feedback", "export"),
    ("feedback", "export", "--out", "rows.csv"),
    ("feedback", "export", "--out", "/nowhere/rows.jsonl"),
)


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_what_cannot_be_done_is_said_in_one_line(run: Run, store: Repository, arguments: tuple[str, ...]) -> None:
    status, out, err = run(*arguments)
    assert status == 2 and out == "" and "Traceback" not in err
    assert "fault of this program" not in err
    assert len(err.strip().split("\n")) == 1 or err.startswith("usage:")


@pytest.mark.parametrize(
    "verb",
    [
        *("keys list", "keys revoke a", "users list", "users disable a", "users sign-out a", "users roles a"),
        *("store check", "store backup b.sqlite", "store forget a", "store retention", "store outbound list"),
        *("feedback export --out b.jsonl", "feedback disputed"),
    ],
)
def test_a_store_that_is_not_there_is_made_by_no_verb_that_only_looks_or_takes_away(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    file = tmp_path / "nowhere" / "y.db"
    monkeypatch.setenv("TRIAGE_STORE_URL", f"sqlite:///{file}")
    status, out, err = run(*verb.split())
    assert (status, out) == (2, "") and f"there is no store at {file}" in err and err.count("\n") == 1
    assert not file.parent.exists()
    assert run("keys", "create")[0] == 0 and run("store", "check")[0] == 0


def test_backup_and_restore(run: Run, store: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decide(store, "T-1")
    file = tmp_path / "backup.sqlite"
    assert run("store", "backup", str(file))[0] == 0
    decide(store, "T-2")
    store.add_user("kim", Rights(["agent"]))
    assert run("store", "backup", str(file))[0] == 2
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))  # that of a container holds no large store
    status, out, _ = run("store", "restore", str(file), "--json")
    assert status == 0 and json.loads(out)["rows"]["tickets"] == 1
    assert [row.ticket_id for row in store.latest()] == ["T-1"]
    assert json.loads(out)["stayed"] == {"accounts": [], "new_accounts": ["kim"], "mails": 0, "updates": 0}
    assert run("store", "restore", json.loads(out)["kept"], "--replace")[0] == 0
    assert sorted(str(row.ticket_id) for row in store.latest()) == ["T-1", "T-2"]
    assert len(list((tmp_path / "home" / "backups").iterdir())) == 1
    assert "accounts made since the backup: kim" in run("store", "restore", str(file))[1]


def test_forgetting_a_ticket(run: Run, store: Repository) -> None:
    decision = decide(store, "T-1", "a secret of kim")
    status, out, _ = run("store", "forget", "T-1", "--json")
    assert status == 0 and json.loads(out)["revisions"] == 1 and "secret" not in out
    kept = store.decision(decision)
    assert kept is not None and kept.forgotten


def proposal_of(*tickets: str) -> Proposal:
    return Proposal(
        id="k-00ff",
        title="sick, leave",
        kind="script",
        tier="L1",
        from_tier="L2",
        category=None,
        tickets=tickets,
        words={"sick": 1.0},
        bar=0.5,
        precision=1.0,
        recall=1.0,
        resolutions=("Removed burnout diagnosis of Eva Klein.",),
        per_month=1.0,
        saved_min=1.0,
        cover=(),
    )


def test_forgetting_a_ticket_that_knowledge_was_made_of(run: Run, store: Repository, tmp_path: Path) -> None:
    proposal, folder = proposal_of("HR-0", "HR-1"), KnowledgeFolder(tmp_path / "home" / "knowledge")
    folder.propose([proposal, replace(proposal, id="k-00aa", tickets=("X-1",), resolutions=())])
    folder.accept(proposal, "Ada", "2026-02-20T10:00:00+00:00")
    decide(store, "HR-1", "sick leave")
    status, out, _ = run("store", "forget", "HR-0")  # only the history has it
    assert status == 0 and "1 proposals" in out and "knowledge revise k-00ff --text FILE --by NAME --erase" in out
    assert [one.id for one in folder.proposals()] == ["k-00aa"]
    status, out, _ = run("store", "forget", "HR-1", "--json")
    found = json.loads(out)
    assert status == 0 and (found["revisions"], found["proposals"], found["entries"]) == (1, 0, ["k-00ff"])
    assert run("knowledge", "withdraw", "k-00ff", "--by", "Ada", "--erase")[0] == 0
    assert not [path for path in folder.path.rglob("*") if path.is_file() and "Eva" in path.read_text("utf-8")]
    assert run("store", "forget", "HR-0")[0] == 2


DIRTY = {
    "html": ("VPN", "<p>It drops &amp; <b>returns</b></p><br>every hour"),
    "signature": ("Printer", "It is jammed again\n-- \nKim, Accounts"),
    "double-spaces": ("Two  words", "the  screen   is\t dark \r\n\r\n\r\n since today"),
    "entities": ("Q&amp;A", "<div>5 &lt; 6 &nbsp; &eacute;</div>"),
    "compatibility": ("ＲＥＳＥＴ", "pa\u200bssword ﬁle"),
    "trailing-blanks": (" mail ", "is slow   \n\n  "),
    "quoted": ("", "Please help\n> you wrote\nOn Monday, 3 May 2021 Kim wrote:\nhello"),
    "clean": ("phone", "is dead"),
}
WAYS: dict[str, Callable[[str, str], dict[str, str]]] = {
    "subject-and-body": lambda subject, body: {"subject": subject, "body": body},
    "body-alone": lambda subject, body: {"body": body},
    "one-column": lambda subject, body: {"text": f"{subject}\n{body}"},
}


@pytest.mark.parametrize("way", WAYS)
def test_forgetting_reaches_the_embedding_of_every_text_that_training_read(
    run: Run, store: Repository, tmp_path: Path, way: str
) -> None:
    encoder = Lengths()
    rows = [{"id": name, "category": "a", **WAYS[way](*parts)} for name, parts in DIRTY.items()]
    (tmp_path / "tickets.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    texts = [row.ticket.text for row in read_dataset([tmp_path / "tickets.jsonl"]).rows]
    CachedEncoder(encoder).encode(texts)
    for name, (subject, body) in DIRTY.items():
        document = DecisionDocument.model_validate(DECISION_EXAMPLE | {"decision_id": None, "ticket_id": name})
        store.record([NewDecision(Ticket(id=name, subject=subject, body=body), document)])
        status, out, _ = run("store", "forget", name, "--json")
        assert status == 0 and json.loads(out)["embeddings"] == 1, name
    encoder.asked = 0
    CachedEncoder(encoder).encode(texts)
    assert encoder.asked == len(DIRTY)


class Lengths:
    """An encoder that counts what it is asked."""

    name, dim, asked = "lengths", 2, 0

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        self.asked += len(texts)
        return np.array([[len(text), 1] for text in texts], dtype=np.float32)

    def truncates(self, texts: Sequence[str]) -> list[bool]:
        return [False] * len(texts)


def test_retention_by_hand_and_by_itself(run: Run, store: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(2):
        decide(store, f"T-{number}")
        with store.database.writing() as session:
            long_ago = datetime.now(UTC) - timedelta(days=100)
            session.execute(update(StoredTicket).values(received_at=long_ago))
        if number == 0:
            assert "0 tickets" in run("store", "retention")[1] and len(store.latest()) == 1
            assert json.loads(run("store", "retention", "--days", "99", "--json")[1])["tickets"] == 1
        else:
            monkeypatch.setenv("TRIAGE_RETENTION_DAYS", "99")
            RetentionJob(store, load_settings()).once()
    assert store.latest() == []


@pytest.mark.parametrize("by_hand", [True, False])
def test_retention_reaches_embeddings_and_proposals(
    run: Run, store: Repository, monkeypatch: pytest.MonkeyPatch, by_hand: bool
) -> None:
    encoder, folder = Lengths(), KnowledgeFolder(load_settings().home / "knowledge")
    CachedEncoder(encoder).encode(["sick leave", "payslips", "something else"])
    proposal = proposal_of("T-0", "X-1")
    folder.propose([proposal, replace(proposal, id="k-00aa", tickets=("X-1",))])
    for number, body in enumerate(("sick leave", "payslips")):
        document = DecisionDocument.model_validate(DECISION_EXAMPLE | {"decision_id": None, "ticket_id": f"T-{number}"})
        store.record([NewDecision(Ticket(id=f"T-{number}", body=body), document)])
    with store.database.writing() as session:
        old = update(StoredTicket).where(StoredTicket.ticket_id == "T-0")
        session.execute(old.values(received_at=datetime.now(UTC) - timedelta(days=100)))
    (folder.path / "proposals" / "k-00bb.json").symlink_to("elsewhere")  # what it is made of nobody can tell
    if by_hand:
        status, out, err = run("store", "retention", "--days", "99", "--json")
        done, told = json.loads(out), err
        assert status == 0 and (done["tickets"], done["embeddings"], done["proposals"]) == (1, 1, 1)
    else:
        monkeypatch.setenv("TRIAGE_RETENTION_DAYS", "99")
        with capture_logs() as lines:
            RetentionJob(store, load_settings()).once()
        told = str([line for line in lines if line["event"] == "retention_unread"])
    assert "k-00bb" in told
    (folder.path / "proposals" / "k-00bb.json").unlink()
    assert [one.id for one in folder.proposals()] == ["k-00aa"]
    encoder.asked = 0
    CachedEncoder(encoder).encode(["sick leave", "payslips", "something else"])
    assert encoder.asked == 1


def test_migrating_and_checking(run: Run, store: Repository) -> None:
    assert run("store", "check")[0] == 0
    assert run("store", "migrate", "0001")[0] == 0
    status, out, _ = run("store", "check", "--json")
    newest = max(file.name[1:5] for file in Path(store_package.__file__).parent.glob("migrations/versions/v*.py"))
    assert status == 1 and json.loads(out) == {"ok": False, "sound": True, "revision": "0001", "expected": newest}
    assert run("store", "migrate")[0] == 0 and run("store", "check")[0] == 0


def test_what_is_owed_is_listed_and_dead_letters_are_tried_again(run: Run, store: Repository) -> None:
    assert "nothing is owed" in run("store", "outbound", "list")[1]
    store.take_delivery("rt", ["d-1"], [PendingUpdate("rt", "T-1", "d", {"tier": "L1"})])
    store.acknowledge_update(store.updates()[0].seq, error="HTTP 404")
    status, out, _ = run("store", "outbound", "list")
    assert status == 0 and "dead" in out and "HTTP 404" in out
    assert "1 updates" in run("store", "outbound", "retry")[1]
    assert json.loads(run("store", "outbound", "list", "--json")[1])["updates"][0]["state"] == "pending"


@pytest.mark.parametrize(
    "arguments",
    [("keys", "create", "x", "--expires"), ("feedback", "export", "--out", "rows.jsonl", "--settled-after")],
    ids=" ".join,
)
@pytest.mark.parametrize("length", ["²d", "1²h", "①w", ".d", "1.1.1d"])
def test_what_is_no_length_of_time_is_said(run: Run, arguments: tuple[str, ...], length: str) -> None:
    status, _, err = run(*arguments, length)
    assert status == 2 and "is no length of time: write 12h, 90d, 52w or 1y" in " ".join(err.split())


def test_an_empty_file_makes_no_account_without_a_password(run: Run, store: Repository) -> None:
    status, _, err = run("users", "create", "kim", "--password-file", "/dev/null")
    assert status == 2 and "a password has 12 to 200 characters" in err and store.users() == []
    assert run("users", "create", "kim", "--no-password")[0] == 0


def test_dead_letters_are_removed_and_a_list_that_is_cut_says_so(
    run: Run, store: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        store.take_delivery("rt", [f"d-{number}"], [PendingUpdate("rt", f"T-{number}", "d", {"tier": "L1"})])
    first, second, third, waiting = (row.seq for row in store.updates())
    for seq in (first, second, third):
        store.acknowledge_update(seq, error="HTTP 404")
    monkeypatch.setattr(Repository, "updates", partialmethod(Repository.updates, limit=3))
    assert "these are the oldest 3 of 4" in run("store", "outbound", "list")[1]
    assert json.loads(run("store", "outbound", "list", "--json")[1])["total"] == 4
    assert run("store", "outbound", "clear", str(waiting))[0] == 2  # it is not dead
    assert "1 dead updates removed" in run("store", "outbound", "clear", str(first))[1]
    assert json.loads(run("store", "outbound", "clear", "--json")[1]) == {"removed": 2}
    status, out, _ = run("store", "outbound", "list")
    assert status == 0 and "T-3" in out and "oldest" not in out


def test_exported_feedback_can_be_trained_on(run: Run, store: Repository, tmp_path: Path) -> None:
    for number in range(3):
        decision = decide(store, f"T-{number}", f"mail kim{number}@example.org about the vpn")
        if number < 2:
            store.feedback(decision, Statement("corrected", "kim", tier="L2"))
    out = tmp_path / "rows.jsonl"
    status, said, _ = run("feedback", "export", "--out", str(out), "--json")
    assert status == 0 and json.loads(said) | {"out": ""} == {
        "out": "",
        "rows": 3,
        "person": 2,
        "machine": 1,
        "left_out": {},
    }
    rows: list[dict[str, Any]] = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["label_source"] for row in rows] == ["person", "person", "machine"]
    assert "example.org" not in out.read_text() and out.stat().st_mode & 0o777 == 0o600
    assert [row.weight for row in read_dataset([out]).rows] == [1.0, 1.0, 0.0]  # as training reads it
    assert run("feedback", "export", "--out", str(out), "--raw", "--people-only")[0] == 0
    os.mkfifo(tmp_path / "pipe.jsonl")
    status, _, refused = run("feedback", "export", "--out", str(tmp_path / "pipe.jsonl"))
    assert status == 2 and "is a pipe" in refused and (tmp_path / "pipe.jsonl").is_fifo()
    assert "kim1@example.org" in out.read_text() and len(out.read_text().splitlines()) == 2


def test_disputes_are_listed(run: Run, store: Repository) -> None:
    assert "nobody disagrees" in run("feedback", "disputed")[1]
    decision = decide(store, "T-1")
    for agent, tier in (("kim", "L2"), ("lee", "L3")):
        store.feedback(decision, Statement("corrected", agent, tier=tier))
    assert "kim: L2/- | lee: L3/-" in run("feedback", "disputed")[1]
    assert json.loads(run("feedback", "disputed", "--json")[1])["disputed"][0]["decision_id"] == decision


@pytest.mark.parametrize("verb", ["keys", "store", "feedback"])
def test_every_verb_has_help(run: Run, verb: str) -> None:
    status, out, _ = run(verb, "--help")
    assert status == 0 and out.startswith(f"usage: triage {verb}")


def test_the_verbs_need_nothing_of_the_training_wing() -> None:
    heavy = "{'torch', 'mlflow', 'pandas', 'training'}"
    code = f"import sys, api.cli.store; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0
