"""A process counts the cores that it may use, not those of the machine that its container runs on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from api.settings import load_settings
from models.cores import cores

MINE = len(os.sched_getaffinity(0))


def machine(root: Path, group: str, **files: str) -> Path:
    """Lay out what a system says of control groups."""
    for name, text in {"proc/self/cgroup": group, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("group", "files", "expected"),
    [
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "150000 100000\n"}, min(2, MINE)),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "max 100000\n"}, MINE),
        ("0::/a/b\n", {"sys/fs/cgroup/a/cpu.max": "100000 100000", "sys/fs/cgroup/a/b/cpu.max": "max 100000"}, 1),
        ("0::/unseen\n", {"sys/fs/cgroup/cpu.max": "100000 100000\n"}, 1),
        (
            "2:cpu,cpuacct:/c\n0::/\n",
            {"sys/fs/cgroup/cpu/c/cpu.cfs_quota_us": "100000\n", "sys/fs/cgroup/cpu/c/cpu.cfs_period_us": "100000\n"},
            1,
        ),
        (
            "1:cpu:/\n",
            {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"},
            MINE,
        ),
        ("odd\n", {"sys/fs/cgroup/cpu.max": ""}, MINE),
    ],
)
def test_a_container_has_the_cores_of_its_share(
    tmp_path: Path, group: str, files: dict[str, str], expected: int
) -> None:
    assert cores(machine(tmp_path, group, **files)) == expected


def test_threads_are_those_of_the_cores_that_this_process_may_run_on() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert load_settings().threads == 1
        assert load_settings(encoder_threads=3).threads == 3
    finally:
        os.sched_setaffinity(0, before)
    assert load_settings(workers=1).threads == cores()
