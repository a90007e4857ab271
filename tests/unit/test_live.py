"""Live news: whatever keeps one look at the store from its answer, the next change is told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from api.pages import live
from triage.errors import StoreUnavailable


@pytest.mark.parametrize("fault", [StoreUnavailable("locked", "the store is locked"), RuntimeError("no thread")])
def test_a_look_that_fails_ends_no_news(fault: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK_S", 0.01)
    seen: Iterator[object] = iter([1, fault, 1])

    def look() -> object:
        found = next(seen, 2)
        if isinstance(found, Exception):
            raise found
        return found

    async def always() -> bool:
        return True

    async def first() -> bytes:
        changes = live.Watch(look, lambda: False).changes("news", always)
        async for told in changes:
            if b"news" in told:
                await changes.aclose()  # type: ignore[attr-defined]
                return told
        return b""

    assert b"news" in asyncio.run(asyncio.wait_for(first(), 5))
