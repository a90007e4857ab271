"""The console's lists, claims and figures over HTTP: filters that are refused by name, and counts that add up."""

from __future__ import annotations

import csv
import io
import re
from html import unescape
from pathlib import Path

import pytest

from api.app import create_app
from api.settings import load_settings

from ..local_client import TestClient

FIGURES = (
    *("funnel-tier", "funnel-category", "days", "reasons", "reliability", "drift", "rules", "agreement"),
    *("minutes", "models", "reasons-days"),
)


def decide(client: TestClient, name: str, body: str = "the printer prints blank pages") -> str:
    return str(client.post("/v1/predict", json={"id": name, "body": body}).json()["decision_id"])


def listed(client: TestClient, query: str) -> list[str]:
    return [row["ticket_id"] for row in client.get(f"/v1/decisions?{query}").json()["decisions"]]


def test_filters_narrow_the_list_and_unknown_ones_are_refused(client: TestClient) -> None:
    first = decide(client, "A")
    decide(client, "B", "I cannot sign in, my password is locked")
    assert listed(client, "view=waiting&sort=urgent") == ["A", "B"] and listed(client, "q=password") == ["B"]
    said = {"verdict": "corrected", "tier": "L3", "agent": "ana"}
    assert client.post(f"/v1/decisions/{first}/feedback", json=said).status_code == 200
    assert listed(client, "tier=L3") == ["A"] == listed(client, "reviewed=true") == listed(client, "view=corrected")
    assert listed(client, "view=waiting") == ["B"] == listed(client, "reviewed=false") == listed(client, "open=true")
    assert listed(client, "open=true&reviewed=true") == [] and listed(client, "open=true&reviewed=false") == ["B"]
    for wrong in ("nonsense=1", "view=nothing", "sort=best", "limit=0", "reviewed=perhaps"):
        assert client.get(f"/v1/decisions?{wrong}").status_code == 422


@pytest.mark.parametrize(
    "asked", ["", "sort=oldest", "tier=L2", "view=all&q=password", "category=access&view=suggested"]
)
def test_each_count_of_the_queue_is_that_of_the_list_which_it_opens(client: TestClient, asked: str) -> None:
    first = decide(client, "A")
    for name, text in (("B", "I cannot sign in, my password is locked"), ("C", "The VPN drops, nobody can work")):
        decide(client, name, text)
    said = {"verdict": "corrected", "tier": "L3", "agent": "ana"}
    assert client.post(f"/v1/decisions/{first}/feedback", json=said).status_code == 200
    page = client.get(f"/?{asked}", headers={"Accept": "text/html"}).text
    counted = re.findall(
        r'<a id="(?:view|facet)-[^>]*href="([^"]+)"[^>]*><span>[^<]*</span><span class="count">(\d+)', page
    )
    counted += re.findall(r'<a class="pill alarm" href="([^"]+)">(\d+) must not wait', page)
    assert len(counted) > 2
    for place, count in counted:
        opened = client.get(unescape(place), headers={"Accept": "text/html"}).text
        assert opened.count('class="open"') == int(count), place


def test_a_facet_that_is_chosen_is_left_by_choosing_it_again(client: TestClient) -> None:
    decide(client, "A")
    tier = client.get("/v1/decisions").json()["decisions"][0]["tier"]
    page = client.get(f"/?tier={tier}&sort=oldest", headers={"Accept": "text/html"}).text
    [left] = re.findall(rf'<a id="facet-tier-{tier}" href="([^"]+)" aria-current="true"', page)
    assert left == "/?sort=oldest"


def test_a_page_after_no_decision_is_refused(client: TestClient) -> None:
    decide(client, "A")
    for path in ("/v1/decisions?before=x", "/v1/decisions?view=waiting&sort=urgent&before=x"):
        refused = client.get(path)
        assert (refused.status_code, refused.json()["code"]) == (422, "no-such-place")
    page = client.get("/?before=x", headers={"Accept": "text/html"})
    assert page.status_code == 422 and "Nobody waits" not in page.text


def test_a_ticket_of_html_without_a_subject_is_called_by_its_words(client: TestClient) -> None:
    client.post("/v1/predict", json={"id": "P", "subject": "", "body": "<p>The printer <b>jams</b></p>"})
    client.post("/v1/predict", json={"id": "S", "subject": "Jams", "body": "<p>The <i>other</i> one too</p>"})
    page = client.get("/?view=all", headers={"Accept": "text/html"}).text
    assert "<bdi>The printer jams</bdi>" in page and ">The other one too</bdi>" in page and "&lt;p&gt;" not in page


def test_a_key_finds_what_it_took_for_somebody(client: TestClient) -> None:
    assert client.post(f"/v1/decisions/{decide(client, 'A')}/claim?agent=kim").status_code == 204
    decide(client, "B")
    found = {one: listed(client, f"view=mine{one}") for one in ("", "&agent=kim", "&agent=ana")}
    assert found == {"": [], "&agent=kim": ["A"], "&agent=ana": []}


