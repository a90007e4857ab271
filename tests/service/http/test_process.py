"""The service as a process: starting, stopping, workers, slow clients, bytes that are no HTTP."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from shutil import copyfile
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from api.store.repository import open_repository
from models.toml_files import dump_policy
from triage.__main__ import main
from triage.defaults import default_policy

Serve = Callable[..., Any]
ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.slow


def refused(home: Path, *arguments: object, **environment: str) -> str:
    """Run a `triage serve` that must not start, and return its only line."""
    command = [sys.executable, "-P", "-m", "triage", "serve", *map(str, arguments)]
    ran = subprocess.run(
        command, env={**os.environ, "TRIAGE_HOME": str(home), **environment}, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 2, ran
    assert ran.stderr.startswith("triage serve: ") and ran.stderr.count("\n") == 1 and "Traceback" not in ran.stderr
    assert not ran.stdout  # no address
    return ran.stderr


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (["--open-loopback", "--host", "0.0.0.0"], {}, "open-loopback"),
        (["--bundle", "/nowhere"], {}, "no bundle"),
        (["--model", "nonsense"], {}, "NAME@ALIAS"),
        ([], {"TRIAGE_QUEUE_SIZE": "many"}, "TRIAGE_QUEUE_SIZE"),
        ([], {"TRIAGE_GRACE_S": "1"}, "TRIAGE_GRACE_S"),
        ([], {"TRIAGE_RATE_LIMIT": "lots"}, "TRIAGE_RATE_LIMIT"),
        (["--workers", "0"], {}, "TRIAGE_WORKERS"),
    ],
)
def test_senseless_settings_are_refused_in_one_line(
    arguments: list[str],
    environment: dict[str, str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    for name, value in {"TRIAGE_HOME": str(tmp_path), **environment}.items():
        monkeypatch.setenv(name, value)
    assert main(["serve", *arguments]) == 2
    line = capsys.readouterr().err
    assert said in line and line.startswith("triage serve: ") and line.count("\n") == 1


def test_an_occupied_port_and_a_broken_bundle_are_refused_in_one_line(
    tmp_path: Path, make_bundle: Callable[..., Path]
) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        assert "cannot listen" in refused(tmp_path, "--port", holder.getsockname()[1], "--open-loopback")
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in make_bundle().rglob("*"):
        if path.is_file():
            copy = broken / path.relative_to(make_bundle())
            copy.parent.mkdir(exist_ok=True)
            cut = path.stat().st_size // 2 if path.name == "heads.json" else None
            copy.write_bytes(path.read_bytes()[:cut])
    assert "heads.json" in refused(tmp_path, "--bundle", broken, "--open-loopback", "--port", 0)


@pytest.mark.parametrize("workers", [1, 2])
def test_rules_that_cannot_be_used_are_told_once_and_no_address(tmp_path: Path, workers: int) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nname = "door"\n')
    said = refused(tmp_path, "--open-loopback", "--port", 0, "--workers", workers, TRIAGE_RULES=str(rules))
    assert "rules.toml:1: rule 'door'" in said


def test_serving_loads_nothing_that_only_training_needs() -> None:
    heavy = (
        "torch",
        "mlflow",
        "pandas",
        "pyarrow",
        "sentence_transformers",
        "transformers",
        "sklearn",
        "matplotlib",
        "onnx",
    )
    code = f"import sys, api.cli.serve; print([name for name in {heavy!r} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_without_open_loopback_every_route_needs_a_key(serve: Serve) -> None:
    with serve(TRIAGE_RULES_ONLY="1") as service:
        for path in ("/livez", "/readyz"):
            assert service.client.get(path).status_code == 200
        for method, path in (
            ("POST", "/v1/predict"),
            ("GET", "/metrics"),
            ("GET", "/openapi.json"),
            ("GET", "/docs"),
            ("GET", "/"),
        ):
            answer = service.client.request(method, path)
            assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
            assert answer.headers["www-authenticate"].startswith("Bearer")
        away = service.client.get("/", headers={"Accept": "text/html"})
        assert (away.status_code, away.headers["location"]) == (303, "/sign-in")


def test_no_program_of_a_test_inherits_what_nohup_and_a_shell_have_ignored(tmp_path: Path) -> None:
    asked = "import signal; print(*(int(signal.getsignal(one) is signal.SIG_IGN) for one in (1, 2)))"
    copyfile(ROOT / "tests" / "conftest.py", tmp_path / "conftest.py")
    (tmp_path / "test_it.py").write_text(
        "import os, signal, subprocess, sys\n\n"
        "def test_it() -> None:\n"
        f"    ran = subprocess.run([sys.executable, '-c', {asked!r}], capture_output=True, text=True)\n"
        "    assert ran.stdout.strip() == '0 0'\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-n", "1", "-p", "no:cacheprovider", str(tmp_path)]
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    ran = subprocess.run(
        ["sh", "-c", "nohup \"$@\" & wait $!", "sh", *command],
        capture_output=True, text=True, cwd=tmp_path, env=outside | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGTERM, 1), (signal.SIGHUP, 1), (signal.SIGHUP, 2)])
def test_sigterm_and_sighup_answer_everybody_inside_and_exit_with_0(
    serve: Serve, make_bundle: Callable[..., Path], number: signal.Signals, workers: int
) -> None:
    slowly = {"TRIAGE_SCORE_BATCH": "1", "TRIAGE_REQUEST_DEADLINE_S": "12"}
    options = ("--open-loopback", "--bundle", make_bundle(), "--workers", workers)
    with serve(*options, ready="/readyz", TRIAGE_DRAIN_S="1.5", **slowly) as service:
        with ThreadPoolExecutor(20) as pool:
            asked = [pool.submit(service.predict, text=f"vpn drops {each}") for each in range(20)]
            time.sleep(0.4)
            service.process.send_signal(number)
            time.sleep(0.1 * workers)
            seen = service.client.get("/readyz")
            assert (seen.status_code, seen.json()["code"]) == (503, "draining")
            service.process.send_signal(number)
            assert [one.result().status_code for one in asked] == [200] * 20
        assert service.process.wait(20) == 0
        with pytest.raises(httpx.TransportError):
            service.client.get("/livez")


def test_a_worker_that_dies_is_replaced(
    serve: Serve, until: Callable[..., float], make_bundle: Callable[..., Path]
) -> None:
    with serve("--open-loopback", "--bundle", make_bundle(), "--workers", 2, ready="/readyz") as service:
        until(lambda: service.serve(2), 30)
        killed = service.workers()
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        assert until(lambda: len(set(service.workers()) - set(killed)) == 2, 10) < 10
        until(lambda: ready(service.client), 60, service.log)
        statuses = [service.predict(text=f"printer {number}").status_code for number in range(50)]
        assert statuses == [200] * 50
        metrics = service.client.get("/metrics").text
        counted = [
            line for line in metrics.splitlines() if line.startswith("triage_requests_total") and "/v1/predict" in line
        ]
        assert sum(float(line.split()[-1]) for line in counted) >= 50
        assert service.stop() == 0


def test_workers_are_told_neither_a_url_from_a_file_nor_a_bundle_beside_a_model(
    serve: Serve, until: Callable[..., float], tmp_path: Path, make_bundle: Callable[..., Path]
) -> None:
    url = f"sqlite:///{tmp_path / 'elsewhere.sqlite'}"
    (tmp_path / "url").write_text(url)
    stated = {"TRIAGE_STORE_URL_FILE": str(tmp_path / "url"), "TRIAGE_BUNDLE": str(make_bundle())}
    options = ("--open-loopback", "--workers", 2, "--model", "nobody@champion")
    with serve(*options, ready="/readyz", TRIAGE_RULES_ONLY="1", **stated) as service:
        until(lambda: service.serve(2), 30)
        environments = [Path(f"/proc/{pid}/environ").read_bytes() for pid in service.workers()]
        assert not any(url.encode() in one or b"TRIAGE_BUNDLE=" in one for one in environments)
        answer = service.predict(text="the printer jams").json()
        assert answer["model_version"] is None and answer["stored"]
        assert (tmp_path / "elsewhere.sqlite").exists()
        (tmp_path / "url").unlink()
        killed = service.workers()[0]
        os.kill(killed, signal.SIGKILL)
        until(lambda: "TRIAGE_STORE_URL_FILE cannot be read" in service.log.read_text(), 20)
        assert "Traceback" not in service.log.read_text() and service.client.get("/livez").status_code == 200
        (tmp_path / "url").write_text(url)
        until(lambda: service.serve(2) and killed not in service.workers(), 30)


NEVER_SERVES = """
import sys
from pathlib import Path
import api.server.workers as workers
from api.server.address import bind
from api.settings import load_settings
workers._QUICK_S = 0.2  # they live longer than that, as with a large model to load
home = Path(sys.argv[1])
settings = load_settings(home=home, open_loopback=True, rules_only=True, workers=2)
stated = {"TRIAGE_HOME": str(home), "TRIAGE_OPEN_LOOPBACK": "1", "TRIAGE_RULES_ONLY": "1", "TRIAGE_WORKERS": "2"}
sys.exit(workers.Supervisor(settings, bind("127.0.0.1", 0), stated).run())
"""


def test_workers_that_fail_late_in_their_start_end_the_command_too(tmp_path: Path) -> None:
    repository = open_repository(tmp_path)
    with repository.database.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    repository.close()
    command = [sys.executable, "-P", "-c", NEVER_SERVES, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "a newer version wrote it" in done.stderr


def test_who_connects_together_is_shared_out(serve: Serve, until: Callable[..., float]) -> None:
    serving = serve("--open-loopback", "--workers", 2, ready="/readyz", TRIAGE_RULES_ONLY="1")
    with serving as service, ExitStack() as held:
        until(lambda: service.serve(2), 30)
        time.sleep(2)
        before = service.sockets()

        def new() -> list[int]:
            return [service.sockets()[pid] - count for pid, count in before.items()]

        for count in (40, 80):
            for _ in range(40):
                held.enter_context(socket.create_connection(("127.0.0.1", service.port)))
            until(lambda count=count: sum(new()) >= count - 4, 5)  # some of before are closed
            assert min(new()) >= 0.35 * count, new()


def test_nobody_waits_for_a_worker_that_is_stuck(serve: Serve, until: Callable[..., float]) -> None:
    with serve("--open-loopback", "--workers", 2, ready="/readyz", TRIAGE_RULES_ONLY="1") as service:
        until(lambda: service.serve(2), 30)
        time.sleep(2)
        stuck = service.workers()[0]
        os.kill(stuck, signal.SIGSTOP)
        try:
            with ExitStack() as held, ThreadPoolExecutor(40) as pool:
                clients = [held.enter_context(httpx.Client(base_url=service.url, timeout=5)) for _ in range(40)]
                assert [one.status_code for one in pool.map(lambda client: client.get("/livez"), clients)] == [200] * 40
        finally:
            os.kill(stuck, signal.SIGCONT)


def test_every_worker_reads_the_policy_anew(
    serve: Serve, until: Callable[..., float], make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(dump_policy(default_policy()))
    options = ("--open-loopback", "--bundle", make_bundle(), "--workers", 2)
    with serve(*options, ready="/readyz", TRIAGE_POLICY=str(policy)) as service:
        until(lambda: service.serve(2), 30)

        def versions() -> set[str]:
            """Ask over many connections, so that either worker may answer."""
            return {httpx.get(f"{service.url}/v1/model", timeout=10).json()["policy_version"] for _ in range(24)}

        for following in ("the-next", "the-last"):  # the first as soon as both are there
            policy.write_text(dump_policy(replace(default_policy(), version=following)))
            assert httpx.post(f"{service.url}/v1/model/reload", timeout=60).json()["policy_version"] == following
            until(lambda following=following: versions() == {following}, 20)
        policy.write_text(dump_policy(default_policy()))
        time.sleep(3)
        assert versions() == {"the-last"}  # until somebody asks for it


def test_a_worker_that_cannot_start_again_leaves_the_others_alone(
    serve: Serve, until: Callable[..., float], tmp_path: Path
) -> None:
    with serve("--open-loopback", "--workers", 2, ready="/readyz", TRIAGE_RULES_ONLY="1") as service:
        until(lambda: service.serve(2), 30)
        time.sleep(5.5)  # what cannot start in the first seconds never could, and that ends the service
        away = tmp_path / "away"
        away.mkdir()
        for path in tmp_path.glob("store.sqlite*"):
            path.rename(away / path.name)
        (tmp_path / "store.sqlite").mkdir()  # the store cannot be opened
        os.kill(service.workers()[0], signal.SIGKILL)
        until(lambda: service.log.read_text().count("worker_died") >= 2, 30)
        assert service.process.poll() is None
        until(lambda: ready(service.client), 10)
        assert service.predict(text="the printer jams").status_code == 200
        (tmp_path / "store.sqlite").rmdir()
        for path in away.iterdir():
            path.rename(tmp_path / path.name)
        until(lambda: len(service.workers()) == 2, 20)
        assert service.stop() == 0


def ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Any:
    with request.getfixturevalue("run_service")(
        tmp_path_factory.mktemp("strict"), "--open-loopback", TRIAGE_HEADER_TIMEOUT_S="0.5"
    ) as service:
        yield service


def talk(port: int, *char_ngrams: bytes, pause_s: float = 0.0, within_s: float = 5.0) -> bytes:
    """Send pieces of a request and return everything that comes back until the connection is closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=within_s) as sock:
        for piece in char_ngrams:
            sock.sendall(piece)
            time.sleep(pause_s)
        answer = b""
        while data := sock.recv(65536):
            answer += data
    return answer


