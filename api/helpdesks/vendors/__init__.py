"""Helpdesks of known vendors: what each sends, and how its tickets are read and written, one module a vendor."""

from __future__ import annotations

from collections.abc import Mapping

from api.helpdesks.vendors.freshdesk import Freshdesk
from api.helpdesks.vendors.glpi import Glpi
from api.helpdesks.vendors.helpdesk import Helpdesk
from api.helpdesks.vendors.jira import Jira
from api.helpdesks.vendors.redmine import Redmine
from api.helpdesks.vendors.request_tracker import RequestTracker
from api.helpdesks.vendors.servicenow import ServiceNow
from api.helpdesks.vendors.zammad import Zammad
from api.helpdesks.vendors.zendesk import Zendesk

VENDORS: Mapping[str, Helpdesk] = {
    "freshdesk": Freshdesk(),
    "glpi": Glpi(),
    "jira": Jira(),
    "redmine": Redmine(),
    "request-tracker": RequestTracker(),
    "servicenow": ServiceNow(),
    "zammad": Zammad(),
    "zendesk": Zendesk(),
}
"""Vendors by the name that `vendor` has in the file of helpdesks."""
