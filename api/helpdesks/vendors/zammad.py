"""Zammad: webhooks of triggers, and the REST API."""

from __future__ import annotations

from api.helpdesks.vendors.helpdesk import Site, Table, corrected


class Zammad:
    """Zammad; a label is an object attribute of tickets."""

    signature = "zammad"
    polled = False

    def read_ticket(self, site: Site) -> Table:
        """Say where a new ticket's fields stand in what it sends."""
        return {
            "when": {"article.sender": "Customer"},
            "id": "ticket.id",
            "subject": "ticket.title",
            "body": "article.body",
            "channel": "article.type",
            "requester": "ticket.customer.id",
            "opened_at": "ticket.created_at",
            "attributes": {"group": "ticket.group.name"},
        }

    def read_correction(self, site: Site) -> Table:
        """Say where a correction of the labels stands in what it sends."""
        return corrected(site)

    def read_labels(self, site: Site) -> Table:
        """Say where the labels that a ticket has now are read."""
        return {"url": f"{site.base}/api/v1/tickets/{{ticket_id}}"} | site.paths("{field}")

    def write_route(self, site: Site) -> Table:
        """Say how a route is written to a ticket."""
        return {"method": "PUT", "url": f"{site.base}/api/v1/tickets/{{ticket_id}}", "body": site.labels()}

    def write_note(self, site: Site) -> Table:
        """Say how a note is written to a ticket, for agents only."""
        return {
            "method": "POST",
            "url": f"{site.base}/api/v1/ticket_articles",
            "body": {"ticket_id": "{ticket_id}", "body": "{note}", "type": "note", "internal": True},
        }
