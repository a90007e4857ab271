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


def test_what_came_between_a_page_and_the_first_look_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK_S", 0.01)
    monkeypatch.setattr(live, "SIGN_S", 0.05)
    value = ["before"]
    watch = live.Watch(lambda: value[0], lambda: False)

    async def always() -> bool:
        return True

    async def told(since: str) -> list[bool]:
        """Say of each message, up to the third sign of life, whether it is news."""
        found: list[bool] = []
        changes = watch.changes("news", always, since)
        async for message in changes:
            found.append(b"news" in message)
            if found.count(False) == 3:
                await changes.aclose()  # type: ignore[attr-defined]
        return found

    async def run() -> tuple[list[bool], ...]:
        seen = await watch.state()
        value[0] = "after"
        return await told(seen), await told(await watch.state()), await told("")

    changed, same, unknown = asyncio.run(asyncio.wait_for(run(), 5))
    assert changed.count(True) == 1 and changed[:2] == [False, True]
    assert True not in same and True not in unknown
