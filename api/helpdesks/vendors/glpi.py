"""GLPI 11: webhooks of tickets, and the high-level API of version 2."""

from __future__ import annotations

from api.helpdesks.vendors.helpdesk import Site, Table


class Glpi:
    """GLPI; a label is a custom field of tickets."""

    signature = "glpi"
    polled = False

    def read_ticket(self, site: Site) -> Table:
        """Say where a new ticket's fields stand in what it sends."""
        return {
            "when": {"event": "new"},
            "id": "item.id",
            "subject": "item.name",
            "body": "item.content",
            "channel": "item.request_type.name",
            "opened_at": "item.date_creation",
            "attributes": {"entity": "item.entity.name"},
        }

    def read_correction(self, site: Site) -> Table:
        """Say where a correction of the labels stands in what it sends."""
        return {
            "when": {"event": "update"},
            "id": "item.id",
            "agent": "item.user_editor.name",
            "not_people": [site.user],
            **site.paths("item.{field}"),
        }

    def read_labels(self, site: Site) -> Table:
        """Say where the labels that a ticket has now are read."""
        return {"url": f"{site.base}/api.php/v2/Assistance/Ticket/{{ticket_id}}"} | site.paths("{field}")

    def write_route(self, site: Site) -> Table:
        """Say how a route is written to a ticket."""
        return {
            "method": "PATCH",
            "url": f"{site.base}/api.php/v2/Assistance/Ticket/{{ticket_id}}",
            "body": site.labels(),
        }

    def write_note(self, site: Site) -> Table:
        """Say how a note is written to a ticket, for agents only."""
        return {
            "method": "POST",
            "url": f"{site.base}/api.php/v2/Assistance/Ticket/{{ticket_id}}/Timeline/Followup",
            "body": {"content": "{note}", "is_private": True},
        }
