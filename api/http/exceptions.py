"""What the service refuses to do, and why: mapped to answers in one table of `api/http/problems.py`.

The tree:

    Refused                  base; carries a machine-readable `code`
    ├── NotSignedIn          no key, or none that is known and valid
    ├── NotAllowed           a valid key without the scope, or a request that another site made the browser send
    ├── NotFound             no such decision, key or delivery
    ├── KeyReused            an idempotency key came again with another request
    ├── Contradiction        feedback that accepts another label than the decision's
    ├── NotAcceptable        feedback or a delivery that contradicts the policy or itself
    └── TooMuch              a cap is reached; carries `retry_after_s`
"""

from __future__ import annotations

from triage.errors import TriageError


class Refused(TriageError):
    """Base of every refusal.

    Attributes:
        code: Machine-readable kind of the refusal, such as ``missing-scope``.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class NotSignedIn(Refused):
    """Nobody whom the service knows: no key, an unknown, expired or revoked one, or a forged signature."""


class NotAllowed(Refused):
    """Somebody known who may not do this."""


class NotFound(Refused):
    """There is no such thing in the store."""


class KeyReused(Refused):
    """An idempotency key came again with another request."""


class NotAcceptable(Refused):
    """The request is well formed, but contradicts the policy, the store or itself.

    Attributes:
        field: Name of the offending field; empty where none is to blame alone.
    """

    def __init__(self, code: str, message: str, field: str = "") -> None:
        super().__init__(code, message)
        self.field = field


class Contradiction(Refused):
    """The request contradicts what the store has."""


class TooMuch(Refused):
    """A cap is reached.

    Attributes:
        retry_after_s: Seconds after which it is worth trying again.
    """

    def __init__(self, code: str, message: str, retry_after_s: int) -> None:
        super().__init__(code, message)
        self.retry_after_s = retry_after_s


class TooBusy(Refused):
    """The service cannot answer in time: its queue is full, or the deadline has passed.

    Attributes:
        retry_after_s: Seconds after which it is worth trying again.
    """

    def __init__(self, code: str, message: str, retry_after_s: int) -> None:
        super().__init__(code, message)
        self.retry_after_s = retry_after_s
