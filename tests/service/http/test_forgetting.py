"""A ticket that the store forgets is forgotten by the processes too: its answer, its tokens and its beginning."""

from __future__ import annotations

import time
from pathlib import Path

from api.app import create_app
from api.settings import load_settings
from api.store.repository import open_repository
from models.language import _detect, detect_language
from models.screening import shipped_classifier

from ...conftest import wait_until
from ..local_client import TestClient

WORDS = "The printer in the office cannot print what I send it since this morning"


def test_what_another_process_forgets_is_forgotten_here(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, open_loopback=True, rules_only=True, poll_s=0.1)
    tokens = shipped_classifier().encoder.tokens
    app = create_app(settings)
    with TestClient(app) as client:
        assert client.post("/v1/predict", json={"id": "T-1", "body": WORDS}).status_code == 200
        time.sleep(0.5)  # some looks at the store, of which the first may empty everything
        cut, _ = tokens.ids(WORDS), detect_language(WORDS)
        time.sleep(0.5)
        memory = app.state.parts.service.memory
        assert client.post("/v1/predict", json={"id": "T-2", "body": WORDS}).status_code == 200 and len(memory) == 1
        assert tokens.ids(WORDS) is cut and _detect.cache_info().currsize
        assert open_repository(tmp_path).forget("T-1")
        wait_until(lambda: not _detect.cache_info().currsize and tokens.ids(WORDS) is not cut, within_s=10)
        assert not len(memory)
