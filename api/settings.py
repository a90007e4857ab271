"""Settings of the service: `TRIAGE_*` environment variables, refused at start where they make no sense."""

from __future__ import annotations

import ipaddress
import os
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast
from urllib.parse import urlsplit

import limits
from limits import RateLimitItem
from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.cores import cores
from models.home import ENVIRONMENT, PREFIX, expanded, made_home, triage_home
from models.local_store import parse_reference
from models.serving.answers import MOST_ANSWERS
from triage.errors import InvalidRequest, TriageError, why_unreadable

KIB = 1024
_BATCH_DEADLINE_S = 15.0
"""One busy core scored 62 texts a second: a batch of 64 tickets has its second, and time to wait behind others."""
_BATCH_BODIES = 16
"""A batch may be so many times as large as one request, though it may hold 64 tickets: few of them are long."""
OLD_HELPDESKS = f"{PREFIX}DESKS"
"""What the first version called `TRIAGE_HELPDESKS`."""
_PORTS = {"http": 80, "https": 443}
"""Ports that browsers leave out of an origin."""
_THIS_MACHINE = "127.0.0.1"
Seconds = Annotated[float, Field(gt=0, le=3600)]


class Settings(BaseSettings):
    """Everything about the service that an operator may choose; each field is `TRIAGE_` and its name in capitals."""

    model_config = cast(SettingsConfigDict, ENVIRONMENT)

    home: Path = Field(
        default_factory=triage_home, description="directory of all state: local models, store, logs of runs"
    )
    model: str = Field(
        "helpdesk-triage@champion", description="NAME@ALIAS of the local models that is served and watched"
    )
    bundle: Path | None = Field(None, description="bundle directory to serve instead of an alias")
    policy: Path | None = Field(None, description="policy file that overrides the bundle's")
    rules: Path | None = Field(None, description="rule file that overrides the bundle's")
    autonomy: Literal["earned", "certified", "suggest"] = Field(
        "earned",
        description="earned: automatic after good reviews; certified: by the bundle's certificate; suggest: never",
    )
    audit_share: float = Field(
        0.05, ge=0, le=1, description="share of the automatic tickets that still goes to people, drawn at random"
    )
    audit_blind: bool = Field(
        False, description="1: the page does not show what the model says of an audited ticket before a person has"
    )
    autonomy_reviewers: int = Field(
        0,
        ge=0,
        le=100,
        description="how many different people must have reviewed before automation opens; 0: where several people "
        "have accounts, the reviews must suffice whoever of them is left out",
    )
    learn_from_reviews: bool = Field(
        True, description="1: what people said of tickets corrects the model's probabilities for the next ones at once"
    )
    organisation: str = Field(
        "", description="name of the organisation whose tickets these are; empty: an id kept under TRIAGE_HOME"
    )
    rules_only: bool = Field(False, description="1: running without a model is acceptable, so /readyz answers 200")

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    workers: int = Field(1, ge=1, le=64, description="number of processes, each with its own encoder session and queue")
    open_loopback: bool = Field(False, description="1: requests need no key; refused unless host is a loopback address")

    store_url: str = Field("", description="SQLAlchemy URL of the store; empty: SQLite under TRIAGE_HOME")
    store_url_file: Path | None = Field(
        None, description="file that holds the store's URL, so that no environment shows it"
    )
    redact_stored: bool = Field(
        False, description="1: personal data and secrets are redacted before a ticket is stored"
    )
    rate_limit: str = Field("", description="calls per key, such as 100/minute; empty: no limit")

    history: str = Field(
        "", description="what triage retrain is given from the page: files of the history, and --map options for them"
    )
    public_url: Annotated[str, Field(pattern=r"^(https?://[^\s?#]+)?$")] = Field(
        "",
        description="address by which browsers reach the service; empty: as each request names it, so that a proxy "
        "has to pass the Host on",
    )
    sign_in_rate: str = Field(
        "10/5 minutes",
        description="attempts to sign in under one name from one address; ten times as many that fail under one name, "
        "or from one address",
    )
    oidc_issuer: Annotated[str, Field(pattern=r"^[^\s?#\\]*$")] = Field(
        "", description="provider of OpenID Connect that people sign in with; empty: none"
    )
    oidc_client_id: str = Field("", description="what the provider calls this service")
    oidc_client_secret_file: Path | None = Field(
        None, description="file that holds the secret which the provider gave this service"
    )
    oidc_claim: str = Field("preferred_username", description="the provider's claim that is the name of the account")
    oidc_new_role: Literal["", "agent", "lead", "data-scientist"] = Field(
        "", description="role of accounts made for people who sign in with the provider and have none; empty: refused"
    )
    proxy_header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]*$")] = Field(
        "", description="header in which a proxy says who has signed in there; empty: no such header is believed"
    )
    proxy_trusted: str = Field(
        "",
        description="addresses or networks of the proxies that are believed, with commas between: X-Forwarded-For, "
        "X-Forwarded-Proto and the header above; empty: 127.0.0.1, but for that header",
    )
    feedback_cap_key: int = Field(
        0, ge=0, description="most feedback that is taken from one key in 24 hours; 0: no cap"
    )
    feedback_cap_agent: int = Field(
        0, ge=0, description="most feedback that is taken from one agent in 24 hours; 0: no cap"
    )
    retention_days: float = Field(
        0, ge=0, le=36_500, description="days after which tickets and their decisions are removed; 0: never"
    )
    helpdesks: Path | None = Field(
        None, description="file of helpdesks whose webhooks are taken and that are told what was decided"
    )

    mailboxes: Path | None = Field(None, description="file of mailboxes that are read, decided and answered")

    max_body_bytes: int = Field(
        256 * KIB, ge=KIB, le=64 * KIB * KIB, description="largest request body; a batch may be 16 times as large"
    )
    max_text_chars: int = Field(
        20_000, ge=100, le=10_000_000, description="longest text, subject or body, in characters"
    )

    queue_size: int = Field(
        512, ge=1, le=10_000, description="tickets waiting for a score, per process, at most; the deadline allows fewer"
    )
    remember_answers: int = Field(
        MOST_ANSWERS, ge=0, le=100_000, description="answers kept in memory for texts that come again; 0: none"
    )
    cascade: bool = Field(
        True, description="0: every ticket is put to both encoders; first stage and prefilter are not asked"
    )
    score_batch: int = Field(32, ge=1, le=32, description="most tickets scored at once")
    request_deadline_s: Seconds = Field(
        2.0, description="a predict request is answered within this time, or 503; a batch within 15 s or this"
    )
    header_timeout_s: Seconds = Field(
        10.0, description="time a client has to send the request's head; its body has twice that"
    )
    keep_alive_s: Seconds = Field(65.0, description="how long an idle connection is kept; longer than the proxy's")
    grace_s: Seconds = Field(25.0, description="time to finish after SIGTERM")
    drain_s: float = Field(
        1.0, ge=0, le=600, description="how long it still lets in after SIGTERM, while /readyz answers 503"
    )
    stuck_s: float = Field(
        60.0, ge=5, le=3600, description="a worker whose event loop stands still for this long is killed and replaced"
    )
    poll_s: Seconds = Field(2.0, description="how often the alias is looked at")
    encoder_threads: int = Field(
        0, ge=0, le=64, description="threads of one encoder session; 0: cores that it may use, divided by workers"
    )
    otlp_endpoint: Annotated[str, Field(pattern=r"^(https?://[^\s?#]+)?$")] = Field(
        "", description="collector that takes traces by OTLP over HTTP, such as http://127.0.0.1:4318; empty: no traces"
    )
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="debug, info, warning or error")

    _expanded = field_validator("*")(expanded)
    _made = field_validator("home")(made_home)

    @model_validator(mode="before")
    @classmethod
    def _from_files_and_old_names(cls, stated: Any) -> Any:
        if isinstance(stated, dict) and not stated.get("helpdesks") and os.environ.get(OLD_HELPDESKS):
            stated["helpdesks"] = os.environ[OLD_HELPDESKS]
        if isinstance(stated, dict) and stated.get("store_url_file") and not stated.get("store_url"):
            stated["store_url"] = read_line(expanded(Path(stated["store_url_file"])), "store_url_file")
        return stated

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.grace_s < self.batch_deadline_s:
            raise ValueError(
                f"{_variable('grace_s')} must not be less than the deadline of a batch, {self.batch_deadline_s:g} s"
            )
        if self.queue_size < self.score_batch:
            raise ValueError(f"{_variable('queue_size')} must not be less than {_variable('score_batch')}")
        if self.open_loopback and not is_loopback(self.host):
            raise ValueError(f"--open-loopback answers without keys: refused on {self.host!r}; use 127.0.0.1, or keys")
        parse_reference(self.model)
        if self.rate_limit:
            _parsed(self.rate_limit)
        _parsed(self.sign_in_rate, "sign_in_rate")
        self.history_words  # noqa: B018 - reading it is the check
        if not self.proxies and self.proxy_header:
            raise ValueError(f"{_variable('proxy_header')} needs {_variable('proxy_trusted')}")
        if bool(self.oidc_issuer) != bool(self.oidc_client_id):
            raise ValueError(f"{_variable('oidc_issuer')} and {_variable('oidc_client_id')} are needed together")
        if self.oidc_issuer and not is_unread_on_the_way(self.oidc_issuer):
            raise ValueError(f"{_variable('oidc_issuer')} must be an https:// address, or http:// on this machine")
        return self

    @property
    def rate(self) -> RateLimitItem | None:
        """Calls per key, and the time in which they may be made; None without a limit."""
        return _parsed(self.rate_limit) if self.rate_limit else None

    @property
    def proxies(self) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        """Networks of the proxies that are believed; none where none is named.

        Raises:
            ValueError: One of them is no address and no network.
        """
        try:
            return [ipaddress.ip_network(one.strip()) for one in self.proxy_trusted.split(",") if one.strip()]
        except ValueError as error:
            raise ValueError(f"{_variable('proxy_trusted')}: {error}") from error

    @property
    def forwarders(self) -> list[str]:
        """Networks of the proxies whose word on a client's address and scheme is believed."""
        return [str(network) for network in self.proxies] or [_THIS_MACHINE]

    @property
    def history_words(self) -> list[str]:
        """Words of the history as a command line has them.

        Raises:
            ValueError: A quotation mark is not closed.
        """
        try:
            return shlex.split(self.history)
        except ValueError as error:
            raise ValueError(f"{_variable('history')}: {error}") from error

    @property
    def sign_ins(self) -> RateLimitItem:
        """Attempts to sign in under one name, and the time in which they may be made."""
        return _parsed(self.sign_in_rate, "sign_in_rate")

    @property
    def batch_deadline_s(self) -> float:
        """Seconds in which a batch request is answered: never less than a request for one ticket has."""
        return max(_BATCH_DEADLINE_S, self.request_deadline_s)

    @property
    def max_batch_body_bytes(self) -> int:
        """Largest body of a batch request, in bytes."""
        return _BATCH_BODIES * self.max_body_bytes

    @property
    def body_timeout_s(self) -> float:
        """Seconds that a client has to send the request's body."""
        return 2 * self.header_timeout_s

    @property
    def threads(self) -> int:
        """Threads of one encoder session."""
        return self.encoder_threads or max(1, cores() // self.workers)


def _parsed(rate: str, setting: str = "rate_limit") -> RateLimitItem:
    try:
        [parsed] = limits.parse_many(rate)
    except ValueError:
        parsed = None
    if parsed is None or parsed.amount < 1:
        raise ValueError(f"{_variable(setting)} is no rate: write for example 100/minute or 5/10 seconds")
    return parsed


def load_settings(**stated: Any) -> Settings:
    """Read the settings from the environment; what is stated here wins, None counts as not stated.

    Raises:
        InvalidRequest: Naming every setting that makes no sense.
    """
    try:
        return Settings(**{name: value for name, value in stated.items() if value is not None})
    except ValidationError as error:
        problems = [
            _problem(fault["loc"], fault["msg"]) for fault in error.errors(include_input=False, include_url=False)
        ]
        raise InvalidRequest(
            f"settings make no sense: {'; '.join(problems)}; see the README for each setting"
        ) from error
    except TriageError as error:
        raise InvalidRequest(f"settings make no sense: {error}") from error


def read_line(path: Path, setting: str) -> str:
    """Return the line that the file of a setting holds, without spaces around it.

    Raises:
        ValueError: It cannot be read, or holds what cannot be printed: several lines, or a NUL.
    """
    try:
        line = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{_variable(setting)} cannot be read: {why_unreadable(error)}; see who owns it") from error
    if not line.isprintable():
        raise ValueError(
            f"{_variable(setting)} holds a line break or another character that cannot be printed; write it anew"
        )
    return line


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach an address.

    Example:
        >>> [is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0")]
        [True, True, True, False]
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def origin_of(address: str) -> tuple[str, str] | None:
    """Return the scheme of an address, and its host and port as browsers write them; None where it is no address.

    Example:
        >>> origin_of("https://Desk.example:443/triage"), origin_of("http://127.0.0.1:8000"), origin_of("null")
        (('https', 'desk.example'), ('http', '127.0.0.1:8000'), None)
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    if not parts.netloc:
        return None
    return parts.scheme, parts.netloc.lower().removesuffix(f":{_PORTS.get(parts.scheme)}")


def is_unread_on_the_way(address: str) -> bool:
    """Say whether nobody between here and an address can read or change what is said: by TLS, or on this machine.

    Example:
        >>> is_unread_on_the_way("https://login.example"), is_unread_on_the_way("http://127.0.0.1:8080/realm")
        (True, True)
        >>> is_unread_on_the_way("http://127.0.0.1.evil.example"), is_unread_on_the_way("http://localhost@evil.example")
        (False, False)
    """
    try:
        parts = urlsplit(address)
        parts.port  # noqa: B018 - reading it is the check
    except ValueError:
        return False
    if not parts.hostname or "@" in parts.netloc:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))


def _problem(place: tuple[int | str, ...], message: str) -> str:
    message = message.removeprefix("Value error, ")
    return f"{_variable(str(place[0]))}: {message[:1].lower()}{message[1:]}" if place else message


def _variable(field: str) -> str:
    return f"{PREFIX}{field.upper()}"
