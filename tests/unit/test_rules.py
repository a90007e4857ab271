"""Rules are checked when they are read, matched in linear time, and the first match that names a target wins."""

import time
from collections.abc import Callable

import pytest

from models.toml_files import dump_rules
from tests.unit.spoilt import spoilt
from triage.defaults import default_policy, default_rules
from triage.errors import InvalidRules
from triage.languages.alphabets import words_written
from triage.rules import check_labels, parse_rules
from triage.ticket import Ticket

BOOK = """
[[rule]]
name = "breach"
kind = "bypass"
any = ['\\bbreach\\b']
tier = "L3"

[[rule]]
name = "vip"
kind = "bypass"
attributes = { vip = ["yes", "true"] }
tier = "L2"

[[rule]]
name = "printer"
kind = "fallback"
all = ['print', 'toner']
none = ['driver']
channels = ["email", "portal"]
category = "printing"

[[rule]]
name = "short"
kind = "fallback"
max_words = 3
tier = "L1"

[[rule]]
name = "rest"
kind = "fallback"
tier = "L2"
"""


def test_conditions_hold_together() -> None:
    book = parse_rules(BOOK)
    assert book.bypass(Ticket(body="a data BREACH"), "tier").name == "breach"  # type: ignore[union-attr]
    assert book.bypass(Ticket(body="a data breach"), "category") is None
    assert book.bypass(Ticket(body="slow", attributes={"vip": "yes"}), "tier").name == "vip"  # type: ignore[union-attr]
    toner = Ticket(body="the printer wants toner again, please", channel="email")
    assert book.fallback(toner, "category").name == "printer"  # type: ignore[union-attr]
    assert book.fallback(Ticket(body=toner.body, channel="sms"), "category") is None
    assert book.fallback(Ticket(body=toner.body + " driver", channel="email"), "category") is None
    assert book.fallback(Ticket(body="help me"), "tier").name == "short"  # type: ignore[union-attr]
    assert book.fallback(Ticket(body="打印机从昨天下午开始一直卡纸"), "tier") is None
    assert book.catch_all.name == "rest"


def test_rules_see_through_disguises() -> None:
    assert parse_rules(BOOK).bypass(Ticket(body="br\u0435a\u200bch"), "tier") is not None


def test_rules_read_back_as_they_were_written() -> None:
    for book in (parse_rules(BOOK), default_rules().measured({"catch-all": {"tier": 0.5}})):
        assert parse_rules(dump_rules(book)) == book


@pytest.mark.parametrize(
    ("text", "evidence"),
    [
        ("", "catch-all"),
        ("[[rule]]\nname = 'a'\nkind = 'fallback'\nany = ['x']", "catch-all"),
        ("\n\n[[rule]]\nname = 'a'\nkind = 'bypass'\nany = ['(']\n", "mine.toml:3"),
        ("[[rule]]\nname = 'a'\nkind = 'bypass'\nany = ['(?=x)y']\n", "does not compile"),
        ("[[rule]]\nname = 'a'\nkind = 'maybe'\n", "kind 'maybe'"),
        ("[[rule]]\nkind = 'bypass'\n", "without a name"),
        ("[[rule]]\nname = 'a'\nkind = 'fallback'\nprecision_at_least = { tier = 2 }", "precision_at_least"),
        (
            "[[rule]]\nname = 'a'\nkind = 'fallback'\nprecision_at_least = 0.9",
            "precision_at_least = 0.9 is not a table",
        ),
        ("[rule]\nname = 'a'", "begin each of them with [[rule]]"),
        ("[[rule]]\nname = 'a'\nkind = 'fallback'\ntier = ['L1']", "rule 'a' tier = ['L1'] is not text"),
        ("[[rule]]\nname = 'a'\nkind = 'fallback'\nwhen = 'x'", "unknown keys when"),
        ("[[rule]]\nname = 'a'\nkind = 'fallback'\nany = 'x'", "list of text"),
        ("[[rule]]\nname = 'a'\nkind = 'fallback'\n[[rule]]\nname = 'a'\nkind = 'fallback'\n", "same name"),
        ("[[rule]]\nname = 'a'\nkind = 'bypass'\n[[rule]]\nname = 'b'\nkind = 'fallback'\n", "no condition"),
    ],
)
def test_a_wrong_rule_file_is_refused_with_its_place(text: str, evidence: str) -> None:
    with pytest.raises(InvalidRules) as caught:
        parse_rules(text, where="mine.toml")
    assert evidence in str(caught.value)


def test_rules_may_only_name_labels_of_the_policy() -> None:
    with pytest.raises(InvalidRules, match="'breach' names tier 'L3'"):
        check_labels(parse_rules(BOOK), {"tier": ["L1", "L2"], "category": ["printing"]})
    policy = default_policy()
    check_labels(default_rules(), {target: policy.labels(target) for target in ("tier", "category")})


