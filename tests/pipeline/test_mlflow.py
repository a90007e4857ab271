"""What MLflow's users expect of a run and of a registered model, and state that can be moved."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

from training.evaluation.compare import Check, Comparison
from training.registry.comparisons import publish_comparison
from training.registry.promote import Promotion
from training.registry.publish import flat_metrics
from training.registry.tracker import Opening, Run, Tracker
from triage.errors import TrackingUnavailable

from ..conftest import free_port, wait_until
from .conftest import Triage, shipped_rows, write_rows

pytestmark = pytest.mark.slow
MODEL = "models:/helpdesk-triage@champion"
MLFLOW = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[Path]:
    """A home whose champion is the bundle; everything in it was made by two processes that began at once."""
    home = tmp_path_factory.mktemp("mlflow") / "home"
    home.mkdir()
    command = [sys.executable, "-P", "-m", "triage", "register", str(bundle), "--json"]
    environment = {**os.environ, "TRIAGE_HOME": str(home)}
    both = [subprocess.Popen(command, env=environment, stdout=-1, stderr=-1, text=True) for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        assert json.loads(out)["version"] in ("1", "2")
    command[4:] = ["promote"]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    yield home


@pytest.fixture
def there(registered: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRIAGE_HOME", str(registered))
    return registered


def python(home: Path, code: str, *more: str) -> str:
    """Run a script as somebody who knows MLflow and nothing of this project would."""
    environment = {**os.environ, **MLFLOW, "MLFLOW_TRACKING_URI": f"sqlite:///{home / 'mlflow.db'}"}
    environment |= {"PYTHONPATH": os.pathsep.join(more)} if more else {}
    done = subprocess.run([sys.executable, "-P", "-W", "ignore", "-c", code], env=environment, capture_output=True,
                          text=True, cwd=home)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_a_run_says_what_it_did(there: Path, triage: Triage) -> None:
    run_id = triage("models", "--json").document["versions"][0]["run_id"]
    run = Tracker()._client.get_run(run_id)
    assert run.info.status == "FINISHED" and run.info.end_time > run.info.start_time
    assert {"settings.target_risk", "settings.policy", "encoder", "stage", "tier.labels"} <= set(run.data.params)
    assert any(name.startswith("tier/label/") and name.endswith("/recall") for name in run.data.metrics)
    (data,) = run.inputs.dataset_inputs
    assert data.dataset.digest and json.loads(data.dataset.profile)["num_rows"] == 300
    assert run.data.tags["triage.verb"] == "register" and "Model card" in run.data.tags["mlflow.note.content"]
    version = Tracker()._client.get_model_version("helpdesk-triage", "1")
    assert version.description.startswith("# Model card") and len(version.description) <= 5000


def test_the_champion_loads_as_a_python_function_without_pickle(there: Path) -> None:
    code = f"""
import mlflow, pandas as pd
model = mlflow.pyfunc.load_model({MODEL!r})
said = model.predict(pd.DataFrame([dict(subject="VPN", body="VPN drops every ten minutes")] * 2))
print(said[["tier", "category", "automation"]].to_json(orient="records"))
assert model.metadata.signature is not None and model.input_example is not None
none = model.predict(pd.DataFrame(columns=["subject", "body"], dtype=str))
assert len(none) == 0 and list(none.columns) == list(said.columns)
for odd, asked in (({{"description": ["no column has a text"] * 2}}, "all"), ({{"body": ["vpn"]}}, "tierr")):
    try:
        mlflow.pyfunc.load_model({MODEL!r}, model_config=dict(answer=asked)).predict(pd.DataFrame(odd))
    except Exception as error:
        assert "body" in str(error) or "tier_top" in str(error), error
    else:
        raise AssertionError(odd)
