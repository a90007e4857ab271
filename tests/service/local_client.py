"""A client for a service in the test's own process, which calls it by an address of this machine, as browsers do."""

from __future__ import annotations

from typing import Any

from fastapi import testclient


class TestClient(testclient.TestClient):
    """The framework's own client calls itself ``testserver``, which is no name of this machine."""

    def __init__(self, app: Any, base_url: str = "http://127.0.0.1", **options: Any) -> None:
        super().__init__(app, base_url, **options)
