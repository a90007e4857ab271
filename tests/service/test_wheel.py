"""The wheel alone, installed elsewhere, trains and serves: an editable install would hide a missing file."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
import zipfile
from email import message_from_bytes
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
OWN = {"triage", "triage_client", "models", "training", "api"}
pytestmark = pytest.mark.slow
PROBE = """
import json, pkgutil, sys
from importlib.metadata import entry_points

places, allowed, verb = json.loads(sys.argv[1])
sys.path[:0] = places  # as folders, so that no .pth file and with it no editable install counts


class NotThere:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in {*allowed, *sys.stdlib_module_names} and not top.startswith("_sysconfigdata"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, NotThere())
if verb:
    from triage.__main__ import main
    sys.exit(main([verb]))
import api
names = {f"verb {one.name}": one.module for one in entry_points(group="triage.commands")}
found = [one.name for one in pkgutil.walk_packages(api.__path__, "api.")]
names |= {name: name for name in found if not name.startswith("api.store.migrations.")}  # Alembic runs some of these
lacking = {}
for name, module in names.items():
    try:
        __import__(module)
    except ModuleNotFoundError as error:
        lacking[name] = error.name
print(json.dumps([api.__file__, list(names), lacking]))
"""
"""Imports a wheel as a base install does, whatever else is installed here: what is allowed is all that there is."""


def of_the_image() -> list[str]:
    """What the first stage of the Containerfile copies; all of it has to be let in by .containerignore."""
    stage = (ROOT / "Containerfile").read_text("utf-8").split("\nFROM ")[1]
    copied = [name for line in re.findall(r"^COPY (.+) \S+$", stage, re.MULTILINE) for name in line.split()]
    lines = (ROOT / ".containerignore").read_text("utf-8").splitlines()
    kept_out = set(copied) - {line[1:] for line in lines if line.startswith("!")}
    assert not kept_out, f".containerignore leaves out what is copied: {kept_out}"
    return copied


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that the image installs, made of nothing else than the files that the image is built from."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for part in of_the_image():
        origin = ROOT / part
        if origin.is_dir():
            shutil.copytree(origin, source / part, ignore=shutil.ignore_patterns("__pycache__", "artefacts"))
        else:
            shutil.copy(origin, source / part)
    command = ["-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(target), str(source)]
    subprocess.run([sys.executable, *command], check=True, capture_output=True, text=True)
    return next(target.glob("*.whl"))


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("installed") / "site"
    command = ["-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(place), str(wheel)]
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    return place


def test_the_wheel_holds_the_packages_and_their_files(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == OWN
    for needed in ("triage/defaults/policy.toml", "triage/defaults/rules.toml"):
        assert needed in names
    for folder, suffix in (("api/pages/", ".html"), ("api/store/migrations/", ".py"), ("training/", ".html")):
        assert any(name.startswith(folder) and name.endswith(suffix) for name in names), folder


def base_install(wheel: Path) -> set[str]:
    """The distributions that a base install of the wheel pulls, with those that they pull."""
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
    return found


def test_a_base_install_pulls_nothing_of_the_training_wing(wheel: Path) -> None:
    found = base_install(wheel)
    assert {"fastapi", "onnxruntime", "numpy"} <= found
    assert not found & {"torch", "mlflow", "mlflow-skinny", "pandas", "pyarrow", "scikit-learn", "transformers"}


def run_bare(site: Path, modules: set[str], verb: str = "") -> subprocess.CompletedProcess[str]:
    """Run `PROBE` with what is installed in `site`, and of everything else with some top-level modules alone."""
    told = json.dumps([[str(site), str(Path(sysconfig.get_path("purelib")))], sorted(modules), verb])
    command = [sys.executable, "-I", "-S", "-c", PROBE, told]
    return subprocess.run(command, capture_output=True, text=True, cwd=site)


@pytest.fixture(scope="module")
def base_modules(wheel: Path) -> set[str]:
    pulled = base_install(wheel)
    known = packages_distributions().items()
    return OWN | {top for top, owners in known if pulled & {canonicalize_name(one) for one in owners}}


def test_what_the_image_installs_serves_without_anything_else(site: Path, base_modules: set[str]) -> None:
    done = run_bare(site, base_modules)
    assert done.returncode == 0, done.stderr
    where, names, lacking = json.loads(done.stdout)
    assert where.startswith(str(site)) and "api.server.server" in names
    assert {name for name, lacks in lacking.items() if lacks.partition(".")[0] in OWN} == set()
    here = {name.removeprefix("verb ") for name in names if name.startswith("verb ") and name not in lacking}
    assert here >= {"feedback", "keys", "mcp", "predict", "score", "serve", "store", "users"}
    of_mail = {name: lacks for name, lacks in lacking.items() if not name.startswith("verb ")}
    assert set(of_mail.values()) <= {"imapclient", "tnefparse"}, "serving needs what the base install has not"


def test_a_package_of_ones_own_that_is_missing_is_no_matter_of_the_training_wing(
    site: Path, base_modules: set[str]
) -> None:
    said = run_bare(site, base_modules - {"triage_client"}, "serve").stderr
    assert "triage_client is missing" in said and "install it anew" in said and "training wing" not in said


def test_it_trains_and_serves_from_elsewhere(site: Path, tmp_path: Path) -> None:
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