print(said[["tier", "category", "automation"]].to_json(orient="records"))
"""
    rows = json.loads(python(there, code).splitlines()[-1])
    assert len(rows) == 2 and rows[0] == rows[1] and rows[0]["tier"]
    names = [path.suffix for path in (there / "artifacts").rglob("*") if path.is_file()]
    assert ".pkl" not in names and ".pickle" not in names


def test_a_version_asks_for_every_package_that_the_code_put_in_imports(there: Path) -> None:
    listed = next((there / "artifacts").rglob("requirements.txt"))
    asked = {line.partition("==")[0] for line in listed.read_text().splitlines()}
    code = "".join(path.read_text() for path in listed.parent.rglob("*.py"))
    homes = packages_distributions()
    imported = {name for name in re.findall(r"(?m)^ *(?:from|import) (\w+)", code) if name in homes}
    assert all(asked.intersection(homes[name]) for name in imported - {"models", "triage", "sentence_transformers"})
    assert {"usearch", "threadpoolctl", "mlflow"} <= asked and "sentence-transformers" not in asked


def test_mlflow_evaluates_the_champion(there: Path, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "later.jsonl", shipped_rows(120))
    code = f"""
import mlflow, pandas as pd
mlflow.set_experiment("helpdesk-triage")
data = pd.read_json({str(data)!r}, lines=True)[["subject", "body", "tier"]]
found = mlflow.models.evaluate({MODEL!r}, data, targets="tier", model_type="classifier",
                               model_config=dict(answer="tier_top"), evaluator_config=dict(log_explainer=False))
print(found.metrics["accuracy_score"])
"""
    assert 0.5 < float(python(there, code).splitlines()[-1]) <= 1


def test_mlflow_serves_the_champion(there: Path) -> None:
    port = free_port()
    environment = {**os.environ, **MLFLOW, "MLFLOW_TRACKING_URI": f"sqlite:///{there / 'mlflow.db'}"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # where MLflow looks for uvicorn
    command = [sys.executable, "-P", "-m", "mlflow", "models", "serve", "-m", MODEL, "--env-manager", "local"]
    log = (there / "serve.log").open("w")
    process = subprocess.Popen([*command, "-p", str(port)], env=environment, stdout=log, stderr=log)
    try:
        document = {"dataframe_records": [{"subject": "VPN", "body": "VPN drops every ten minutes"}]}
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", json.dumps(document).encode(), {"Content-Type": "application/json"}
        )
        answer = _answered(request, process, there / "serve.log")
        assert answer["predictions"][0]["tier"]
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def _answered(request: urllib.request.Request, process: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    began = time.monotonic()
    while time.monotonic() - began < 120 and process.poll() is None:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return dict(json.load(answer))
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"mlflow models serve did not answer: {log.read_text()[-2000:]}")


@pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java")
def test_spark_scores_with_the_champion(there: Path) -> None:
    pytest.importorskip("pyspark", reason="Spark is not installed")
    code = f"""
