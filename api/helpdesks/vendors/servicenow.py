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
        """Say where the labels that a ticket has now are read: as they are stored, and as people see them.

        A reference is stored as an id, and of a choice the policy may name either.
        """
        asked = "sysparm_display_value=all&sysparm_exclude_reference_link=true"
        return {"url": f"{_incident(site)}?{asked}"} | site.paths("result.{field}")

    def write_route(self, site: Site) -> Table:
        """Say how a route is written to a ticket: by the names that people see, of references too."""
        return {
            "method": "PATCH",
            "url": f"{_incident(site)}?sysparm_input_display_value=true",
            "body": site.labels(),
        }

    def write_note(self, site: Site) -> Table:
        """Say how a note is written to a ticket, for agents only."""
        return {
            "method": "PATCH",
            "url": _incident(site),
            "body": {"work_notes": "{note}"},
        }


def _incident(site: Site) -> str:
    return f"{site.base}/api/now/table/incident/{{ticket_id}}"