def problem_in(answer: bytes, status: int) -> dict[str, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d" % status), answer[:200]
    assert b"application/problem+json" in head
    problem: dict[str, Any] = json.loads(body)
    assert problem["status"] == status and problem["request_id"]
    return problem


def test_slow_clients_are_shown_the_door(strict: Any) -> None:
    began = time.monotonic()
    assert talk(strict.port) == b""
    problem_in(talk(strict.port, b"GET /livez HTTP/1.1\r\nHost: a\r\n"), 408)
    head = (
        b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    )
    problem_in(talk(strict.port, head + b'{"text"'), 408)
    assert time.monotonic() - began < 4
    dripped = threading.Thread(target=drip, args=(strict.port,))
    dripped.start()
    assert httpx.get(f"{strict.url}/livez").status_code == 200
    dripped.join(10)


def drip(port: int) -> None:
    """Send a request byte by byte, until the connection is closed."""
    with pytest.raises(OSError):
        talk(port, *[b"x"] * 60, pause_s=0.05)


def test_a_connection_may_rest_between_requests(strict: Any) -> None:
    time.sleep(0.1)
    with httpx.Client(base_url=strict.url) as client:
        assert client.get("/livez").status_code == 200
        time.sleep(1.5)
        assert client.get("/livez").status_code == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET /livez HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", 431),
        (b"GET /livez HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: a\r\n" % n for n in range(5000)) + b"\r\n", 431),
        (b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"GET livez HTTP/1.1\r\n\r\n", 400),
        (b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n", 400),
    ],
)
def test_bytes_that_are_no_request(strict: Any, sent: bytes, status: int) -> None:
    problem_in(talk(strict.port, sent), status)


