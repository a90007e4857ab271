"""Keys in the store: only digests, and gone at once when they are revoked."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from api.http.exceptions import NotAcceptable, NotFound, NotSignedIn
from api.security.api_keys import Keyring, create_key, sha256
from api.store.repository import Repository
from triage.errors import InvalidRequest, StoreUnavailable


def test_a_key_is_recognised_and_its_text_is_nowhere_in_the_store(repository: Repository) -> None:
    key, row = create_key(repository, "desk", ["predict", "read"], clearance=2)
    assert Keyring(repository).by_key(key) == row and row.scopes == {"predict", "read"} and row.clearance == 2
    with repository.database.reading() as session:
        everything = str(session.execute(text("SELECT * FROM keys")).all())
    assert key not in everything and key.split("_", 2)[2] not in everything and sha256(key) in everything
    assert len(key.split("_", 2)[2]) == 43


def test_what_is_no_key_is_refused(repository: Repository) -> None:
    for wrong in ("", "x", "triage_", "triage_00000000_x", "triage__", "a_b_c", "triage_ünï_x", "\ud800"):
        with pytest.raises(NotSignedIn):
            Keyring(repository).by_key(wrong)


def test_a_changed_secret_is_refused(repository: Repository) -> None:
    key, _ = create_key(repository, "desk", ["read"])
    for wrong in (key[:-1], key + "A", key[:-1] + ("A" if key[-1] != "A" else "B"), key.upper()):
        with pytest.raises(NotSignedIn):
            Keyring(repository).by_key(wrong)


def test_an_expired_key_is_refused(repository: Repository) -> None:
    key, _ = create_key(repository, "desk", ["read"], lifetime=timedelta(seconds=0.05))
    time.sleep(0.1)
    with pytest.raises(NotSignedIn) as refusal:
        Keyring(repository).by_key(key)
    assert refusal.value.code == "expired-key"


def test_a_revoked_key_is_refused_by_another_worker_within_five_seconds(open_store: Callable[..., Repository]) -> None:
    one, other = open_store(), open_store()
    key, row = create_key(one, "desk", ["read"])
    keyring = Keyring(other)
    keyring.by_key(key)
    start = time.monotonic()
    one.revoke_key(row.prefix)
    while time.monotonic() - start < 5:
        try:
            keyring.by_key(key)
        except NotSignedIn as refusal:
            assert refusal.code == "revoked-key"
            return
        time.sleep(0.05)
    pytest.fail("the revoked key is still taken after 5 s")


def test_a_key_that_was_seen_is_believed_while_the_store_is_away(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, row = create_key(repository, "desk", ["read"])
    unseen, _ = create_key(repository, "other", ["read"])
    keyring = Keyring(repository, fresh_s=0.0)
    keyring.by_key(key)

    def away(prefix: str) -> None:
        raise StoreUnavailable("unreachable", "away")

    monkeypatch.setattr(repository, "key", away)
    assert keyring.by_key(key) == row
    with pytest.raises(StoreUnavailable):
        keyring.by_key(unseen)


def test_keys_are_revoked_by_id_prefix_or_name_but_not_by_a_shared_name(repository: Repository) -> None:
    rows = [create_key(repository, name, ["read"])[1] for name in ("a", "b", "c", "twin", "twin")]
    revoked = [repository.revoke_key(which).id for which in (rows[0].id, rows[1].prefix, "c")]
    assert revoked == [row.id for row in rows[:3]]
    assert repository.revoke_key("c").revoked_at == repository.revoke_key("c").revoked_at
    with pytest.raises(NotAcceptable):
        repository.revoke_key("twin")
    with pytest.raises(NotFound):
        repository.revoke_key("nobody")


@pytest.mark.parametrize("scopes", [[], ["everything"], ["read", "root"]])
def test_a_key_needs_known_scopes(repository: Repository, scopes: list[str]) -> None:
    with pytest.raises(InvalidRequest):
        create_key(repository, "desk", scopes)


def test_a_session_ends_with_its_time_its_key_or_a_sign_out(repository: Repository) -> None:
    now = datetime.now(UTC)
    _, row = create_key(repository, "desk", ["read"])
    repository.open_session(sha256("a"), row.id, "kim", now + timedelta(hours=1))
    repository.open_session(sha256("b"), row.id, "kim", now - timedelta(seconds=1))
    repository.open_session(sha256("c"), row.id, "lee", now + timedelta(hours=1))
    keyring = Keyring(repository, fresh_s=0.0)
    assert keyring.by_session("a") == (row, "kim")
    with pytest.raises(NotSignedIn):
        keyring.by_session("b")
    repository.close_session(sha256("a"))
    with pytest.raises(NotSignedIn):
        keyring.by_session("a")
    repository.revoke_key(row.id)
    with pytest.raises(NotSignedIn):
        keyring.by_session("c")
    assert repository.expire(None).sessions == 0
