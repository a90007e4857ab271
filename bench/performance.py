"""The service beside what one would build instead, in one run; `make bench`, or `python bench/performance.py`.

Every server is started as often as there are repetitions, and stays up the last time; then each repetition goes round
all of them, so that whatever else the machine does falls on all alike. What counts are the ratios within a repetition.
Peers are in `bench/peers`, in an environment of their own that is made on the first run. The bundle is trained on two
thirds of the tickets, and the servers are asked about the rest, which it has not seen. Writes docs/performance.md and
its plots.

    python bench/performance.py [--texts FILE] [--policy learn] [--repetitions 5] [--seconds 3] [--workers 1]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from performance_page import (
    CLIENTS,
    FULL_SCORE,
    NAMES,
    OWN_GRAPH,
    SCORE,
    TRACED,
    Measured,
    Peer,
    spread,
    write_page,
)
from wire import Answer, Client, children, free_port

from models.encoder import OnnxEncoder, SentenceTransformerEncoder
from training.data.dataset import read_dataset
from training.data.labelled_ticket import LabelledTicket
from training.encoders.onnx_export import DEFAULT_ENCODER, export, exported_encoder, resolve_encoder
from training.engines.processes import InProcesses
from triage.ticket import Ticket

ROOT = Path(__file__).parents[1]
PEERS = ROOT / "bench" / "peers"
ENVIRONMENT = ROOT / ".peers"
FITTED = 1200
"""Rows that the peers' heads are fitted on: what they answer is not judged here, only how fast."""
OWN = ("triage", "triage_client", "models", "training", "api")
"""Packages of this project, which an editable installation does not count as files of its own."""
RAW_TEXTS = 150
"""Texts that each setting of the raw loop gets in a repetition."""
SCORED_TEXTS = 1280
"""The same for `triage score`: enough that it starts a process for each core."""
# ── Processes ────────────────────────────────────────────────────────────────────────────────────────────────────────