def test_a_hundred_megabytes_are_stopped_early(strict: Any) -> None:
    head = (
        b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 104857600\r\n\r\n"
    )
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", strict.port), timeout=5) as sock:
        sock.sendall(head + b" " * 65536)
        answer = b""
        while not answer.endswith(b"}") and (data := sock.recv(65536)):
            answer += data
        problem_in(answer, 413)
    assert time.monotonic() - began < 2


def test_cold_start_costs_little_beside_its_libraries(serve: Serve, make_bundle: Callable[..., Path]) -> None:
    with serve("--open-loopback", "--bundle", make_bundle(), ready="/readyz") as service:
        used = processor_seconds(service.process.pid)
    libraries = "import fastapi, numpy, onnxruntime, os, scipy.sparse, sklearn.linear_model; print(sum(os.times()[:2]))"
    alone = subprocess.run([sys.executable, "-P", "-c", libraries], capture_output=True, text=True, check=True).stdout
    assert used < 2.5 * float(alone)  # 1.2 times where nobody else computes


def test_who_looks_after_workers_loads_neither_the_service_nor_a_model() -> None:
    heavy = "{'fastapi', 'numpy', 'onnxruntime', 'sqlalchemy', 'uvicorn'}"
    code = f"import sys, api.cli.serve; print(sorted({heavy} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def processor_seconds(pid: int) -> float:
    """Return what a process and those of its children that have ended have used, of user and system."""
    used = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]
    return sum(map(int, used)) / os.sysconf("SC_CLK_TCK")
