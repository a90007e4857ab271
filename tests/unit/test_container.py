"""The container files say what they promise: nobody is root, nothing is written outside a volume, no training wing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CONTAINERFILE = (ROOT / "Containerfile").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))


def test_the_serving_stage_is_bare_and_nobody_is_root() -> None:
    stages = CONTAINERFILE.split("\nFROM ")
    assert len(stages) == 3 and "pip install" not in stages[-1] and "apt-get" not in CONTAINERFILE
    users = re.findall(r"^USER (\S+)", stages[-1], re.MULTILINE)
    assert users and not users[-1].startswith(("0", "root"))
    assert "[train" not in CONTAINERFILE and '".[postgres]"' in CONTAINERFILE
    assert ":latest" not in CONTAINERFILE and re.search(r'^ENTRYPOINT \["triage"\]$', CONTAINERFILE, re.MULTILINE)


def test_every_file_names_the_image_of_this_version() -> None:
    files = ("Containerfile", "compose.yaml", "deploy/kubernetes/triage.yaml", "docs/operations.md")
    named = {
        name: re.findall(r"(?:-t|image:) helpdesk-triage(?::(\S+))?", (ROOT / name).read_text("utf-8"))
        for name in files
    }
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert all(found and set(found) == {version} for found in named.values()), named


@pytest.mark.parametrize("name", sorted(COMPOSE["services"]))
def test_each_service_is_confined(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"] and not service["user"].startswith("0")
    assert service["restart"] == "unless-stopped" and {"mem_limit", "pids_limit"} <= set(service)
    assert not re.search(r"PASSWORD: |privileged: true|docker.sock", yaml.safe_dump(service))
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_the_store_is_reached_by_the_service_alone_and_drains_before_it_is_killed() -> None:
    assert COMPOSE["networks"]["inside"]["internal"] is True and COMPOSE["services"]["store"]["networks"] == ["inside"]
    assert int(COMPOSE["services"]["triage"]["stop_grace_period"].rstrip("s")) > 25 + 1


@pytest.mark.parametrize("command", [("hadolint", "Containerfile"), ("compose-lint", "compose.yaml")])
def test_the_linters_find_nothing_that_matters(command: tuple[str, str]) -> None:
    linter = shutil.which(command[0], path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if linter is None:
        pytest.skip(f"{command[0]} is not installed")
    ran = subprocess.run([linter, str(ROOT / command[1])], capture_output=True, text=True, cwd=ROOT)
    assert ran.returncode == 0, ran.stdout + ran.stderr
