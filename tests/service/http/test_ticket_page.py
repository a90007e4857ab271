"""The page of a ticket over HTTP: what goes with it, whether it moves, what was answered, and where that led."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

import pytest

from api.app import create_app
from api.settings import load_settings
from models.toml_files import dump_policy
from triage.defaults import default_policy
from triage.errors import StoreUnavailable
from triage.ticket import Ticket

from ..local_client import TestClient

VPN = "The VPN drops every ten minutes since Monday, it says 'no route to host'. Restarted twice."
OTHER_LABELS = """tiers = [{label = "front"}, {label = "back"}]
categories = [{label = "GRP_1"}, {label = "GRP_2"}]
groups = [{name = "team", tier = "back"}]"""
VPN_TO_L3 = """
rule = [{name = "vpn", kind = "bypass", any = ['vpn'], tier = "L3"}, {name = "rest", kind = "fallback", tier = "L1"}]
"""
VAGUE = "It does not work as it should since Monday, please help me with it soon."


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    home = tmp_path_factory.mktemp("page")
    settings = load_settings(home=home, open_loopback=True, rules_only=True, request_deadline_s=20)
    with TestClient(create_app(settings)) as client:
        client.headers["Accept"] = "text/html"
        yield client


def decide(client: TestClient, name: str, body: str = VPN) -> str:
    answer = client.post("/v1/predict", json={"id": name, "subject": name, "body": body})
    return str(answer.json()["decision_id"])


def words(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def shown(client: TestClient, decision: str) -> str:
    page = client.get(f"/decisions/{decision}")
    assert page.status_code == 200
    return page.text


def test_the_packet_is_filled_and_every_criterion_is_scored(client: TestClient) -> None:
    page = shown(client, decide(client, "FULL"))
    said = words(page)
    assert "Stay or move?" in said and "Where it belongs" in said and "Attempts" in said
    assert page.count('class="mark"') == 8
    packet = re.search(r'id="packet-text"[^>]*>(.*?)</pre>', page, re.DOTALL)
    assert packet and "since Monday" in unescape(packet[1]) and "MISSING" in packet[1] and "data-copies" in page


def test_answers_are_kept_once_and_stand_in_the_timeline(client: TestClient) -> None:
    decision = decide(client, "ANSWER", VAGUE)
    page = shown(client, decision)
    questions = re.findall(r'name="question" value="([^"]+)"', page)
    event = re.search(r'name="event_id" value="([^"]+)"', page)
    assert questions and event
    assert page.index('name="accept"') < page.index('name="answer"')  # by Tab alone the decision comes first
    told = {
        "question": [unescape(one) for one in questions],
        "answer": ["the vpn drops", *[""] * (len(questions) - 1)],
        "event_id": event[1],
    }
    for _ in range(2):
        kept = client.post(f"/decisions/{decision}/answers", data=told, follow_redirects=False)
        assert kept.status_code in (303, 409), words(kept.text)
    timeline = client.get("/v1/tickets/ANSWER").json()["timeline"]
    assert [one["what"] for one in timeline].count("answer") == 1
    said = words(shown(client, decision))
    assert "The requester answered" in said and "With everything written since" in said
    nothing = client.post(f"/decisions/{decision}/answers", data={**told, "answer": [""] * len(questions)})
    assert nothing.status_code == 409 and "Nothing was answered" in nothing.text


def test_each_decision_of_a_ticket_stands_in_the_timeline_when_it_was_made(client: TestClient) -> None:
    first = decide(client, "TWICE")
    second = decide(client, "TWICE", f"{VPN} It does so in Leeds too.")
    for decision, order in ((first, ["Decided by", "Another decision"]), (second, ["Another decision", "Decided by"])):
        timeline = shown(client, decision).partition('id="timeline-title"')[2]
        entries = re.findall(
            r'<li><time class="quiet" datetime="([^"]+)">.*?(Decided by|Another decision)', timeline, re.DOTALL
        )
        assert [what for _, what in entries] == order and entries[0][0] < entries[1][0]


def test_an_event_of_a_clock_that_is_ahead_does_not_keep_an_agent_off(client: TestClient) -> None:
    decision = decide(client, "AHEAD", VAGUE)
    ahead = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    comment = {"id": "e", "kind": "comment", "text": "please", "at": ahead}
    assert client.post("/v1/tickets/AHEAD/events", json=comment).status_code == 200
    told = {"question": ["Which application?"], "answer": ["the vpn"]}
    assert client.post(f"/decisions/{decision}/answers", data=told, follow_redirects=False).status_code == 303
    moved = client.post(f"/decisions/{decision}/move", data={"tier": "L2"}, follow_redirects=False)
    assert moved.status_code == 303, words(moved.text)


def test_what_was_typed_is_shown_again_where_it_could_not_be_saved(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    decision = decide(client, "LOST", VAGUE)
    questions = [unescape(one) for one in re.findall(r'name="question" value="([^"]+)"', shown(client, decision))]
    parts = client.app.state.parts  # type: ignore[attr-defined]

    def away(*arguments: object, **more: object) -> None:
        raise StoreUnavailable("locked", "the store is locked")

    monkeypatch.setattr(parts.threads, "answer", away)
    monkeypatch.setattr(parts.reviews, "keep", away)
    told = {"question": questions, "answer": ["the vpn of the 2nd floor", *[""] * (len(questions) - 1)]}
    refused = client.post(f"/decisions/{decision}/answers", data=told)
    assert refused.status_code == 409 and 'value="the vpn of the 2nd floor"' in refused.text
    said = {"verdict": "corrected", "tier": "L3", "category": "network", "reason": "the rule is out of date"}
    refused = client.post(f"/decisions/{decision}/feedback", data=said)
    assert refused.status_code == 409 and "nothing was saved" in refused.text
    assert all(re.search(f'<option value="{label}" selected>', refused.text) for label in ("L3", "network"))
    assert '<details class="correct" open>' in refused.text
    assert re.search(r'value="the rule is out of date"[^>]* checked', refused.text)


def test_a_preview_of_answers_keeps_nothing(client: TestClient) -> None:
    decision = decide(client, "PREVIEW", VAGUE)
    told = {"question": ["Which application?"], "answer": ["the vpn"]}
    page = client.post(f"/decisions/{decision}/answers/preview", data=told)
    assert page.status_code == 200 and "With these answers" in page.text
    assert len(client.get("/v1/tickets/PREVIEW").json()["timeline"]) == 1


def test_a_preview_of_answers_is_of_the_ticket_that_is_decided_when_they_are_kept(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = {"id": "SAME", "subject": "SAME", "body": VAGUE, "language": "en", "attributes": {"site": "north"}}
    decision = client.post("/v1/predict", json=ticket).json()["decision_id"]
    comment = {"id": "c", "kind": "comment", "at": datetime.now(UTC).isoformat(), "text": "The printer shows blanks."}
    assert client.post("/v1/tickets/SAME/events", json=comment).status_code == 200
    service = client.app.state.parts.service  # type: ignore[attr-defined]
    seen: list[Ticket] = []
    counted: list[object] = []
    decide_all = service.batcher.decide

    async def noted(triager: object, tickets: list[Ticket], **more: object) -> object:
        seen.extend(one for one in tickets if "blanks" in one.body)
        return await decide_all(triager, tickets, **more)

    monkeypatch.setattr(service.batcher, "decide", noted)
    monkeypatch.setattr(service.metrics, "observe_decision", counted.append)
    told = {"question": ["Which application?", "Since when?"], "answer": ["the vpn", "Monday"], "event_id": "page-9"}
    preview = client.post(f"/decisions/{decision}/answers/preview", data=told)
    assert "With these answers" in preview.text and counted == []
    kept = client.post(f"/decisions/{decision}/answers", data=told, follow_redirects=False)
    assert kept.status_code == 303 and len(counted) == 1
    tried, taken = seen
    assert tried == taken and tried.attributes and "Monday" in tried.body


def test_answers_that_are_refused_are_told_in_the_preview(tmp_path: Path, make_bundle: Callable[..., Path]) -> None:
    settings = load_settings(home=tmp_path, open_loopback=True, bundle=make_bundle("shut"), request_deadline_s=20)
    with TestClient(create_app(settings)) as client:
        decision = decide(client, "TWICE", "something with the big screen and the accounts program")
        asked = client.get(f"/v1/decisions/{decision}").json()["questions"][0]
        told = {"question": [asked, asked], "answer": ["L1", "L2"]}
        preview = client.post(f"/decisions/{decision}/answers/preview", data=told)
        assert preview.status_code == 200 and "choose one of them" in preview.text


@pytest.mark.parametrize(
    ("form", "sent"),
    [
        ("answers", {"question": "", "answer": "x"}),
        ("answers", {"question": "a", "answer": "b\0c"}),
        ("answers", {"question": "a", "answer": "b", "event_id": "\0"}),
        ("answers/preview", {"question": "a\0", "answer": "b"}),
        ("move", {"tier": "L2\0"}),
        ("move", {"tier": "L2", "event_id": "\0"}),
    ],
)
def test_a_form_that_no_page_sends_is_refused(client: TestClient, form: str, sent: dict[str, str]) -> None:
    answer = client.post(f"/decisions/{decide(client, 'ODD', VAGUE)}/{form}", data=sent)
    assert answer.status_code == 422 and "html" in answer.headers["content-type"]


def test_a_label_is_chosen_on_the_page_by_writing_what_is_offered(
    tmp_path: Path, make_bundle: Callable[..., Path]
) -> None:
    settings = load_settings(home=tmp_path, open_loopback=True, bundle=make_bundle("shut"), request_deadline_s=20)
    with TestClient(create_app(settings)) as client:
        client.headers["Accept"] = "text/html"
        decision = decide(client, "CHOOSE", "something with the big screen and the accounts program")
        asked = client.get(f"/v1/decisions/{decision}").json()["questions"][0]
        assert asked.startswith("Which of these ") and " / " in asked and asked in unescape(shown(client, decision))
        offered = asked.split(" / ")[1]
        told = {"question": [asked], "answer": [offered.lower()], "event_id": "page-2"}
        preview = client.post(f"/decisions/{decision}/answers/preview", data=told)
        assert preview.status_code == 200 and "With these answers" in preview.text
        kept = client.post(f"/decisions/{decision}/answers", data=told, follow_redirects=False)
        assert kept.status_code == 303
        assert asked not in unescape(shown(client, decision))
        [answer] = [one for one in client.get("/v1/tickets/CHOOSE").json()["timeline"] if one["what"] == "answer"]
        assert re.fullmatch(r"(tier|category): [\w-]+", answer["words"])  # what was chosen, not what was written


def test_a_ticket_that_moves_is_shown_where_it_is_and_in_the_queue(client: TestClient) -> None:
    decision = decide(client, "MOVE")
    before = client.get(f"/v1/decisions/{decision}").json()["tier"]
    there = "L3" if before != "L3" else "L2"
    for _ in range(2):
        moved = client.post(f"/decisions/{decision}/move", data={"tier": there, "event_id": "x"})
        assert moved.status_code in (200, 409)
    said = words(shown(client, decision))
    assert f"<title>{there} · " in shown(client, decision)
    assert f"{there} /" in said and f"decided at first: {before} /" in said and "Moved by a person" in said
    found = client.get(f"/v1/decisions?view=all&tier={there}").json()["decisions"]
    assert decision in [one["decision_id"] for one in found]
    accepted = client.post(f"/decisions/{decision}/feedback", data={"verdict": "accepted"}, follow_redirects=False)
    assert accepted.status_code == 303
    assert client.get("/v1/tickets/MOVE").json()["route"]["tier"] == there  # accepting does not send it back
    assert decision in [
        one["decision_id"] for one in client.get(f"/v1/decisions?view=all&tier={there}").json()["decisions"]
    ]


def test_a_correction_is_shown_with_its_reason_and_a_replaced_text_leads_to_the_new_one(client: TestClient) -> None:
    first = decide(client, "TWICE")
    said = {"verdict": "corrected", "tier": "L3", "reason": "needs <b>rights</b>"}
    assert client.post(f"/decisions/{first}/feedback", data=said, follow_redirects=False).status_code == 303
    page = shown(client, first)
    assert "please check" not in words(page) and re.search(r'<span class="pill ">Corrected</span>', page)
    assert "needs &lt;b&gt;rights&lt;/b&gt;" in page and "agent corrected to L3" in words(page)
    second = decide(client, "TWICE", "Another text: the printer prints blank pages")
    assert f"/decisions/{second}?view=all" in shown(client, first) and "replaced by a newer one" in shown(client, first)


def test_a_correction_on_the_page_needs_a_reason_and_what_was_chosen_is_not_lost(client: TestClient) -> None:
    decision = decide(client, "WHY")
    place, form = (
        f"/decisions/{decision}/feedback",
        {"verdict": "corrected", "tier": "L3", "resolver_group": "service-desk"},
    )
    for reason in ({}, {"reason": ""}, {"reason": " ", "other_reason": "  "}):
        refused = client.post(place, data={**form, **reason}, follow_redirects=False)
        assert refused.status_code == 422 and "a correction needs a reason" in refused.text
        assert (
            re.search(r'<option value="L3" selected>', refused.text) and "<option selected>service-desk" in refused.text
        )
        assert '<details class="correct" open>' in refused.text
    assert client.get(f"/v1/decisions/{decision}").json()["feedback"] == []
    own = client.post(place, data={**form, "reason": "", "other_reason": "<b>my</b> words"}, follow_redirects=False)
    assert own.status_code == 303
    assert client.get(f"/v1/decisions/{decision}").json()["standing"]["reason"] == "<b>my</b> words"
    for verdict in ("accepted", "unsure"):  # these need none
        other = decide(client, f"WHY-{verdict}", f"{VPN} {verdict}")
        said = client.post(f"/decisions/{other}/feedback", data={"verdict": verdict}, follow_redirects=False)
        assert said.status_code == 303
    program = {"verdict": "corrected", "tier": "L3", "agent": "kim"}  # and programs may leave it out
    assert client.post(f"/v1/decisions/{decide(client, 'API')}/feedback", json=program).status_code == 200


def test_an_alarm_of_many_who_cannot_work_is_not_contradicted(tmp_path: Path) -> None:
    policy = default_policy()
    learned = replace(policy, escalation=replace(policy.escalation, scopes=()))
    (tmp_path / "policy.toml").write_text(dump_policy(learned))
    settings = load_settings(home=tmp_path, open_loopback=True, rules_only=True, policy=tmp_path / "policy.toml")
    with TestClient(create_app(settings), headers={"Accept": "text/html"}) as client:
        page = words(shown(client, decide(client, "OUT", "nobody can work, outage in all offices")))
    assert "Many cannot work" in page and "Nothing says" not in page.split("How many are affected")[1][:120]


def test_only_pages_with_keys_have_a_button_for_them(client: TestClient) -> None:
    for path in (
        "/",
        f"/decisions/{decide(client, 'KEYS')}",
        "/learning",
        "/knowledge",
        "/overview",
        "/people",
        "/try",
    ):
        page = client.get(path).text
        assert ('data-opens="help"' in page) == ('<dialog id="help"' in page), path


def test_the_address_of_a_form_leads_to_its_page(client: TestClient) -> None:
    decision = decide(client, "FORM")
    for form in ("feedback", "undo", "claim", "release", "answers", "answers/preview", "move"):
        opened = client.get(f"/decisions/{decision}/{form}", follow_redirects=False)
        assert (opened.status_code, opened.headers["location"]) == (303, f"/decisions/{decision}")
    for path, place in (("/learning/retrain", "/learning"), ("/people/kim/rights", "/people"), ("/sign-out", "/")):
        assert client.get(path, follow_redirects=False).headers["location"] == place
    asked = client.get(f"/decisions/{decision}/feedback", headers={"Accept": "application/json"})
    assert asked.status_code == 405 and "POST" in asked.headers["Allow"]


def test_what_cannot_be_moved_is_told_on_the_page(client: TestClient, tmp_path: Path) -> None:
    decision = decide(client, "WRONG")
    page = client.post(f"/decisions/{decision}/move", data={"tier": "L9"})
    assert page.status_code == 409 and "unknown tier" in page.text.lower()
    assert client.get("/decisions/nothing").status_code == 404


@pytest.mark.parametrize("verdict", ["accepted", "corrected"])
def test_an_alarm_after_the_last_word_is_confirmed_with_a_button(client: TestClient, verdict: str) -> None:
    name = f"ALARM-{verdict}"
    decision = decide(client, name)
    said = {"verdict": verdict, "reason": "theirs", **({"tier": "L3"} if verdict == "corrected" else {})}
    assert client.post(f"/decisions/{decision}/feedback", data=said, follow_redirects=False).status_code == 303
    assert "I have seen it" not in shown(client, decision)
    words_of_it = "Now the printer is on fire and people are hurt."
    fire = {"id": "1", "kind": "comment", "at": datetime.now(UTC).isoformat(), "text": words_of_it}
    assert client.post(f"/v1/tickets/{name}/events", json=fire).status_code == 200
    page = shown(client, decision)
    assert "Danger to people" in page and "I have seen it" in page
    [form] = [one for one in re.findall(r"<form.*?</form>", page, re.DOTALL) if "I have seen it" in one]
    told = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form))
    before = client.get(f"/v1/decisions/{decision}").json()
    assert client.post(f"/decisions/{decision}/feedback", data=told, follow_redirects=False).status_code == 303
    assert "I have seen it" not in shown(client, decision)
    after = client.get(f"/v1/decisions/{decision}").json()
    assert after["tier"] == before["tier"] and after["standing"]["verdict"] == verdict
    waiting = client.get("/v1/decisions?view=waiting&attention=any&limit=100").json()["decisions"]
    assert decision not in [one["decision_id"] for one in waiting]


def form_of(page: str, name: str) -> dict[str, str]:
    """Return what the form with the button of a name sends."""
    [form] = [one for one in re.findall(r"<form.*?</form>", page, re.DOTALL) if f'name="{name}"' in one]
    return {field: unescape(value) for field, value in re.findall(r'name="(\w+)" value="([^"]*)"', form)}


def test_a_ticket_left_for_a_second_opinion_is_accepted_or_taken(client: TestClient) -> None:
    decision, following = decide(client, "SECOND-1"), decide(client, "SECOND-2")
    for one in (decision, following):
        said = client.post(f"/v1/decisions/{one}/feedback", json={"verdict": "unsure", "agent": "ana"})
        assert said.status_code == 200
    page = client.get(f"/decisions/{decision}?view=unsure&sort=oldest").text
    assert 'data-key="a"' in page and 'data-key="m"' in page and 'name="unsure"' not in page
    assert f'action="/decisions/{decision}/undo"' not in page  # it is for Ana to take back what she said
    taken = client.post(f"/decisions/{decision}/claim", data=form_of(page, "claim"))
    assert "Give back" in words(taken.text)
    listed = client.get("/v1/decisions?view=mine&agent=agent").json()["decisions"]
    assert decision in [one["decision_id"] for one in listed]
    told = client.post(f"/decisions/{decision}/feedback", data=form_of(page, "accept"), follow_redirects=False)
    assert told.status_code == 303 and told.headers["location"].startswith(f"/decisions/{following}?")
    assert client.get(f"/v1/decisions/{decision}").json()["standing"]["verdict"] == "accepted"


def test_who_speaks_after_somebody_else_is_told_what_that_one_said(client: TestClient) -> None:
    decision = decide(client, "BOTH")
    form = form_of(shown(client, decision), "accept")
    place = f"/v1/decisions/{decision}/feedback"
    said = client.post(place, json={"verdict": "corrected", "category": "network", "tier": "L3", "agent": "ana"}).json()
    told = words(client.post(f"/decisions/{decision}/feedback", data=form).text)
    assert "ana has corrected this ticket to L3 / network since you opened it." in told
    assert "What you said is kept as well, and stands now." in told
    assert [one["verdict"] for one in client.get(f"/v1/decisions/{decision}").json()["feedback"]] == [
        *("corrected", "accepted")
    ]
    other = decide(client, "BOTH-2")
    said = client.post(f"/v1/decisions/{other}/feedback", json={"verdict": "unsure", "agent": "ana"}).json()
    form = form_of(shown(client, other), "accept")
    assert client.delete(f"/v1/decisions/{other}/feedback/{said['feedback_id']}?agent=ana").status_code == 200
    told = words(client.post(f"/decisions/{other}/feedback", data=form).text)
    assert "was taken back since you opened it. What you said is kept as well" in told


def test_who_was_not_sure_takes_that_back_or_accepts(client: TestClient) -> None:
    decision = decide(client, "SECOND-3")
    client.post(f"/decisions/{decision}/feedback", data={"verdict": "unsure"})
    page = shown(client, decision)
    assert f'action="/decisions/{decision}/undo"' in page and 'name="accept"' in page


@pytest.mark.parametrize("verdict", ["accepted", "corrected", "unsure"])
def test_no_key_stands_on_two_buttons(client: TestClient, verdict: str) -> None:
    decision, before = decide(client, f"KEYS-{verdict}"), decide(client, f"KEYS-{verdict}-before")
    for one in (decision, before):
        said = {"verdict": verdict, "reason": "theirs", **({"tier": "L3"} if verdict == "corrected" else {})}
        client.post(f"/decisions/{one}/feedback", data=said)
    fire = {"id": "1", "kind": "comment", "at": datetime.now(UTC).isoformat(), "text": "Fire, people are hurt."}
    assert client.post(f"/v1/tickets/KEYS-{verdict}/events", json=fire).status_code == 200
    for page in (shown(client, decision), client.get(f"/decisions/{decision}?view=all&done={before}").text):
        keys = re.findall(r'data-key="([^"]+)"', page)
        assert "u" in keys and "a" in keys and len(keys) == len(set(keys)), keys
    assert re.search(rf'action="/decisions/{before}/undo".*?data-key="u"', page, re.DOTALL)


def test_causes_are_said_in_words(client: TestClient) -> None:
    fire = {
        "id": "1",
        "kind": "comment",
        "at": datetime.now(UTC).isoformat(),
        "text": "Smoke and fire, people are hurt.",
    }
    decision = decide(client, "CAUSE")
    assert client.post("/v1/tickets/CAUSE/events", json=fire).status_code == 200
    said = words(shown(client, decision))
    assert "it must not wait: danger to people" in said and "attention: safety" not in said
    told = [one["words"] for one in client.get("/v1/tickets/CAUSE").json()["timeline"]]
    assert "it must not wait: danger to people" in told
    assert "suggested: no model is in use" in told


PLACES = {
    "attention: outage": (
        "all users cannot log in, total outage, forgot my password",
        "Written rule: it must not wait: many cannot work",
    ),
    "access": ("I gave my password to a phishing mail", "Written rule: only some tiers may see it"),
}


@pytest.mark.parametrize("rule", PLACES)
def test_what_decides_in_place_of_a_rule_is_said_in_words(client: TestClient, rule: str) -> None:
    text, in_words = PLACES[rule]
    decision = client.post("/v1/predict", json={"id": rule, "text": text}).json()
    assert decision["rule"] == decision["targets"]["tier"]["rule"] == rule  # a code for programs
    page = shown(client, decision["decision_id"])
    assert in_words in words(page) and f"<code>{rule}</code>" not in page


def test_the_legend_names_the_label_that_the_words_counted_for(
    tmp_path: Path, make_bundle: Callable[..., Path]
) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(VPN_TO_L3, "utf-8")
    settings = load_settings(home=tmp_path, open_loopback=True, bundle=make_bundle("shut"), rules=rules)
    with TestClient(create_app(settings)) as client:
        decision = decide(client, "LEGEND")
        tier = client.get(f"/v1/decisions/{decision}").json()["targets"]["tier"]
        first, second = (one["label"] for one in tier["alternatives"][:2])
        said = words(shown(client, decision))
        assert tier["label"] != first
        assert f"words for {first} words against it" in said and f"Words that counted for {first} " in said
        assert f"Why not {second}: " in said


def chosen(page: str, name: str) -> str:
    """Return what a browser sends of a select that nobody touches."""
    [select] = re.findall(rf'<select [^>]*name="{name}".*?</select>', page, re.DOTALL)
    options = re.findall(r"<option([^>]*)>([^<]*)", select)
    attributes, words = next((one for one in options if "selected" in one[0]), options[0])
    value = re.search(r'value="([^"]*)"', attributes)
    return unescape(value[1] if value else words)


def test_after_a_swap_to_other_labels_a_correction_states_only_what_somebody_chose(tmp_path: Path) -> None:
    """Labels that the policy does not list any more stay as they are, and can be looked for."""
    file, first = tmp_path / "policy.toml", replace(default_policy(), groups=(), attention=())
    file.write_text(dump_policy(first))
    settings = load_settings(home=tmp_path, open_loopback=True, rules_only=True, policy=file)
    with TestClient(create_app(settings)) as client:
        client.headers["Accept"] = "text/html"
        decision, undecided = decide(client, "OLD"), decide(client, "NONE", "hm")
        before = client.get(f"/v1/decisions/{decision}").json()
        assert before["tier"] and before["category"] and "<summary>Group" not in client.get("/").text
        event = {"id": "1", "kind": "status", "at": datetime.now(UTC).isoformat(), "status": "x", "resolver_group": "a"}
        refused = client.post("/v1/tickets/OLD/events", json=event).json()
        assert refused["detail"] == "unknown resolver group: the policy lists none; leave it out"
        file.write_text(OTHER_LABELS)
        assert client.post("/v1/model/reload").status_code == 200
        page = shown(client, decision)
        assert f"{before['category']}, no longer a label" in page
        assert [chosen(page, name) for name in ("tier", "category", "resolver_group")] == ["", "", ""]
        assert chosen(shown(client, undecided), "category") == ""
        said = {name: chosen(page, name) for name in ("category", "resolver_group")}
        said |= {"verdict": "corrected", "tier": "back", "reason": "theirs"}
        assert client.post(f"/decisions/{decision}/feedback", data=said, follow_redirects=False).status_code == 303
        after = client.get(f"/v1/decisions/{decision}").json()
        assert after["standing"]["targets"] == {"tier": "back"} and after["category"] == before["category"]
        narrowed = f"/?view=all&category={before['category']}&tier=gone&reason=old&attention=ours&automation=suggested"
        queue = client.get(narrowed).text
        wanted = {"category": before["category"], "tier": "gone", "reason": "old", "attention": "ours"}
        assert {name: chosen(queue, name) for name in wanted} == wanted
        assert 'name="automation" value="suggested"' in queue
        assert f"<option >{before['category']}</option>" in client.get("/?view=all").text
