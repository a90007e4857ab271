"""`triage pull --watch` brings what was promoted elsewhere; a registry that is away delays neither start nor answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ..conftest import free_port

pytestmark = pytest.mark.slow
REFERENCE = "helpdesk-triage@champion"


@contextmanager
def started(log: Path, *command: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    with log.open("w") as sink:
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=sink, stderr=sink, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_what_is_promoted_elsewhere_arrives_once_the_registry_is_there(
    serve: Callable[..., Any], until: Callable[..., float], make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    here.mkdir()
    port = free_port()
    registry = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}", "MLFLOW_DISABLE_TELEMETRY": "true"}
    triage = (sys.executable, "-P", "-m", "triage")
    digest = json.loads((make_bundle() / "manifest.json").read_text())["digest"]
    watch = (*triage, "pull", REFERENCE, "--watch", "--every", "0.5")
    began = time.monotonic()
    with serve(home=here, ready="/livez", **registry, TRIAGE_POLL_S="0.2") as service:
        assert time.monotonic() - began < 30 and service.client.get("/readyz").status_code == 503
        with started(tmp_path / "pull.log", *watch, **registry, TRIAGE_HOME=str(here)) as courier:
            until(lambda: "triage pull: " in (tmp_path / "pull.log").read_text(), 60)
            mlflow = (sys.executable, "-P", "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port))
            places = (f"sqlite:///{there / 'mlflow.db'}", "--artifacts-destination", str(there / "artifacts"))
            stores = ("--workers", "1", "--backend-store-uri", *places)
            with started(tmp_path / "mlflow.log", *mlflow, *stores):
                until(lambda: answers(f"http://127.0.0.1:{port}/health"), 90, tmp_path / "mlflow.log")
                elsewhere = {**os.environ, **registry, "TRIAGE_HOME": str(there)}
                promote = [*triage, "promote", str(make_bundle())]
                done = subprocess.run(promote, env=elsewhere, capture_output=True, text=True)
                assert done.returncode == 0, done.stderr
                until(lambda: service.client.get("/readyz").status_code == 200, 60, tmp_path / "pull.log")
                assert courier.poll() is None
        assert service.client.get("/readyz").json()["model_version"] == digest[:12]
    began = time.monotonic()
    with serve(home=here, ready="/readyz", **registry) as service:  # the registry is gone again
        assert time.monotonic() - began < 30
        keyless = service.predict(text="the printer jams")
        assert keyless.status_code == 401
