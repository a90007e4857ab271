"""What every vendor's helpdesk has in common: read a payload, write a route, read a correction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

Table = dict[str, Any]
"""A table of the file of helpdesks, such as `ticket` or `update`."""


class Site(BaseModel):
    """Where a vendor's helpdesk is, and what the fields of the labels are called there.

    Attributes:
        vendor: Name of the vendor.
        url: Address of the helpdesk, without a path of its API.
        authorization: Name of the environment variable that holds the ``Authorization`` header.
        user: The service's own user, as the helpdesk names people: what it writes is no correction.
        fields: The field of each label: ``tier``, ``category``, ``resolver_group``.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    vendor: str
    url: Annotated[str, Field(pattern=r"^https?://[^/?#{}\s]+(/[^?#{}\s]*)?$")]
    authorization: str
    user: str = "triage"
    fields: Mapping[str, str]

    @property
    def base(self) -> str:
        """The address without a slash at its end."""
        return self.url.rstrip("/")

    def labels(self) -> dict[str, str]:
        """Return the placeholder of each label by the field that it is written to."""
        return {field: f"{{{label}}}" for label, field in self.fields.items()}

    def paths(self, form: str) -> Table:
        """Return where the labels stand: ``{field}`` in the form is the field of each."""
        found: Table = {label: form.replace("{field}", field) for label, field in self.fields.items()}
        return _with_further(found)


class Helpdesk(Protocol):
    """A vendor's helpdesk: each method gives one table of the file of helpdesks, which the file may override.

    What a payload looks like and how a ticket is written is data; the code that reads and writes is the same for all.
    """

    @property
    def signature(self) -> str:
        """Preset of how its webhooks are signed."""
        ...

    @property
    def polled(self) -> bool:
        """Whether it sends no webhooks, and is asked what is new."""
        ...

    def read_ticket(self, site: Site) -> Table:
        """Say where a new ticket's fields stand in what it sends."""
        ...

    def read_correction(self, site: Site) -> Table:
        """Say where a correction of the labels stands in what it sends."""
        ...

    def read_labels(self, site: Site) -> Table:
        """Say where the labels that a ticket has now are read."""
        ...

    def write_route(self, site: Site) -> Table:
        """Say how a route is written to a ticket."""
        ...

    def write_note(self, site: Site) -> Table:
        """Say how a note is written to a ticket, for agents only."""
        ...


CORRECTED: Table = {"when": {"event": "corrected"}, "id": "ticket.id", "agent": "agent"}
"""A correction as helpdesks send it whose webhooks have the body that an administrator writes: docs/integration.md has
that body for each."""


def corrected(site: Site) -> Table:
    """Return the table of a correction whose body an administrator has written as the documentation says."""
    labels = {label: f"ticket.{label}" for label in ("tier", "category", *site.fields)}
    return {**CORRECTED, "not_people": [site.user], **_with_further(labels)}


def _with_further(paths: Table) -> Table:
    """Return the paths of labels as a table has them: those of tier and category, and the others under `targets`."""
    route = {label: path for label, path in paths.items() if label in ("tier", "category")}
    return {**route, "targets": {label: path for label, path in paths.items() if label not in route}}


def tables_of(helpdesk: Helpdesk, site: Site) -> Table:
    """Return everything that the file of helpdesks would say of a vendor's helpdesk."""
    host = site.base.split("://", 1)[1].split("/", 1)[0]
    reached = {"hosts": [host], "authorization": site.authorization}
    tables: Table = {
        "signature": helpdesk.signature,
        "ticket": helpdesk.read_ticket(site),
        "feedback": helpdesk.read_correction(site),
        "current": helpdesk.read_labels(site),
        "update": {**reached, **helpdesk.write_route(site)},
        "note": {**reached, **helpdesk.write_note(site)},
    }
    if helpdesk.polled:
        tables["poll"] = {"url": site.base}
    return tables
