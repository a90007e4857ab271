"""The container files say what they promise: nobody is root, nothing is written outside a volume, no training wing."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
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
    assert "[train" not in CONTAINERFILE and re.search(r"^ARG EXTRAS=postgres$", CONTAINERFILE, re.MULTILINE)
    assert '".[${EXTRAS}]"' in stages[1]
    assert ":latest" not in CONTAINERFILE and re.search(r'^ENTRYPOINT \["triage"\]$', CONTAINERFILE, re.MULTILINE)


def test_every_file_names_the_image_of_this_version() -> None:
    files = (
        "Containerfile",
        "compose.yaml",
        "deploy/kubernetes/triage.yaml",
        "deploy/kubernetes/verb.yaml",
        "docs/operations.md",
    )
    named = {
        name: re.findall(r"(?:-t|image:) helpdesk-triage(?::(\S+))?", (ROOT / name).read_text("utf-8"))
        for name in files
    }
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert all(found and set(found) == {version} for found in named.values()), named


@pytest.mark.parametrize(("path", "is_healthy"), [("livez", True), ("elsewhere", False)])
def test_the_health_of_a_container_is_asked_at_the_port_that_is_set(
    tmp_path: Path, path: str, is_healthy: bool
) -> None:
    (tmp_path / path).touch()
    _python, *rest = json.loads(re.findall(r"^HEALTHCHECK .*\\\n +CMD (.*)$", CONTAINERFILE, re.MULTILINE)[0])
    serving = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), serving) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        environment = {**os.environ, "TRIAGE_PORT": str(server.server_port)}
        asked = subprocess.run([sys.executable, *rest], env=environment, capture_output=True)
        server.shutdown()
    assert (asked.returncode == 0) == is_healthy, asked.stderr


@pytest.mark.parametrize("name", sorted(COMPOSE["services"]))
def test_each_service_is_confined(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"] and not service["user"].startswith("0")
    assert service["restart"] == "unless-stopped" and {"mem_limit", "pids_limit"} <= set(service)
    assert not re.search(r"PASSWORD: |privileged: true|docker.sock", yaml.safe_dump(service))
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert not [place for place in service["tmpfs"] if re.search("[ug]id=", place)]  # podman takes none there


def test_the_store_is_reached_by_the_service_alone_and_drains_before_it_is_killed() -> None:
    assert COMPOSE["networks"]["inside"]["internal"] is True and COMPOSE["services"]["store"]["networks"] == ["inside"]
    assert int(COMPOSE["services"]["triage"]["stop_grace_period"].rstrip("s")) > 25 + 1


def test_every_extra_that_an_image_is_said_to_take_is_one() -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    files = [ROOT / "Containerfile", ROOT / "compose.yaml", ROOT / "docs" / "operations.md"]
    said = [extras for file in files for extras in re.findall(r"\bpostgres,\w+", file.read_text("utf-8"))]
    assert len(said) >= 5 and {one for extras in said for one in extras.split(",")} <= set(known)
    assert COMPOSE["services"]["triage"]["build"]["args"] == {"EXTRAS": "${TRIAGE_EXTRAS:-postgres}"}


def test_what_is_to_be_written_to_the_file_of_settings_reaches_the_service() -> None:
    said = (ROOT / "compose.yaml").read_text("utf-8").partition("\nname:")[0]
    written = re.findall(r"echo (TRIAGE_\w+)=\S+ >+ \.env", said)
    assert written == ["TRIAGE_PUBLIC_URL", "TRIAGE_PROXY_TRUSTED"]
    given = COMPOSE["services"]["triage"]["environment"]
    assert all(given[name].startswith(f"${{{name}:") for name in written)
    kubernetes = yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / "triage.yaml").read_text("utf-8"))
    [pod] = [one["spec"]["template"]["spec"] for one in kubernetes if one["kind"] == "Deployment"]
    assert set(written) <= {one["name"] for one in pod["containers"][0]["env"]}


@pytest.mark.parametrize("service", sorted(COMPOSE["services"]))
def test_whoever_reads_a_secret_is_told_to_own_it(service: str) -> None:
    """A file of a secret keeps its owner and mode in the container: chmod 0400 lets nobody read it but its owner."""
    said = (ROOT / "compose.yaml").read_text("utf-8").partition("\nname:")[0]
    [secret] = COMPOSE["services"][service]["secrets"]
    user = COMPOSE["services"][service]["user"]
    file = Path(COMPOSE["secrets"][secret]["file"])
    for way in ("sudo", "podman unshare"):
        assert f"{way} chown {user} {file}" in said
    ignored = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    assert f"/{file.parent}/" in ignored and "/.env" in ignored


def test_the_address_of_browsers_has_to_be_stated() -> None:
    assert COMPOSE["services"]["triage"]["environment"]["TRIAGE_PUBLIC_URL"].startswith("${TRIAGE_PUBLIC_URL:?")


@pytest.mark.parametrize("command", [("hadolint", "Containerfile"), ("compose-lint", "compose.yaml")])
def test_the_linters_find_nothing_that_matters(command: tuple[str, str]) -> None:
    linter = shutil.which(command[0], path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if linter is None:
        pytest.skip(f"{command[0]} is not installed")
    ran = subprocess.run([linter, str(ROOT / command[1])], capture_output=True, text=True, cwd=ROOT)
    assert ran.returncode == 0, ran.stdout + ran.stderr