def family(pid: int) -> list[int]:
    """Return a process and all that come from it."""
    return [pid, *itertools.chain.from_iterable(family(child) for child in children(pid))]


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process and those that come from it and still live."""
    total = 0
    for one in family(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    """Return the memory of a process and its family: pages that several share count once (PSS)."""
    total = 0
    for one in family(pid):
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return total / 1024


@contextmanager
def started(peer: Peer, room: Path, texts: Iterator[str]) -> Iterator[None]:
    """Run a peer until the block is left, and note how long it took to its first answer of 200."""
    peer.port = free_port()
    log = room / f"{peer.key}.log"
    command = [part.replace("PORT", str(peer.port)) for part in peer.command]
    began = time.monotonic()
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, env=os.environ | peer.environment, stdout=sink, stderr=sink, cwd=PEERS, start_new_session=True
        )
    peer.pid = process.pid
    try:
        while not asyncio.run(_answers(peer, next(texts))):
            if process.poll() is not None or time.monotonic() - began > 240:
                raise SystemExit(f"{NAMES[peer.key]} did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.05)
        peer.starts_s.append(time.monotonic() - began)
        yield
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)


async def _answers(peer: Peer, text: str) -> bool:
    client = Client(peer.port)
    try:
        return (await client.request("POST", peer.path, peer.body(text), timeout_s=60)).status == 200
    except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError):
        return False
    finally:
        client.close()


# ── Load ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def closed_loop(peer: Peer, clients: int, seconds: float, texts: Iterator[str]) -> list[Answer]:
    """Let patient clients ask one ticket after another."""
    until = time.monotonic() + seconds

    async def ask() -> list[Answer]:
        client, answers = Client(peer.port), []
        while time.monotonic() < until:
            answers.append(await client.request("POST", peer.path, peer.body(next(texts))))
        client.close()
        return answers

    return list(itertools.chain.from_iterable(await asyncio.gather(*(ask() for _ in range(clients)))))


async def open_loop(peer: Peer, rate: float, seconds: float, texts: Iterator[str]) -> list[Answer]:
    """Send tickets at a rate, whether the last was answered or not; a time counts from when a ticket was due."""
    idle: list[Client] = []
    answers: list[Answer] = []
    began = time.monotonic()

    async def ask(due: float) -> None:
        client = idle.pop() if idle else Client(peer.port)
        answer = await client.request("POST", peer.path, peer.body(next(texts)))
        answer.seconds = time.monotonic() - due
        answers.append(answer)
        idle.append(client)

    tasks = []
    for count in range(int(rate * seconds)):
        due = began + count / rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        tasks.append(asyncio.create_task(ask(due)))
    await asyncio.gather(*tasks)
    for client in idle:
        client.close()
    return answers


def measure(peer: Peer, level: str, seconds: float, rate: float, texts: Iterator[str]) -> None:
    """Put one level of load on a peer, and add what was seen."""
    cpu, began = cpu_seconds(peer.pid), time.monotonic()
    if level == "open":
        answers = asyncio.run(open_loop(peer, rate, seconds, texts))
    else:
        answers = asyncio.run(closed_loop(peer, int(level), seconds, texts))
    found = Measured(time.monotonic() - began, answers)
    peer.levels.setdefault(level, []).append(found)
    peer.cpu_s += cpu_seconds(peer.pid) - cpu
    peer.tickets += len(found.good)
    peer.memory_mb.append(memory_mb(peer.pid))


# ── What is measured beside the servers ──────────────────────────────────────────────────────────────────────────────


def raw_settings(room: Path, batch_sizes: Sequence[int] = (1, 32)) -> dict[str, Any]:
    """Return the settings of the raw encoder loop by name: functions from texts to vectors."""
    torch_encoder = SentenceTransformerEncoder(resolve_encoder(DEFAULT_ENCODER), device="cpu")
    (room / "traced").mkdir()
    export(DEFAULT_ENCODER, torch_encoder, room / "traced", fused=False)
    traced, own = OnnxEncoder(room / "traced"), OnnxEncoder(exported_encoder(DEFAULT_ENCODER))
    model = torch_encoder.model
    settings: dict[str, Any] = {
        f"SentenceTransformer, batches of {size}": (
            lambda texts, size=size: model.encode(texts, batch_size=size, show_progress_bar=False)
        )
        for size in batch_sizes
    }
    return settings | {TRACED: traced.encode, OWN_GRAPH: own.encode}


def rate_of(call: Any, texts: list[str]) -> float:
    began = time.monotonic()
    call(texts)
    return len(texts) / (time.monotonic() - began)


class Scorer:
    """`triage score` without what it takes to start: as many processes as it would have for a long file."""

    def __init__(self, bundle: Path, texts: Iterator[str], *, cascade: bool = True) -> None:
        self._engine = InProcesses(bundle, cascade)
        self(list(itertools.islice(texts, SCORED_TEXTS)))

    def __call__(self, texts: list[str]) -> None:
        tickets = [Ticket(body=text) for text in texts]
        for _ in self._engine.rows(tickets[start : start + 128] for start in range(0, len(tickets), 128)):
            pass


def parts(rows: Sequence[LabelledTicket]) -> tuple[list[LabelledTicket], list[LabelledTicket]]:
    """Return two thirds of the tickets to learn from, and a third to ask about."""
    drawn = random.Random(1).sample(rows, len(rows))
    return drawn[: 2 * len(rows) // 3], drawn[2 * len(rows) // 3 :]


def instructions() -> str:
    """Say whether the processor multiplies eight bits by an instruction of its own, as Linux lists it."""
    listed = Path("/proc/cpuinfo")
    flags = listed.read_text().split() if listed.is_file() else []
    return "with VNNI" if {"avx512_vnni", "avx_vnni"} & set(flags) else "without VNNI"


def as_read(row: LabelledTicket) -> dict[str, Any]:
    """Return a ticket as a file holds it."""
    ticket = row.ticket
    return {"id": ticket.id, "subject": ticket.subject, "body": ticket.body, "group": row.group, **row.labels}


def fresh_texts(rows: list[LabelledTicket]) -> Iterator[str]:
    """Yield texts in an order that is drawn; from the second round on each has a number, so that none comes twice."""
    texts = [row.ticket.text for row in rows if row.ticket.text.strip()]
    random.Random(0).shuffle(texts)
    for turn in itertools.count():
        yield from (text if not turn else f"{text}\nReference {turn}" for text in texts)


# ── Peers ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def make_environment() -> Path:
    """Return the Python of the peers, made on the first run (about 2 GB)."""
    python = ENVIRONMENT / "bin" / "python"
    stamp = ENVIRONMENT / ".made"
    wanted = (PEERS / "requirements.txt").read_text()
    if not stamp.is_file() or stamp.read_text() != wanted:
        print("· making the peers' environment in .peers (once, some minutes)", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "-r", str(PEERS / "requirements.txt")], check=True)
        stamp.write_text(wanted)
    return python


def peers(room: Path, rows: list[LabelledTicket], bundle: Path, workers: int) -> list[Peer]:
    """Fit what the peers serve, and return the service and them."""
    python = make_environment()
    heads = room / "heads"
    heads.mkdir()
    labelled = [{"text": row.ticket.text, "labels": dict(row.labels)} for row in rows[:FITTED]]
    (room / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in labelled))
    environment = {
        "PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}",  # mlflow calls uvicorn by its bare name
        "PEER_ENCODER": resolve_encoder(DEFAULT_ENCODER),
        "PEER_HEADS": str(heads),
        "PEER_WORKERS": str(workers),
        "PYTHONPATH": str(PEERS),
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": str(room / "bento"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_TRACKING_URI": f"sqlite:///{room}/mlflow.db",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    for script, argument in (
        ("fit.py", [str(room / "rows.jsonl"), str(heads)]),
        ("mlflow_model.py", [str(room / "m")]),
    ):
        subprocess.run(
            [str(python), str(PEERS / script), *argument], env=os.environ | environment, check=True, cwd=room
        )
    programs = python.parent
    count, uvicorn = str(workers), [str(programs / "uvicorn"), "--host", "127.0.0.1", "--port", "PORT"]
    served = [sys.executable, "-P", "-m", "triage", "serve", "--open-loopback", "--port", "PORT", "--workers", count]
    quiet = ["--log-level", "warning", "--workers", count]
    home = {"TRIAGE_HOME": str(room / "home"), "TRIAGE_LOG_LEVEL": "warning", "PYTHONPATH": str(ROOT)}
    mlflow = [str(programs / "mlflow"), "models", "serve", "-m", str(room / "m"), "--env-manager", "local"]
    bento = [str(programs / "bentoml"), "serve", "bento_service:Tickets", "--host", "127.0.0.1", "--port", "PORT"]
    fitted = ["scikit-learn", "skops"]
    return [
        Peer("service", "/v1/predict", [*served, "--bundle", str(bundle)], home, ["helpdesk-triage"], "/readyz"),
        Peer("a", "/predict", [*uvicorn, *quiet, "plain_fastapi:app"], environment,
             ["fastapi", "uvicorn", "sentence-transformers", *fitted]),
        Peer("b", "/invocations", [*mlflow, "-h", "127.0.0.1", "-p", "PORT", "-w", count], environment,
             ["mlflow", "sentence-transformers", *fitted]),
        Peer("c", "/predict", bento, environment, ["bentoml", "sentence-transformers", *fitted]),
        Peer("e", "/predict", [*uvicorn, *quiet, "words_fastapi:app"], environment, ["fastapi", "uvicorn", *fitted]),
    ]  # fmt: skip


def install_mb(peer: Peer, bundle: Path) -> float:
    """Return what must be on the disk of a server, in MB: packages, and the encoder or the bundle."""
    python = sys.executable if peer.key == "service" else str(ENVIRONMENT / "bin" / "python")
    done = subprocess.run(
        [python, str(PEERS / "install_size.py"), *peer.packages], capture_output=True, text=True, check=True
    )
    own = itertools.chain.from_iterable((ROOT / name).rglob("*") for name in OWN if peer.key == "service")
    with_it = {"service": bundle, "e": None}.get(peer.key, Path(resolve_encoder(DEFAULT_ENCODER)))
    beside = [] if with_it is None else with_it.rglob("*")
    files = [path for path in (*own, *beside) if path.is_file() and path.suffix != ".pyc"]
    return float(done.stdout) + sum(path.stat().st_size for path in files) / 1e6


def trained(room: Path, rows: Sequence[LabelledTicket], bundle: Path, policy: str | None) -> Path:
    """Train the bundle that is served, and return where it is."""
    (room / "learned.jsonl").write_text("".join(json.dumps(as_read(row)) + "\n" for row in rows))
    train = [sys.executable, "-P", "-m", "triage", "train", str(room / "learned.jsonl"), "--no-register"]
    options = [] if policy is None else ["--policy", policy]
    subprocess.run([*train, *options, "--out", str(bundle)], check=True, stdout=subprocess.DEVNULL)
    return bundle


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--texts", type=Path, default=ROOT / "datasets" / "tickets.jsonl", help="labelled tickets")
    parser.add_argument("--policy", help="as `triage train` takes it")
    parser.add_argument("--bundle", type=Path, help="bundle trained by an earlier run with --keep")
    parser.add_argument("--keep", type=Path, help="where the bundle is to stay")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3, help="of each load, repetition and server")
    parser.add_argument("--rate", type=float, default=20, help="tickets a second of the open loop")
    parser.add_argument("--workers", type=int, default=1, help="processes of each server")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "performance.md")
    parser.add_argument("--describe", default="the tickets that come with the project", help="what --texts holds")
    chosen = parser.parse_args()
    began = time.monotonic()
    rows = list(read_dataset([chosen.texts], {}, skip_bad_rows=True).rows)
    room = Path(tempfile.mkdtemp(prefix="triage-performance-"))
    try:
        learned, rows = parts(rows)
        bundle = chosen.bundle or trained(room, learned, chosen.keep or room / "bundle", chosen.policy)
        (room / "home").mkdir()
        found, texts, loops = peers(room, learned, bundle, chosen.workers), fresh_texts(rows), raw_settings(room)
        loops[SCORE] = Scorer(bundle, texts)
        loops[FULL_SCORE] = Scorer(bundle, texts, cascade=False)
        seen: dict[str, list[float]] = {name: [] for name in loops}
        for _, peer in itertools.product(range(chosen.repetitions - 1), found):
            with started(peer, room, texts):
                pass
        with ExitStack() as stack:
            for peer in found:
                stack.enter_context(started(peer, room, texts))
                print(f"· {NAMES[peer.key]}: first answer after {spread(peer.starts_s, 1)} s", flush=True)
                asyncio.run(closed_loop(peer, CLIENTS[1], 1.0, texts))
            for repetition in range(chosen.repetitions):
                for level in (*map(str, CLIENTS), "open"):
                    for peer in found:
                        measure(peer, level, chosen.seconds, chosen.rate, texts)
                for name, call in loops.items():
                    count = SCORED_TEXTS if name in (SCORE, FULL_SCORE) else RAW_TEXTS
                    seen[name].append(rate_of(call, list(itertools.islice(texts, count))))
                print(f"· repetition {repetition + 1} after {time.monotonic() - began:.0f} s", flush=True)
        words = sorted(len(row.ticket.text.split()) for row in rows)
        about = {
            "what": f"The texts are {chosen.describe}: {len(rows):,}, of {words[len(words) // 2]} words in the median "
            f"and {words[int(0.99 * len(words))]} in the longest of a hundred.",
            "machine": f"{os.cpu_count()} cores {instructions()}, load average {os.getloadavg()[1]:.1f} during the run",
            "repetitions": str(chosen.repetitions),
            "rate": f"{chosen.rate:g}",
            "workers": f"{chosen.workers} process" if chosen.workers == 1 else f"{chosen.workers} processes",
            "fitted": f"{FITTED:,}",
        }
        for peer in found:
            peer.disk_mb = install_mb(peer, bundle)
        write_page(chosen.out, found, seen, about)
        print(f"· {chosen.out.name} is written, after {time.monotonic() - began:.0f} s")
    finally:
        shutil.rmtree(room, ignore_errors=True)


if __name__ == "__main__":
    main()
