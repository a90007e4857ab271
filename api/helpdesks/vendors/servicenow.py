"""ServiceNow: what a business rule sends of an incident, and the Table API."""

from __future__ import annotations

from api.helpdesks.vendors.helpdesk import Site, Table


class ServiceNow:
    """ServiceNow; a label is a column of the table incident."""

    signature = "servicenow"
    polled = False

    def read_ticket(self, site: Site) -> Table:
        """Say where a new ticket's fields stand in what it sends."""
        return {
            "when": {"event": "created"},
            "id": "record.sys_id",
            "subject": "record.short_description",
            "body": "record.description",
            "channel": "record.contact_type",
            "requester": "record.caller_id.value",
            "opened_at": "record.opened_at",
            "attributes": {"number": "record.number"},
        }

    def read_correction(self, site: Site) -> Table:
        """Say where a correction of the labels stands in what it sends."""
        return {
            "when": {"event": "corrected"},
            "id": "record.sys_id",
            "agent": "record.sys_updated_by",
            "not_people": [site.user],
            **site.paths("record.{field}"),
        }

    def read_labels(self, site: Site) -> Table:
        """Say where the labels that a ticket has now are read."""
        return {"url": f"{site.base}/api/now/table/incident/{{ticket_id}}"} | site.paths("result.{field}")

    def write_route(self, site: Site) -> Table:
        """Say how a route is written to a ticket."""
        return {"method": "PATCH", "url": f"{site.base}/api/now/table/incident/{{ticket_id}}", "body": site.labels()}

    def write_note(self, site: Site) -> Table:
        """Say how a note is written to a ticket, for agents only."""
        return {
            "method": "PATCH",
            "url": f"{site.base}/api/now/table/incident/{{ticket_id}}",
            "body": {"work_notes": "{note}"},
        }
