"""The wheel alone, installed elsewhere, trains and serves: an editable install would hide a missing file."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from email import message_from_bytes
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow
PARTS = ("triage", "models", "training", "api", "pyproject.toml", "README.md", "LICENSE", "NOTICE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for part in PARTS:
        origin = ROOT / part
        if origin.is_dir():
            shutil.copytree(origin, source / part, ignore=shutil.ignore_patterns("__pycache__", "artefacts"))
        else:
            shutil.copy(origin, source / part)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(target),
        str(source),
    ]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return next(target.glob("*.whl"))


def test_the_wheel_holds_the_four_packages_and_their_files(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"triage", "models", "training", "api"}
    for needed in ("triage/defaults/policy.toml", "triage/defaults/rules.toml"):
        assert needed in names
    for folder, suffix in (("api/pages/", ".html"), ("api/store/migrations/", ".py"), ("training/", ".html")):
        assert any(name.startswith(folder) and name.endswith(suffix) for name in names), folder


def test_a_base_install_pulls_nothing_of_the_training_wing(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        stated = message_from_bytes(archive.read(name)).get_all("Requires-Dist") or []
    found: set[str] = set()
    waiting = [Requirement(text) for text in stated]
    while waiting:
        wanted = waiting.pop()
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        if (package := canonicalize_name(wanted.name)) not in found:
            found.add(package)
            waiting += [Requirement(text) for text in distribution(package).requires or []]
    assert {"fastapi", "onnxruntime", "numpy"} <= found
    assert not found & {"torch", "mlflow", "mlflow-skinny", "pandas", "pyarrow", "scikit-learn", "transformers"}


def test_it_trains_and_serves_from_elsewhere(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        "--target",
        str(site),
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True)
    shared_home = os.environ.get("TRIAGE_HOME")
    home = tmp_path / "home"
    home.mkdir()
    if shared_home and (Path(shared_home) / "encoders").is_dir():  # an export made before is the same export
        shutil.copytree(Path(shared_home) / "encoders", home / "encoders")
    environment = {**os.environ, "PYTHONPATH": str(site), "TRIAGE_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    triage = [sys.executable, "-P", "-m", "triage"]
    where = subprocess.run(
        [sys.executable, "-P", "-c", "import triage, api; print(triage.__file__, api.__file__)"],
        capture_output=True, text=True, check=True, env=environment, cwd=tmp_path,
    )  # fmt: skip
    assert where.stdout.count(str(site)) == 2

    rows = [json.loads(line) for line in (ROOT / "datasets" / "tickets.jsonl").read_text("utf-8").splitlines()][::8]
    history = tmp_path / "history.jsonl"
    history.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    trained = subprocess.run(
        [*triage, "train", str(history), "--out", str(tmp_path / "bundle"), "--no-register", "--json"],
        capture_output=True, text=True, env=environment, cwd=tmp_path,
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr[-2000:]
    assert set(json.loads(trained.stdout)["targets"]) == {"tier", "category"}

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [*triage, "serve", "--bundle", str(tmp_path / "bundle"), "--port", str(port), "--open-loopback"]
    server = subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
                    if answer.status == 200:
                        break
            except OSError:
                time.sleep(0.2)
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/predict",
            json.dumps({"text": "my account is locked, please unlock it"}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            decision = json.load(answer)
        assert decision["model_version"] and decision["tier"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as page:
            assert page.status == 200
    finally:
        server.terminate()
        assert server.wait(30) == 0
