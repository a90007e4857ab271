"""Progress bars: they never stop the work, also where whoever read them has gone."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys, threading, time
from models.terminal import progress

print("begun", file=sys.stderr, flush=True)
sys.stdin.readline()  # until the reader has gone
with progress(400, "outer", soon=True) as outer:
    def work() -> None:
        with progress(100, "inner", soon=True) as inner:
            for _ in range(100):
                inner.update()
                inner.refresh()
                outer.update()
                outer.refresh()
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print(outer.n)
"""


def test_bars_whose_reader_has_gone_do_not_hold_up_the_work() -> None:
    with subprocess.Popen(
        [sys.executable, "-P", "-c", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == b"begun\n"
        process.stderr.close()
        process.stderr = None
        try:
            out, _ = process.communicate(b"\n", timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert out.strip() == b"400"
