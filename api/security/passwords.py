"""Passwords of people: Argon2id hashes, slow on purpose, and a few at a time so that they cannot fill the memory."""

from __future__ import annotations

import secrets
import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from triage.errors import InvalidRequest

LEAST_CHARS, MOST_CHARS = 12, 200
"""NIST SP 800-63B asks for 15 characters where a password is all there is and 8 beside something else; attempts are
limited here. A longer one than 200 characters is no password."""
_HASHER = PasswordHasher()
"""Argon2id with the parameters of RFC 9106 for little memory: 64 MiB, three passes, four lanes, some 50 ms."""
_TURN = threading.BoundedSemaphore(2)
"""Two at a time: more would take 64 MiB each while somebody guesses."""


def hash_password(password: str) -> str:
    """Return the hash of a password as it is kept.

    Raises:
        InvalidRequest: It is too short or too long.
    """
    if not LEAST_CHARS <= len(password) <= MOST_CHARS:
        raise InvalidRequest(
            f"a password has {LEAST_CHARS} to {MOST_CHARS} characters: four words in a row are easy to keep in mind"
        )
    with _TURN:
        return _HASHER.hash(password)


def is_password(hashed: str | None, password: str) -> bool:
    """Say whether a password is the one that was hashed; for no hash it takes as long, and is wrong."""
    with _TURN:
        try:
            return _HASHER.verify(hashed or _nobody(), password) and hashed is not None
        except (VerificationError, InvalidHashError):
            return False


def new_password() -> str:
    """Return a random password of 120 bits, to be shown once."""
    return secrets.token_urlsafe(15)


def _nobody() -> str:
    """Return a hash that no password has, made once: with it an unknown name takes as long as a known one."""
    global _HASH_OF_NOBODY
    if not _HASH_OF_NOBODY:
        _HASH_OF_NOBODY = _HASHER.hash(secrets.token_urlsafe(32))
    return _HASH_OF_NOBODY


_HASH_OF_NOBODY = ""
