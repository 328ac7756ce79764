"""README, CONTRIBUTING and docs: their code, commands, links, paths and names exist."""

import argparse
import ast
import inspect
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gid_core as gid
from gid_core.cli import main
from gid_core.training.train_options import training_options

PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/benchmarks.md", "docs/recipes.md", "docs/training.md")
PAGES += ("docs/comfyui-checklist.md",)
# What the variables of the examples hold.
VARIABLES = {"volume": gid.SpectralVolume, "motion": gid.Motion, "pipe": gid.GIDPipeline}


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def looked_up(node: ast.expr) -> Any:
    """The object that an expression such as gid.GIDPipeline.from_pretrained or volume.fps names; None for others.

    An attribute of a variable is looked up in the variable's class; for a field of a dataclass it is its annotation.
    """
    if isinstance(node, ast.Name):
        return gid if node.id == "gid" else VARIABLES.get(node.id)
    if isinstance(node, ast.Attribute) and (owner := looked_up(node.value)) is not None:
        fields = inspect.get_annotations(owner) if inspect.isclass(owner) else {}
        return fields[node.attr] if node.attr in fields else getattr(owner, node.attr)
    return None


def check_code(code: str) -> int:
    """Check that names exist and calls fit the signatures; returns the number of calls checked.

    Raises:
        SyntaxError, AttributeError, TypeError: as running the code would.
    """
    calls = 0
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute):
            looked_up(node)
        if isinstance(node, ast.Call) and (function := looked_up(node.func)) is not None:
            arguments = [None] * len(node.args)
            if isinstance(node.func, ast.Name):  # an instance is called
                function = function.__call__
            if inspect.isfunction(function) and "." in function.__qualname__:
                arguments.insert(0, None)  # self
            inspect.signature(function).bind(*arguments, **{word.arg: None for word in node.keywords if word.arg})
            calls += 1
    return calls


def test_example_code_of_the_readme_fits_the_library(repo):
    blocks = code_blocks((repo / "README.md").read_text(encoding="utf-8"), "python")
    assert sum(map(check_code, blocks)) >= 15


def test_example_code_of_the_library_fits_the_library():
    lines = gid.__doc__.splitlines()
    assert check_code("\n".join(line.strip() for line in lines if line.startswith("    "))) >= 8


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("gid.read_picture('a.png')", AttributeError),
        ("volume.magnify(2)", AttributeError),
        ("motion.frames_per_second", AttributeError),
        ("gid.loop(volume, velocity=2)", TypeError),
        ("pipe(photo, dice=1)", TypeError),
        ("volume.resize()", TypeError),
        ("gid.loop(volume", SyntaxError),
    ],
)
def test_wrong_example_code_is_found(code, error):
    with pytest.raises(error):
        check_code(code)


def commands(text: str) -> Iterator[str]:
    """The complete `gid` commands of a page: lines of shell blocks, and inline code that names an output."""
    for block in code_blocks(text, "sh"):
        yield from (line for line in block.splitlines() if line.startswith("gid "))
    yield from (code for code in re.findall(r"`(gid [^`]+)`", text) if re.search(r" (-o|--out) ", code))


def is_accepted(command: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the command line takes a command's options; the command is not run."""
    photos, volumes = ("animate", "poke_command", "wind_command", "page", "batch"), ("extract", "animate_clip")
    for name in (*photos, *volumes, "loop_command", "render_command", "evaluate", "train"):
        monkeypatch.setattr(f"gid_core.cli.{name}", lambda options: None)
    try:
        return main(shlex.split(command, comments=True)[1:]) == 0
    except SystemExit:
        return False


def test_commands_of_the_pages_are_accepted(repo, monkeypatch, capsys):
    found = [command for page in PAGES for command in commands((repo / page).read_text(encoding="utf-8"))]
    assert len(found) >= 10
    assert [command for command in found if not is_accepted(command, monkeypatch)] == [], capsys.readouterr().err
    assert not is_accepted("gid train vae --pictures a --out b", monkeypatch)


def test_training_options_that_the_page_names_exist(repo):
    parser = argparse.ArgumentParser(add_help=False)
    training_options(parser)
    stages = next(action for action in parser._actions if action.dest == "stage").choices
    options = {option for stage in stages.values() for option in stage._option_string_actions}
    text = (repo / "docs" / "training.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(--[\w-]+)", text)) - {"--model"}  # of `gid animate`
    assert len(named) >= 10 and named <= options


