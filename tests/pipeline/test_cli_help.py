"""Help, argument errors and output, the same for all verbs: what a person types first and what a pipe gets."""

from __future__ import annotations

import ast
import json
import os
import pty
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import entry_points
from pathlib import Path
from typing import Literal

import pytest
import typer

from api.cli.options import age
from models.terminal import NEEDED, Family, JsonOption, Verb, argument, option, print_table, share, verb
from triage.__main__ import GROUP

from .conftest import Triage

ROOT = Path(__file__).parents[2]
FAMILIES = {
    "data": ("check", "fetch"),
    "feedback": ("export", "disputed"),
    "knowledge": ("propose", "list", "accept", "revise", "withdraw", "report"),
    "mlflow": ("ui",),
    "keys": ("create", "list", "revoke"),
    "policy": ("check", "fit", "learn", "questions", "shares"),
    "rules": ("check", "replay"),
    "store": ("backup", "restore", "forget", "retention", "migrate", "check", "dead-letters", "outbound"),
    "users": ("create", "list", "disable", "enable", "password", "roles", "sessions", "sign-out"),
}
VERBS = sorted(entry.name for entry in entry_points(group=GROUP))
EVERY = [(name,) for name in VERBS] + [(name, inner) for name, inners in FAMILIES.items() for inner in inners]


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_help_says_what_a_verb_does_and_shows_examples(triage: Triage, words: tuple[str, ...]) -> None:
    said = triage(*words, "--help")
    assert said.status == 0 and said.err == ""
    assert said.out.startswith(f"usage: triage {' '.join(words)} ")
    examples = said.out[said.out.index("\nexamples:\n") :].split("\n\n")[0].split("\n")[2:]
    assert examples and all(line.startswith(f"  triage {words[0]}") for line in examples)
    assert "-h, --help" in said.out and not re.search("[\u2500-\u257f]", said.out)  # no boxes
    assert triage(*words, "-h") == said
    usage = said.out.split("\n")[0]
    assert all(word in usage for word in re.findall(r"^([A-Z]{3,}) needs", said.out, re.MULTILINE)), usage
    assert not re.search(r"\(default: [^)]*\)\s+\(default: ", said.out), "a default is said twice"


def test_every_number_has_bounds() -> None:
    commands = [
        entry.load() for entry in entry_points(group=GROUP) if entry.name != "serve"
    ]  # of which each is a setting
    verbs = [one for command in commands for one in getattr(command, "verbs", {"": command}).values()]
    numbers = {f"{one._path} {field.shown}": field.info.parser for one in verbs for field in one._fields
               if re.search(r"\b(int|float)\b", str(field.kind))}  # fmt: skip
    assert len(numbers) > 15 and [name for name, read in numbers.items() if read is None] == []
    for read in numbers.values():
        for wrong in ("-1", "nan", str(10**30)):
            with pytest.raises(typer.BadParameter, match="is not "):
                read(wrong)


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_the_options_of_every_example_exist(triage: Triage, words: tuple[str, ...]) -> None:
    text = triage(*words, "--help").out
    known = set(re.findall(r"--[a-z-]+", text[text.index("\n\n", text.index("\nexamples:\n")) :]))
    for inner in FAMILIES.get(words[0], ()):
        known |= set(re.findall(r"--[a-z-]+", triage(words[0], inner, "--help").out.split("\nexamples:\n")[1]))
    examples = text[text.index("\nexamples:\n") :].split("\n\n")[0]
    assert set(re.findall(r"--[a-z-]+", examples)) <= known


