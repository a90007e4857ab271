"""What dead workers counted stays counted, their files do not pile up, and a full disk ends nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from api.telemetry import MULTIPROCESS_VARIABLE, absorb_metrics

WORKER = """
from api.telemetry import Metrics
import os
metrics = Metrics()
metrics.shed.labels("queue-full").inc(2)
metrics.scoring.observe(0.03)
metrics.model_ready.set(1)
metrics.store_ready.set(1)
print(os.getpid())
"""
_ROUTES = 2000
_WITHOUT_ROOM = f"""
from api.telemetry import Metrics
import os, pathlib, sys, time
folder = pathlib.Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
metrics = Metrics()
metrics.shed.labels("queue-full").inc(2)
with (folder / "filler").open("ab", buffering=0) as filler:
    try:
        while True: filler.write(bytes(4096))
    except OSError: pass
for number in range({_ROUTES}):
    metrics.requests.labels("GET", f"/route-{{number}}", 200).inc()
metrics.shed.labels("queue-full").inc(3)
assert b'cause="queue-full"}} 5.0' in metrics.text()
(folder / "filler").unlink()
time.sleep(5.5)
for number in range({_ROUTES}):
    metrics.requests.labels("GET", f"/route-{{number}}", 200).inc()
print(os.getpid())
"""
COLLECTOR = "from api.telemetry import Metrics; print(Metrics().text().decode())"


def run(code: str, folder: Path) -> str:
    """Run code in a process that shares its metrics in a folder."""
    environment = {**os.environ, MULTIPROCESS_VARIABLE: str(folder)}
    command = [sys.executable, "-P", "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, check=True, text=True).stdout


def test_counts_of_dead_workers_add_up_in_one_file_each(tmp_path: Path) -> None:
    sizes = []
    for _ in range(3):
        absorb_metrics(tmp_path, int(run(WORKER, tmp_path)))
        sizes.append(sorted(file.name for file in tmp_path.iterdir()))
    assert sizes == [["counter_0.db", "histogram_0.db"]] * 3
    text = run(COLLECTOR, tmp_path)
    assert 'triage_refused_total{cause="queue-full"} 6.0' in text
    assert "triage_score_seconds_count 3.0" in text
    assert 'triage_score_seconds_bucket{le="0.05"} 3.0' in text


def test_one_process_that_is_not_ready_shows_among_others_that_are(tmp_path: Path) -> None:
    worker = WORKER.replace("model_ready.set(1)", "model_ready.set(0)").replace(
        "store_ready.set(1)", "store_ready.set(0)"
    )
    said = []
    for code in (WORKER, worker):
        run(code, tmp_path)
        together = CollectorRegistry()
        MultiProcessCollector(together, path=str(tmp_path))  # type: ignore[no-untyped-call]
        said.append([together.get_sample_value(f"triage_{what}_ready") for what in ("model", "store")])
    assert said == [[1, 1], [0, 0]]


def test_a_damaged_file_of_a_dead_worker_is_removed(tmp_path: Path) -> None:
    (tmp_path / "counter_77.db").write_bytes(b"\xff\xff\x00\x00" + b"\xff" * 60)
    absorb_metrics(tmp_path, 77)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """Return a disk of 2 MB."""
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("this user may not mount a small disk")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_what_has_no_room_is_counted_in_the_process_until_there_is_some(small: Path) -> None:
    pid = int(run(_WITHOUT_ROOM, small))
    text = run(COLLECTOR, small)
    assert text.count("triage_requests_total{") == _ROUTES and text.count('status="200"} 2.0') == _ROUTES
    absorb_metrics(small, pid)
    assert run(COLLECTOR, small).count('status="200"} 2.0') == _ROUTES


def test_who_looks_after_workers_lives_through_a_full_disk(small: Path) -> None:
    pids = [int(run(WORKER, small)) for _ in range(2)]
    absorb_metrics(small, pids[0])
    with (small / "filler").open("ab", buffering=0) as filler:
        for size in (4096, 1):
            with pytest.raises(OSError, match="No space left"):
                while True:
                    filler.write(bytes(size))
    absorb_metrics(small, pids[1])
    assert 'triage_refused_total{cause="queue-full"} 4.0' in run(COLLECTOR, small)


def test_a_directory_that_is_gone_leaves_what_the_process_has_itself(tmp_path: Path) -> None:
    text = run("from api.telemetry import Metrics; m = Metrics(); m.swaps.inc(); print(m.text())", tmp_path / "none")
    assert "triage_model_swaps_total 1.0" in text
