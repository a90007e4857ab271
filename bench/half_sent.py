"""Half-sent requests: 500 sockets hold bodies back while others ask; `python bench/half_sent.py [--bundle DIR]`.

One client asks for a ticket at a time, first in peace, then in the storm. A socket whose request is given up comes back
after a second. Exit status 1 where p95 of a ticket is more than 1.5 times that of before (or 50 ms more, which one busy
moment of the machine makes), p99 of /livez is 250 ms or more, or anybody who sends whole requests is refused.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import sys
import time
from collections import Counter

from load import closed_loop, health_under
from wire import Answer, Running, quantile, running, tell

_HALF = (
    b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b'Content-Length: 2000\r\n\r\n{"text": "the'
)


async def hold_back(port: int, until: float, told: Counter[int]) -> None:
    """Send halves of requests until a time."""
    while time.monotonic() < until:
        with contextlib.suppress(OSError, IndexError, TimeoutError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(_HALF)
                async with asyncio.timeout(max(0.01, until - time.monotonic())):
                    told[int((await reader.readline()).split()[1])] += 1
            finally:
                writer.close()
        await asyncio.sleep(1.0)


async def measure(
    server: Running, sockets: int, seconds: float
) -> tuple[list[Answer], list[Answer], list[float], Counter[int]]:
    """Return the answers in peace and in the storm, the times of /livez in it, and what half requests were told."""
    numbers, told, over = itertools.count(), Counter[int](), [False]
    await closed_loop(server.port, 1, 2, numbers)
    before = await closed_loop(server.port, 1, min(10.0, seconds), numbers)
    until = time.monotonic() + seconds
    senders = [asyncio.create_task(hold_back(server.port, until, told)) for _ in range(sockets)]
    await asyncio.sleep(1.0)
    health = asyncio.create_task(health_under(server.port, over))
    during = await closed_loop(server.port, 1, seconds - 1.0, numbers)
    over[0] = True
    await asyncio.gather(*senders)
    return before, during, await health, told


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bundle", help="bundle to serve; without one, the rules answer")
    parser.add_argument("--sockets", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=60)
    chosen = parser.parse_args()
    with running(*(["--bundle", chosen.bundle] if chosen.bundle else [])) as server:
        before, during, livez, told = asyncio.run(measure(server, chosen.sockets, chosen.seconds))
    calm, stormy = (quantile([answer.seconds for answer in answers], 0.95) for answers in (before, during))
    statuses = Counter(answer.status for answer in during)
    tell(
        {
            "p95 of a ticket before, s": calm,
            "p95 of a ticket in the storm, s": stormy,
            "p99 of /livez in the storm, s": quantile(livez, 0.99),
            "answers to whole requests": dict(statuses),
            "answers to halves": dict(told),
        }
    )
    well = stormy <= max(1.5 * calm, calm + 0.05) and quantile(livez, 0.99) < 0.25
    return 0 if well and set(statuses) == {200} else 1


if __name__ == "__main__":
    sys.exit(main())