def test_a_pattern_that_explodes_elsewhere_is_linear_here() -> None:
    book = parse_rules(
        "[[rule]]\nname='evil'\nkind='bypass'\nany=['^(a+)+$', '^(\\w+\\s?)*$']\ntier='L1'\n"
        "[[rule]]\nname='r'\nkind='fallback'\n"
    )
    started = time.perf_counter()
    book.bypass(Ticket(body="a" * 20_000 + "!"), "tier")
    assert time.perf_counter() - started < 1.0


def test_patterns_that_are_too_large_as_one_are_joined_in_parts() -> None:
    large = ", ".join(rf"'\bword{number}\b.{{0,1000}}(?:gone|lost|\w+ed)\b'" for number in range(60))
    book = parse_rules(
        f"[[rule]]\nname='gone'\nkind='bypass'\nany=[{large}]\ntier='L1'\n"
        f"[[rule]]\nname='others'\nkind='bypass'\nnone=[{large}]\ntier='L2'\n"
        "[[rule]]\nname='rest'\nkind='fallback'\n"
    )
    for body, name in (("my WORD59 got stolen, it was lost", "gone"), ("my word59", "others")):
        found = book.bypass(Ticket(body=body), "tier")
        assert found is not None and found.name == name


def test_channels_and_attributes_are_compared_without_regard_to_case() -> None:
    book = parse_rules(BOOK.replace('"email"', '"E-Mail"'))
    toner = "the printer wants toner again, please"
    assert book.fallback(Ticket(body=toner, channel="e-mail"), "category").name == "printer"  # type: ignore[union-attr]
    assert book.fallback(Ticket(body=toner), "category") is None
    assert book.bypass(Ticket(body="slow", attributes={"VIP": "Yes"}), "tier").name == "vip"  # type: ignore[union-attr]
    assert book.bypass(Ticket(body="slow", attributes={"vip": "no"}), "tier") is None


def test_rules_in_one_list_are_read_as_well() -> None:
    book = parse_rules('rule = [{ name = "rest", kind = "fallback", tier = "L1" }]')
    assert book.catch_all.tier == "L1"
    with pytest.raises(InvalidRules, match="rules:1: "):
        parse_rules('rule = [{ name = "rest", kind = "sometimes" }]')


def test_a_written_book_has_a_header_for_each_rule_so_that_rules_can_be_put_behind() -> None:
    text = dump_rules(parse_rules('[[rule]]\nname = "rest"\nkind = "fallback"\ntier = "L1"'))
    vip = '\n[[rule]]\nname = "last"\nkind = "fallback"\ntier = "L2"\n'
    first = vip.replace("last", "vip").replace("fallback", "bypass") + 'any = ["x"]\n[rule.attributes]\nvip = "yes"\n\n'
    book = parse_rules(first + text)
    assert [rule.name for rule in book.rules] == ["vip", "rest"] and parse_rules(dump_rules(book)) == book


def test_an_overriding_book_keeps_what_was_measured_of_rules_that_are_the_same_word_for_word() -> None:
    book = parse_rules(BOOK)
    measured = book.measured({"printer": {"category": 0.9}}, {"printer": {"category": 0.6}, "short": {"tier": 0.4}})
    changed = parse_rules(BOOK.replace("max_words = 3", "max_words = 4")).with_measurements_of(measured)
    rules = {rule.name: rule for rule in changed.rules}
    assert rules["printer"].floor("category") == 0.6 and rules["printer"].precision == {"category": 0.9}
    assert rules["short"].floor("tier") == 0.0 and rules["short"].max_words == 4
    assert parse_rules(dump_rules(measured)) == measured


def test_a_value_of_any_kind_in_any_place_is_taken_or_refused_by_name() -> None:
    """And what is taken can be asked."""
    first, last, rest = BOOK.rpartition('[[rule]]\nname = "rest"')
    every = f"""{first}[[rule]]
name = "all"
kind = "fallback"
within = "body"
any = ["x"]
targets = {{ priority = "high" }}
precision = {{ tier = 0.5 }}
precision_at_least = {{ tier = 0.4 }}
{last}{rest}"""
    refused = 0
    for text in spoilt(every):
        try:
            book = parse_rules(text)
        except InvalidRules:
            refused += 1
        else:
            assert parse_rules(dump_rules(book)) == book
            assert [rule.matches(Ticket(body="a breach", channel="x")) for rule in book.rules]
    assert refused > 100


def test_words_of_a_script_without_blanks_are_counted_fast_and_once_for_all_rules() -> None:
    text = "打印机坏了请帮忙看看连接不上网络，" * 1200

    def least(job: Callable[[], object]) -> float:
        times = []
        for _ in range(5):
            begin = time.process_time()
            job()
            times.append(time.process_time() - begin)
        return min(times)

    each_letter = least(lambda: [char.isalpha() for char in text])
    assert least(lambda: words_written(text)) < 15 * each_letter
    ticket = Ticket(body=text)
    assert ticket.words_in("text") == words_written(ticket.folded_text) > 6000
    assert least(lambda: [ticket.words_in("text") for _ in range(100)]) < each_letter