import os, sys
import mlflow
os.environ["PYSPARK_PYTHON"] = sys.executable  # else its workers take the first python3 of the path
from pyspark.sql import SparkSession
from pyspark.sql.functions import struct
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
udf = mlflow.pyfunc.spark_udf(spark, {MODEL!r}, env_manager="local")
rows = spark.createDataFrame([("VPN", "VPN drops every ten minutes")], ["subject", "body"])
print(rows.select(udf(struct("subject", "body")).alias("d")).select("d.tier").collect()[0][0])
spark.stop()
"""
    assert python(there, code, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))).split()[-1][:1] == "L"


def test_a_home_can_be_moved(registered: Path, triage: Triage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(registered, tmp_path / "moved")
    shutil.rmtree(tmp_path / "moved" / "models")
    monkeypatch.setenv("TRIAGE_HOME", str(tmp_path / "moved"))
    client = Tracker()._client
    assert all(str(registered) not in client.get_run(run.info.run_id).info.artifact_uri for run in client.search_runs(
        [client.get_experiment_by_name("helpdesk-triage").experiment_id]))  # fmt: skip
    pulled = triage("pull", "helpdesk-triage@champion", "--json")
    assert pulled.status == 0 and pulled.document["changed"], pulled.err
    monkeypatch.setenv("TRIAGE_HOME", str(registered))
    assert str(registered) in client_location(Tracker())


def client_location(tracker: Tracker) -> str:
    return str(tracker._client.get_experiment_by_name("helpdesk-triage").artifact_location)


ODD_LABELS = ("a//b", "/x", "y/", ".", "..", "and/or", "Hardware / Dock", "../../etc", "C://", "l" * 120, "<L1>")


def test_labels_may_hold_what_no_path_of_a_metric_may(there: Path) -> None:
    per_class = [{"label": label, "rows": 3, "recall": 0.5} for label in ODD_LABELS]
    found = flat_metrics({"rows": 33, "route": {}, "targets": {"tier": {"baselines": {}, "per_class": per_class}}})
    found |= {f"category {'m/' * 300}: recall/low": 0.1}
    tracker = Tracker()
    with tracker.running(Opening("odd labels", "train")) as run_id:
        tracker.log(run_id, Run({}, found, {}, ()))
    logged = tracker._client.get_run(run_id).data.metrics
    assert len(logged) == len(found) and {"tier/label/and_or/recall", "tier/label/__/recall"} <= set(logged)
    many = [
        Check(f"category {label}: recall", 0.5, 0.5, low=0.0, high=0.0, passed=True, rule="") for label in ODD_LABELS
    ]
    result = Promotion("1", "1", Comparison(60, tuple(many)), promoted=False)
    publish_comparison(tracker, result, "helpdesk-triage", run_id)


def test_what_the_tracker_does_not_take_is_not_told_as_a_tracker_that_is_away(there: Path) -> None:
    with pytest.raises(TrackingUnavailable, match="answers, and does not take what it is given") as told:
        Tracker().point("helpdesk-triage", "no/such alias!", "1")
    assert "MLFLOW_TRACKING_URI" not in str(told.value)


def test_a_run_that_failed_is_kept_and_one_without_rows_logs_no_zero(
    triage: Triage, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIAGE_HOME", str(tmp_path / "home"))
    data = write_rows(tmp_path / "bad.jsonl", [{"text": f"t {n}", "tier": "L1"} for n in range(40)])
    assert triage("train", data, "--encoder", encoder, "--out", tmp_path / "bad").status == 2
    started = triage("start", "--encoder", encoder, "--out", tmp_path / "s", "--json").document
    client = Tracker()._client
    runs = client.search_runs([client.get_experiment_by_name("helpdesk-triage").experiment_id])
    assert sorted(run.info.status for run in runs) == ["FAILED", "FINISHED"]
    failed = next(run for run in runs if run.info.status == "FAILED")
    assert "InvalidDataset" in failed.data.tags["triage.error"]
    assert failed.data.tags["triage.files"] == str(data)
    assert client.get_run(started["run_id"]).data.metrics == {"rows": 0.0}


@pytest.mark.parametrize(
    ("number", "status", "said"), [(signal.SIGTERM, 143, "ended by"), (signal.SIGINT, 2, "interru")]
)
def test_a_training_that_is_told_to_end_closes_its_run(
    registered: Path, tickets: Path, encoder: Path, tmp_path: Path, number: int, status: int, said: str
) -> None:
    home = shutil.copytree(registered, tmp_path / "home")
    (tmp_path / "tmp").mkdir()
    environment = {**os.environ, "TRIAGE_HOME": str(home), "TMPDIR": str(tmp_path / "tmp")}
    command = ["train", str(tickets), "--encoder", str(encoder), "--out", str(tmp_path / "out")]
    with closing(sqlite3.connect(home / "mlflow.db")) as database:

        def statuses() -> list[str]:
            return [row[0] for row in database.execute("SELECT status FROM runs ORDER BY start_time")]

        before = statuses()
        with subprocess.Popen(
            [sys.executable, "-P", "-m", "triage", *command], env=environment, stderr=subprocess.PIPE, text=True
        ) as training:
            wait_until(lambda: len(statuses()) > len(before) or training.poll() is not None, 120)
            training.send_signal(number)
            _, err = training.communicate(timeout=120)
        assert training.returncode == status, err
        assert statuses() == [*before, "KILLED"]
    [line] = [line for line in err.splitlines() if line.startswith("triage train: ")]
    assert said in line and "Traceback" not in err
    left = [one.name for one in (tmp_path / "tmp").iterdir() if one.name != ".ses"]  # onnxruntime's own, of any run
    assert not left and not (tmp_path / "out").exists()
