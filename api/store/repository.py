"""The repository: one object through which the service and its commands reach the store."""

from __future__ import annotations

from pathlib import Path

from api.http.exceptions import NotFound
from api.privacy.redact import Redactor
from api.store.database import PATIENCE_S, Database, file_of, file_url
from api.store.erasure import Erasure
from api.store.export import Export
from api.store.feedback import Feedback
from api.store.keys import Keys
from api.store.migrations.standing import is_newest
from api.store.outbox import Outbox
from api.store.people.sessions import Sessions
from api.store.threads.events import Threads
from api.store.work.claims import Claims
from api.store.work.figures import Figures
from api.store.work.jobs import Jobs
from api.store.work.queue import Queue
from models.home import STORE_FILE


class Repository(Threads, Feedback, Queue, Claims, Jobs, Sessions, Figures, Keys, Outbox, Export, Erasure):
    """Everything that the store can do; every method is one transaction, safe to call from any thread.

    What a method returned has been committed: it survives the process being killed. Methods block; call them from
    worker threads, never from the event loop.

    Raises:
        StoreUnavailable: From every method, where the store does not answer; nothing was changed then.
    """

    def ping(self) -> None:
        """Ask the store for one row, so that a readiness probe knows whether it answers."""
        self.database.ping()

    def close(self) -> None:
        """Close all connections."""
        self.database.close()


def store_url(home: Path, url: str = "") -> str:
    """Return the URL of the store: the one stated, else that of the file in the home."""
    return url or file_url(home / STORE_FILE)


def require_store(home: Path, url: str = "") -> None:
    """See that a store is there before anything opens it, which would make the file and its folder.

    Raises:
        InvalidRequest: The URL makes no sense.
        NotFound: No file is where that of SQLite should be; whether PostgreSQL has a store is seen when it is opened.
    """
    file = file_of(store_url(home, url))
    if file is not None and not file.exists():
        raise NotFound(
            "no-store",
            f"there is no store at {file}: see TRIAGE_HOME and TRIAGE_STORE_URL, or make a new one with triage serve",
        )


def open_repository(home: Path, url: str = "", *, redact: bool = False, patience_s: float = PATIENCE_S) -> Repository:
    """Open the store, bring it to the newest shape, and return its repository.

    Any number of processes may do this together.

    Args:
        home: Directory of all state; the default store is a file in it.
        url: ``sqlite:///FILE`` or ``postgresql://USER@HOST/NAME``; empty for the default store.
        redact: Whether personal data and secrets are taken out of tickets before they are stored.
        patience_s: How long a transaction waits for its turn.

    Raises:
        InvalidRequest: The URL makes no sense, or a newer version wrote the store.
        StoreUnavailable: The store cannot be reached.
    """
    database = Database(store_url(home, url), patience_s)
    if not is_newest(database):
        from api.store.migrations.migrate import migrate  # late: Alembic is a twentieth of a start, and seldom needed

        migrate(database)
    return Repository(database, Redactor() if redact else None)
