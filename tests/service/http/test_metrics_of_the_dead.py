"""What dead workers counted stays counted, and their files do not pile up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from api.telemetry import MULTIPROCESS_VARIABLE, absorb_metrics

WORKER = """
from api.telemetry import Metrics
import os
metrics = Metrics()
metrics.shed.labels("queue-full").inc(2)
metrics.scoring.observe(0.03)
metrics.model_ready.set(1)
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


def test_a_damaged_file_of_a_dead_worker_is_removed(tmp_path: Path) -> None:
    (tmp_path / "counter_77.db").write_bytes(b"\xff\xff\x00\x00" + b"\xff" * 60)
    absorb_metrics(tmp_path, 77)
    assert list(tmp_path.iterdir()) == []
