"""Zendesk: webhooks of ticket events, and the Ticketing API."""

from __future__ import annotations

from api.helpdesks.vendors.helpdesk import Site, Table, corrected


class Zendesk:
    """Zendesk; a label is a custom field, known by its number."""

    signature = "zendesk"
    polled = False

    def read_ticket(self, site: Site) -> Table:
        """Say where a new ticket's fields stand in what it sends."""
        return {
            "when": {"type": "zen:event-type:ticket.created"},
            "id": "detail.id",
            "subject": "detail.subject",
            "body": "detail.description",
            "channel": "detail.via.channel",
            "requester": "detail.requester_id",
            "opened_at": "detail.created_at",
        }

    def read_correction(self, site: Site) -> Table:
        """Say where a correction of the labels stands in what it sends."""
        return corrected(site)

    def read_labels(self, site: Site) -> Table:
        """Say where the labels that a ticket has now are read."""
        return {"url": f"{site.base}/api/v2/tickets/{{ticket_id}}.json"} | site.paths(
            "ticket.custom_fields[id={field}].value"
        )

    def write_route(self, site: Site) -> Table:
        """Say how a route is written to a ticket."""
        return {
            "method": "PUT",
            "url": f"{site.base}/api/v2/tickets/{{ticket_id}}.json",
            "body": {"ticket": {"custom_fields": [{"id": int(f), "value": v} for f, v in site.labels().items()]}},
        }

    def write_note(self, site: Site) -> Table:
        """Say how a note is written to a ticket, for agents only."""
        return {
            "method": "PUT",
            "url": f"{site.base}/api/v2/tickets/{{ticket_id}}.json",
            "body": {"ticket": {"comment": {"body": "{note}", "public": False}}},
        }