def commands() -> list[tuple[str, str]]:
    """Every command line of a code block in README and docs: where it stands, and the line."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    blocks = [
        (page, block) for page in pages for block in re.findall(r"```.*?\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    ]
    lines = [(page, line) for page, block in blocks for line in block.replace("\\\n", " ").splitlines()]
    found = [(page, re.match(r"(?:\$ )?(?:\S*/)?(triage [a-z].*)", line.strip())) for page, line in lines]
    return [(page.relative_to(ROOT).as_posix(), match[1].partition(" #")[0].strip()) for page, match in found if match]


@pytest.mark.parametrize(("page", "line"), commands())
def test_a_command_in_the_documentation_has_a_verb_and_options_that_exist(triage: Triage, page: str, line: str) -> None:
    _, verb, *rest = line.split()
    assert verb in VERBS, page
    inner = [word for word in rest[:1] if verb in FAMILIES]
    assert not inner or inner[0] in FAMILIES[verb], page
    known = set(re.findall(r"--[a-z-]+", triage(verb, *inner, "--help").out.split("\n\narguments:\n")[-1]))
    assert {word.partition("=")[0] for word in rest if re.match("--[a-z]", word)} <= known, page


def test_the_list_of_verbs_imports_none_of_them() -> None:
    code = (
        "import sys; from triage.__main__ import main; status = main(['--help']); "
        "heavy = {'typer', 'rich', 'numpy', 'sklearn', 'mlflow', 'onnxruntime', 'fastapi', 'pydantic', 'sqlalchemy'}; "
        "print(status, sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


def test_the_list_of_verbs_describes_each_in_a_sentence(triage: Triage) -> None:
    lines = triage("--help").out.splitlines()[2:]
    assert [line.split()[0] for line in lines] == VERBS
    assert all(re.fullmatch(r"  [a-z]+ +[A-Z].*\.", line) for line in lines)


@pytest.mark.parametrize("path", sorted([*ROOT.glob("training/cli/*.py"), *ROOT.glob("api/cli/*.py")]), ids=str)
def test_own_imports_stand_on_top_of_a_module(path: Path) -> None:
    inner = [
        node
        for function in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert inner == []


def test_predict_and_score_work_in_a_base_install_and_import_nothing_that_only_training_needs() -> None:
    code = (
        "import sys, training.cli.predict; "
        "heavy = {'torch', 'mlflow', 'pandas', 'pyarrow', 'sklearn', 'scipy', 'joblib', 'matplotlib', 'onnx'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@dataclass(frozen=True, kw_only=True)
class Options(JsonOption):
    """Options of every kind."""

    what: Literal["one", "two"] = argument("which", "one|two")
    files: list[Path] = argument("files", "FILE", [])
    needed: str = option("must be stated", NEEDED)
    risk: float = option("a share", 0.05, "R", read=share)
    count: int = option("a number", 0, "N")
    lifetime: timedelta | None = option("a time", None, "90d", names=("--lifetime", "--life"), read=age)
    map: list[str] = option("may be repeated", [], "A=B")
    data: list[Path] = option("takes several", [], "FILE…")
    dry_run: bool = option("a flag", False)


SEEN: list[Options] = []


@verb
def probe(options: Options) -> int:
    """Keep the options.

    Examples:
        triage probe one
    """
    SEEN.append(options)
    return 1


def test_options_and_arguments_come_in_any_order_and_form() -> None:
    line = "--map a=b one --data x y --risk=0.5 --needed - a.csv --map c= --life 2d --dry-run b.csv --count -3 --json"
    assert probe(line.split()) == 1
    assert SEEN[-1] == Options(
        what="one", files=[Path("a.csv"), Path("b.csv")], needed="-", risk=0.5, count=-3, lifetime=timedelta(days=2),
        map=["a=b", "c="], data=[Path("x"), Path("y")], dry_run=True, json=True,
    )  # fmt: skip
    probe(["two", "--needed", "x"])
    assert SEEN[-1] == Options(what="two", needed="x")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("", "one|two is required"),
        ("one", "--needed is required"),
        ("three --needed x", "one|two: 'three' is not one of 'one', 'two'"),
        ("one --needed x --risk 1", "--risk: '1' is not a number between 0 and 1"),
        ("one --needed x --life soon", "--lifetime / --life: 'soon' is no length of time"),
        ("one --needed x --dry", "No such option: --dry"),  # abbreviations are not guessed at
        ("one --needed x --json=yes", "'--json' does not take a value"),
        ("one --needed x --no-json", "No such option: --no-json"),
        ("one --needed", "'--needed' requires an argument"),
    ],
)
def test_wrong_arguments_are_one_line_with_the_way_to_help(
    capsys: pytest.CaptureFixture[str], line: str, what: str
) -> None:
    assert probe(line.split()) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith("triage probe: ") and what in err and err.endswith("; see triage probe --help\n")


def test_a_family_names_its_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    family = Family("zoo", "Look after animals.\n\nExamples:\n    triage zoo feed")

    @family.verb("feed")
    def feed(options: JsonOption) -> None:
        """Feed them.

        Examples:
            triage zoo feed
        """

    assert isinstance(feed, Verb) and family(["feed", "--json"]) == 0
    for arguments, what in (([], "a verb is required: feed"), (["fed"], "unknown verb 'fed': known are feed")):
        assert family(arguments) == 2
        assert capsys.readouterr().err == f"triage zoo: {what}; see triage zoo --help\n"


def on_a_terminal(code: str, **more: str) -> str:
    """Return what a program writes on a terminal of its own."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", **more}
    subprocess.run([sys.executable, "-P", "-c", code], stdout=follower, check=True, env=environment)
    os.close(follower)
    text = b""
    while chunk := _read(leader):
        text += chunk
    os.close(leader)
    return text.decode()


def _read(leader: int) -> bytes:
    try:
        return os.read(leader, 65536)
    except OSError:  # how Linux says that nobody holds the other end
        return b""


TABLE = "from models.terminal import print_table; print_table(['label', 'rows'], [['[bold]', 12], ['b', 0.5]], 2)"


def test_tables_are_drawn_on_a_terminal_and_plain_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["label", "rows"], [["[bold]", 12], ["b", 0.5]], 2)
    assert capsys.readouterr().out == "  label    rows\n  [bold]     12\n  b       0.500\n"
    drawn = on_a_terminal(TABLE, NO_COLOR="")
    assert "\x1b[1m" in drawn and "[bold]" in drawn
    plain = on_a_terminal(TABLE, NO_COLOR="1", TERM="dumb")
    assert "\x1b" not in plain and plain.split() == ["label", "rows", "[bold]", "12", "b", "0.500"]


def test_the_decision_on_the_command_line_is_the_document_of_the_service(triage: Triage) -> None:
    found = triage("predict", "rules", "please reset my password", "--json").document
    assert found["decision_id"] is None and "stored" not in found
    assert found["rule"] and all("rule" in target for target in found["targets"].values())
    assert found["targets"]["tier"]["rule"] == found["rule"]
    json.dumps(found, allow_nan=False)
