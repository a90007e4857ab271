"""Redmine: its REST API, asked every few seconds for new and changed issues, as it sends no webhooks."""

from __future__ import annotations

from api.helpdesks.vendors.helpdesk import Site, Table


class Redmine:
    """Redmine; a label is a custom field of issues, known by its number."""

    signature = "triage"
    polled = True

    def read_ticket(self, site: Site) -> Table:
        """Say where a new ticket's fields stand in what it sends."""
        return {
            "when": {"event": "created"},
            "id": "issue.id",
            "subject": "issue.subject",
            "body": "issue.description",
            "channel": "=portal",
            "requester": "issue.author.id",
            "opened_at": "issue.created_on",
            "attributes": {"project": "issue.project.name", "tracker": "issue.tracker.name"},
        }

    def read_correction(self, site: Site) -> Table:
        """Say where a correction of the labels stands in what it sends."""
        return {
            "when": {"event": "corrected"},
            "changed": [f"journal.details[name={field}]" for field in site.fields.values()],
            "id": "issue.id",
            "agent": "journal.user.name",
            "not_people": [site.user],
            **site.paths("issue.custom_fields[id={field}].value"),
        }

    def read_labels(self, site: Site) -> Table:
        """Say where the labels that a ticket has now are read."""
        return {"url": f"{site.base}/issues/{{ticket_id}}.json"} | site.paths("issue.custom_fields[id={field}].value")

    def write_route(self, site: Site) -> Table:
        """Say how a route is written to a ticket."""
        return {
            "method": "PUT",
            "url": f"{site.base}/issues/{{ticket_id}}.json",
            "body": {"issue": {"custom_fields": [{"id": int(f), "value": v} for f, v in site.labels().items()]}},
        }

    def write_note(self, site: Site) -> Table:
        """Say how a note is written to a ticket, for agents only."""
        return {
            "method": "PUT",
            "url": f"{site.base}/issues/{{ticket_id}}.json",
            "body": {"issue": {"notes": "{note}", "private_notes": True}},
        }