def missing_links(folder: Path, text: str) -> list[str]:
    """Relative targets of links and images that do not exist."""
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]
    return [target for target in targets if target and "://" not in target and not (folder / target).exists()]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(repo, page):
    path = repo / page
    assert not missing_links(path.parent, path.read_text(encoding="utf-8"))
    assert missing_links(path.parent, "[a](nowhere.md) [b](https://example.org)") == ["nowhere.md"]


def test_files_that_contributing_names_exist(repo):
    text = (repo / "CONTRIBUTING.md").read_text(encoding="utf-8")
    names = re.findall(r"`([\w./-]+(?:/|\.(?:py|js|json|md|svg)))`", text)
    named = [name for name in names if not re.search("[A-Z]{4}|GID_Name", name)]  # FORCE, NAME: placeholders
    assert len(named) > 40
    folders = [repo / place for place in ("", "gid_core", "gid_core/evaluation", "gid_core/dynamics")]
    folders += [repo / place for place in ("gid_core/models", "tests", "scripts", "benchmarks")]
    assert not [name for name in named if not any((folder / name).exists() for folder in folders)]


def test_make_targets_that_the_pages_name_exist(repo):
    text = "".join((repo / page).read_text(encoding="utf-8") for page in PAGES)
    targets = set(re.search(r"^\.PHONY: (.*)$", (repo / "Makefile").read_text(), re.MULTILINE)[1].split())
    named = set(re.findall(r"`make (\w+)", text))
    assert {"test", "demo"} <= named <= targets


def test_benchmarks_that_the_pages_name_exist_and_none_is_left_out(repo):
    from benchmarks.__main__ import NAMES, ON_REQUEST

    text = (repo / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`python -m benchmarks (\w+)`", text)) - {"NAME"} == {*NAMES, *ON_REQUEST}
    tables = {path.name for path in (repo / "benchmarks" / "results").glob("*.md")}
    assert set(re.findall(r"\(\.\./benchmarks/results/(\w+\.md)\)", text)) == tables


def first_column(text: str, heading: str) -> set[str]:
    """The bold names in the table under a heading."""
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return set(re.findall(r"^\|.*?\*\*(.+?)\*\*", section, re.MULTILINE))


def test_readme_lists_every_node_and_workflow(repo):
    text = (repo / "README.md").read_text(encoding="utf-8")
    nodes = json.loads((repo / "locales" / "en" / "nodeDefs.json").read_text(encoding="utf-8"))
    assert first_column(text, "Nodes") == {node["display_name"] for node in nodes.values()}
    assert first_column(text, "Workflows") == {path.stem for path in (repo / "workflows").glob("*.json")}


# ---- the checklist ----


@pytest.fixture(scope="module")
def checklist(repo):
    return (repo / "docs" / "comfyui-checklist.md").read_text(encoding="utf-8")


def missing_tests(repo: Path, text: str) -> list[str]:
    """What a text names as `tests/a/test_b.py::test_c` and is no function of that file."""
    missing = []
    for file, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text):
        path = repo / file
        tree = ast.parse(path.read_text(encoding="utf-8") if path.is_file() else "")
        if name not in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}:
            missing.append(f"{file}::{name}")
    return missing


def test_the_checklist_names_tests_and_files_that_exist(repo, checklist):
    assert checklist.count("`tests/") > 120 and not missing_tests(repo, checklist)
    named = re.findall(r"`([\w./-]+\.(?:py|js|json|md|toml|txt|yml))`", checklist)
    assert len(named) > 20 and not [name for name in named if not (repo / name).is_file()]
    wrong = "`tests/unit/test_readme.py::test_nothing`, `tests/unit/none.py::test_a`, `tests/unit/test_readme.py::ast`"
    assert len(missing_tests(repo, wrong)) == 3


def test_the_checklist_has_each_line_once(checklist):
    rows = re.findall(r"^\| (\d+) \| [^|]+ \| (?:yes|partly|no) \| [^|]+ \|$", checklist, re.MULTILINE)
    assert list(map(int, rows)) == list(range(1, 61))
