"""Jira Service Management: webhooks of issues, and the REST API of version 2."""

from __future__ import annotations

from api.helpdesks.vendors.helpdesk import Site, Table


class Jira:
    """Jira Service Management; a label is a custom field with a list of options."""

    signature = "jira"
    polled = False

    def read_ticket(self, site: Site) -> Table:
        """Say where a new ticket's fields stand in what it sends."""
        return {
            "when": {"webhookEvent": "jira:issue_created"},
            "id": "issue.key",
            "subject": "issue.fields.summary",
            "body": "issue.fields.description",
            "channel": "=portal",
            "requester": "issue.fields.reporter.accountId",
            "opened_at": "issue.fields.created",
            "attributes": {"project": "issue.fields.project.key"},
        }

    def read_correction(self, site: Site) -> Table:
        """Say where a correction of the labels stands in what it sends."""
        return {
            "when": {"webhookEvent": "jira:issue_updated"},
            "changed": [f"changelog.items[fieldId={field}]" for field in site.fields.values()],
            "id": "issue.key",
            "agent": "user.displayName",
            "not_people": [site.user],
            **site.paths("issue.fields.{field}.value"),
        }

    def read_labels(self, site: Site) -> Table:
        """Say where the labels that a ticket has now are read."""
        return {"url": f"{site.base}/rest/api/2/issue/{{ticket_id}}"} | site.paths("fields.{field}.value")

    def write_route(self, site: Site) -> Table:
        """Say how a route is written to a ticket."""
        return {
            "method": "PUT",
            "url": f"{site.base}/rest/api/2/issue/{{ticket_id}}",
            "body": {"fields": {field: {"value": label} for field, label in site.labels().items()}},
        }

    def write_note(self, site: Site) -> Table:
        """Say how a note is written to a ticket, for agents only."""
        return {
            "method": "POST",
            "url": f"{site.base}/rest/servicedeskapi/request/{{ticket_id}}/comment",
            "body": {"body": "{note}", "public": False},
        }
