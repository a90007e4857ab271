"""Request Tracker 5: what a scrip sends, and REST 2.0; examples/request_tracker has the scrips."""

from __future__ import annotations

from api.helpdesks.vendors.helpdesk import Site, Table, corrected


class RequestTracker:
    """Request Tracker; a label is a custom field of tickets."""

    signature = "triage"
    polled = False

    def read_ticket(self, site: Site) -> Table:
        """Say where a new ticket's fields stand in what it sends."""
        return {
            "when": {"event": "created"},
            "id": "ticket.id",
            "subject": "ticket.subject",
            "body": "ticket.text",
            "requester": "ticket.requester",
            "channel": "=email",
            "attributes": {"queue": "ticket.queue"},
        }

    def read_correction(self, site: Site) -> Table:
        """Say where a correction of the labels stands in what it sends."""
        return corrected(site)

    def read_labels(self, site: Site) -> Table:
        """Say where the labels that a ticket has now are read."""
        return {
            "url": f"{site.base}/REST/2.0/ticket/{{ticket_id}}",
            "match": True,
            **site.paths("CustomFields[name={field}].values.0"),
        }

    def write_route(self, site: Site) -> Table:
        """Say how a route is written to a ticket."""
        return {
            "method": "PUT",
            "url": f"{site.base}/REST/2.0/ticket/{{ticket_id}}",
            "body": {"CustomFields": site.labels()},
        }

    def write_note(self, site: Site) -> Table:
        """Say how a note is written to a ticket, for agents only."""
        return {
            "method": "POST",
            "url": f"{site.base}/REST/2.0/ticket/{{ticket_id}}/comment",
            "body": {"Content": "{note}", "ContentType": "text/plain"},
        }
