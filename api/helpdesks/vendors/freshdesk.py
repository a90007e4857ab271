"""Freshdesk: webhooks of automation rules, and the API of version 2."""

from __future__ import annotations

from api.helpdesks.vendors.helpdesk import Site, Table, corrected


class Freshdesk:
    """Freshdesk; a label is a custom field, known by its name."""

    signature = "freshdesk"
    polled = False

    def read_ticket(self, site: Site) -> Table:
        """Say where a new ticket's fields stand in what it sends."""
        return {
            "when": {"freshdesk_webhook.triggered_event": "{ticket_action:created}"},
            "id": "freshdesk_webhook.ticket_id",
            "subject": "freshdesk_webhook.ticket_subject",
            "body": "freshdesk_webhook.ticket_description",
            "channel": "freshdesk_webhook.ticket_source",
            "requester": "freshdesk_webhook.ticket_requester_email",
        }

    def read_correction(self, site: Site) -> Table:
        """Say where a correction of the labels stands in what it sends."""
        return corrected(site)

    def read_labels(self, site: Site) -> Table:
        """Say where the labels that a ticket has now are read."""
        return {"url": f"{site.base}/api/v2/tickets/{{ticket_id}}"} | site.paths("custom_fields.{field}")

    def write_route(self, site: Site) -> Table:
        """Say how a route is written to a ticket."""
        return {
            "method": "PUT",
            "url": f"{site.base}/api/v2/tickets/{{ticket_id}}",
            "body": {"custom_fields": site.labels()},
        }

    def write_note(self, site: Site) -> Table:
        """Say how a note is written to a ticket, for agents only."""
        return {
            "method": "POST",
            "url": f"{site.base}/api/v2/tickets/{{ticket_id}}/notes",
            "body": {"body": "{note}", "private": True},
        }