def test_a_name_of_blanks_and_two_labels_of_one_target_are_refused(client: TestClient) -> None:
    decision = decide(client, "A")
    place, said = f"/v1/decisions/{decision}/feedback", {"verdict": "corrected", "tier": "L2", "agent": "kim"}
    blank = client.post(place, json={**said, "agent": " \u00a0"})
    assert blank.status_code == 422 and "agent holds nothing to read" in blank.json()["detail"]
    two = client.post(place, json={**said, "targets": {"tier": "L3"}})
    assert (two.status_code, two.json()["code"]) == (422, "two-labels") and "tier" in two.json()["detail"]
    for path in (f"/v1/decisions/{decision}/claim", "/v1/decisions?view=mine"):
        method = "POST" if path.endswith("claim") else "GET"
        assert client.request(method, path, params={"agent": "  "}).status_code == 422
    kept = client.post(place, json={**said, "targets": {"tier": "L2"}})
    assert kept.status_code == 200
    assert client.delete(f"{place}/{kept.json()['feedback_id']}", params={"agent": " "}).status_code == 422


def test_a_ticket_is_taken_by_one_person_at_a_time(client: TestClient) -> None:
    place = f"/v1/decisions/{decide(client, 'A')}/claim"
    assert client.post(f"{place}?agent=ana").status_code == 204
    taken = client.post(f"{place}?agent=ben")
    assert taken.status_code == 409 and "ana has taken" in taken.json()["detail"]
    assert client.delete(f"{place}?agent=ben").status_code == 409
    assert client.delete(f"{place}?agent=ana").status_code == 204
    assert client.post(f"{place}?agent=ben").status_code == 204
    assert client.post("/v1/decisions/nothing/claim?agent=ana").status_code == 404


def test_every_figure_has_a_csv_file_and_the_funnel_counts_all(client: TestClient) -> None:
    for number in range(5):
        decide(client, f"T-{number}")
    page = client.get("/overview").text
    for name in (
        "funnel-tier",
        "funnel-category",
        "days",
        "reasons",
        "reliability",
        "drift",
        "rules",
        "agreement",
        "minutes",
        "models",
        "reasons-days",
    ):
        answer = client.get(f"/overview/{name}.csv")
        assert answer.status_code == 200 and f"/overview/{name}.csv" in page
    rows = list(csv.DictReader(io.StringIO(client.get("/overview/funnel-tier.csv").text)))
    assert sum(int(row["received"]) for row in rows) == 5
    assert client.get("/overview/nothing.csv").status_code == 404


FORMULA = '=HYPERLINK("https://evil.example";"see")'
ODD_POLICY = f"""
[[tiers]]
label = "L1"

[[categories]]
label = '{FORMULA}'
"""
ODD_RULES = f"""
[[rule]]
name = "+1"
kind = "fallback"
tier = "L1"
category = '{FORMULA}'
"""


def test_no_cell_of_a_figures_file_begins_like_a_formula(tmp_path: Path) -> None:
    for name, text in (("policy", ODD_POLICY), ("rules", ODD_RULES)):
        (tmp_path / f"{name}.toml").write_text(text)
    files = {name: tmp_path / f"{name}.toml" for name in ("policy", "rules")}
    settings = load_settings(home=tmp_path / "home", open_loopback=True, rules_only=True, **files)
    with TestClient(create_app(settings)) as client:
        decide(client, "A")
        shown = {name: client.get(f"/overview/{name}.csv").text for name in ("funnel-category", "rules")}
    cells = {name: [cell for row in csv.reader(io.StringIO(text)) for cell in row] for name, text in shown.items()}
    assert f"'{FORMULA}" in cells["funnel-category"] and "'+1" in cells["rules"]
    assert not {FORMULA, "+1"} & {*cells["funnel-category"], *cells["rules"]}


def test_a_file_of_the_pages_is_sent_once_and_anew_only_where_it_has_changed(client: TestClient) -> None:
    first = client.get("/static/htmx.min.js")
    etag = first.headers["etag"]
    assert first.status_code == 200 and len(first.content) > 10_000 and first.headers["cache-control"] == "no-cache"
    for known in (etag, f"W/{etag}", f'"another", {etag}', "*"):
        again = client.get("/static/htmx.min.js", headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        assert again.headers["cache-control"] == "no-cache"
    for other in ('"another"', etag.strip('"'), client.get("/static/console.js").headers["etag"]):
        assert client.get("/static/htmx.min.js", headers={"If-None-Match": other}).content == first.content
    assert client.get("/static/nothing.js", headers={"If-None-Match": "*"}).status_code == 404


def test_what_is_tried_is_not_kept(client: TestClient) -> None:
    shown = client.post("/try/preview", data={"body": "the printer prints blank pages"})
    assert shown.status_code == 200 and "printing" in shown.text
    assert client.get("/v1/decisions").json()["decisions"] == []
