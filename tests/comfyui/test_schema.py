"""The schemas that the page and saved workflows rely on. A change here breaks workflows of users.

To rewrite the snapshot schema.json from the running server:

    GID_UPDATE_SNAPSHOT=1 python -m pytest tests/comfyui/test_schema.py
"""

import json
import os
import re
import urllib.request
from pathlib import Path

import pytest

SNAPSHOT = Path(__file__).with_name("schema.json")
OWN_FILES = {
    ("GID_LoadSpectralVolume", "file"),
    ("GID_LoadModel", "model_name"),
}  # their options depend on the user's files
WIDGET_TYPES = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
TEXT_OPTIONS = {"display_name", "tooltip"}  # may change; other tests cover them
LANGUAGES = sorted(path.name for path in (Path(__file__).parents[2] / "locales").iterdir())


@pytest.fixture(scope="module")
def nodes(server) -> dict[str, dict]:
    """This pack's nodes as the server describes them."""
    ours = "custom_nodes.generative-image-dynamics"
    return {name: info for name, info in server.object_info().items() if info["python_module"] == ours}


def inputs_of(info: dict):
    """Yield (name, group, type, options) of each input in order."""
    for group in ("required", "optional"):
        for name, spec in info["input"].get(group, {}).items():
            kind, options = spec[0], dict(spec[1]) if len(spec) > 1 else {}
            if isinstance(kind, list):
                kind, options = "COMBO", {**options, "options": kind}
            yield name, group, kind, options


def summary(node_id: str, info: dict) -> dict:
    """The part of a schema that saved workflows rely on."""
    inputs = {}
    for name, group, kind, options in inputs_of(info):
        options = {key: value for key, value in options.items() if key not in TEXT_OPTIONS}
        if (node_id, name) in OWN_FILES:
            options.pop("options", None)
        inputs[name] = {"group": group, "type": kind, **options}
    return {
        "display_name": info["display_name"],
        "category": info["category"],
        "output_node": info["output_node"],
        "inputs": inputs,
        "outputs": [list(pair) for pair in zip(info["output_name"], info["output"], strict=True)],
    }


def test_schema_is_the_committed_one(nodes):
    now = {node_id: summary(node_id, nodes[node_id]) for node_id in sorted(nodes)}
    if os.environ.get("GID_UPDATE_SNAPSHOT") == "1":
        SNAPSHOT.write_text(json.dumps(now, indent=1) + "\n")
    committed = json.loads(SNAPSHOT.read_text())
    assert list(now) == list(committed), "nodes were added or removed"
    for node_id, description in now.items():
        # Compared as text, because the order of inputs is the order of widget values in saved workflows.
        assert json.dumps(description, indent=1) == json.dumps(committed[node_id], indent=1), node_id


def test_every_node_has_our_prefix_and_a_description(nodes):
    assert nodes
    for node_id, info in nodes.items():
        assert node_id.startswith("GID_")
        assert info["description"].endswith("."), node_id
        assert info["display_name"] and not info["display_name"].startswith("GID"), node_id
        assert info["category"].split("/")[0] == "image dynamics", node_id
        assert not info["deprecated"] and not info["experimental"], node_id


def test_every_input_and_output_has_a_tooltip(nodes):
    missing = []
    for node_id, info in nodes.items():
        missing += [(node_id, name) for name, _, _, options in inputs_of(info) if not options.get("tooltip")]
        tooltips = info["output_tooltips"]
        missing += [(node_id, name) for name, tip in zip(info["output_name"], tooltips, strict=True) if not tip]
    assert not missing


def test_at_most_six_widgets_are_visible(nodes):
    for node_id, info in nodes.items():
        widgets = [name for name, _, kind, options in inputs_of(info) if kind in WIDGET_TYPES]
        folded = [name for name, _, _, options in inputs_of(info) if options.get("advanced")]
        assert len(set(widgets) - set(folded)) <= 6, node_id


def test_defaults_are_within_their_limits(nodes):
    for node_id, info in nodes.items():
        for name, _, kind, options in inputs_of(info):
            if kind in ("INT", "FLOAT"):
                assert options["min"] <= options["default"] <= options["max"], (node_id, name)
            if kind == "COMBO" and "default" in options:
                assert options["default"] in options["options"], (node_id, name)


# -- help pages and translations ---------------------------------------------------------------------------------------


def test_every_node_has_a_help_page(server, repo, nodes):
    missing = [node_id for node_id in nodes if not (repo / "js" / "docs" / f"{node_id}.md").is_file()]
    assert not missing
    strangers = {path.stem for path in (repo / "js" / "docs").glob("*.md")} - set(nodes)
    assert not strangers, "help pages of nodes that do not exist"


def translated_page(repo: Path, node_id: str) -> Path:
    """The Chinese help page. ComfyUI shows `<node id>/<language>.md` if there is one, `<node id>.md` otherwise."""
    return repo / "js" / "docs" / node_id / "zh.md"


def test_every_help_page_is_there_in_chinese(repo, nodes):
    pages = {path.relative_to(repo / "js" / "docs") for path in (repo / "js" / "docs").glob("*/*.md")}
    assert pages == {Path(node_id, "zh.md") for node_id in nodes}


def test_help_pages_and_their_images_are_served(server, repo):
    prefix = "/extensions/generative-image-dynamics/docs/"
    for path in (repo / "js" / "docs").rglob("*.*"):
        name = path.relative_to(repo / "js" / "docs").as_posix()
        with urllib.request.urlopen(server.url + prefix + name) as answer:
            assert answer.read() == path.read_bytes(), name
    for page in (repo / "js" / "docs").rglob("*.md"):
        for image in re.findall(r"!\[[^]]+\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            # From docs/ on, in pages of all languages: the page of ComfyUI puts the address of docs/ before it.
            assert (repo / "js" / "docs" / image).is_file(), f"{page} shows {image}"


def test_help_pages_name_every_input_and_output(repo, nodes):
    missing = []
    for node_id, info in nodes.items():
        page = (repo / "js" / "docs" / f"{node_id}.md").read_text()
        words = [options.get("display_name") or name for name, _, _, options in inputs_of(info)]
        missing += [(node_id, word) for word in [*words, *info["output_name"]] if word not in page]
    assert not missing


# What a translated help page repeats in the order of the English one, and what it only has to contain.
SAME = {
    "headings": r"^#+(?= )",
    "rows of tables": r"^\|",
    "items of lists": r"^-(?= )",
    "images and links": r"\]\(([^)\s]+)\)",
    "blocks of code": r"^```.*?^```$|^    .+?$",
}
CONTAINED = {"code": r"`[^`\n]+`", "numbers": r"\d+(?:[.,]\d+)*"}


def differences(english: str, translated: str) -> list[tuple]:
    """What a translated page lacks, or has in excess, beside the English one."""

    def found(pattern: str, text: str) -> list[str]:
        return re.findall(pattern, text, re.MULTILINE | re.DOTALL)

    pairs = {name: (found(pattern, english), found(pattern, translated)) for name, pattern in SAME.items()}
    different = [(name, *pair) for name, pair in pairs.items() if pair[0] != pair[1]]
    missing = {name: set(found(p, english)) - set(found(p, translated)) for name, p in CONTAINED.items()}
    return different + [(name, words) for name, words in missing.items() if words]


def test_chinese_help_pages_have_what_the_english_ones_have(repo, nodes):
    for node_id in nodes:
        english = (repo / "js" / "docs" / f"{node_id}.md").read_text(encoding="utf-8")
        assert differences(english, translated_page(repo, node_id).read_text(encoding="utf-8")) == [], node_id


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (("| gain |", "| new | A new input. |\n| gain |"), "rows of tables"),
        (("## Tips", "## More\n\n## Tips"), "headings"),
        (("0.5 to 3", "0.5 to 3.5"), "numbers"),
        (("Without a mask", "Without a `new`"), "code"),
        (("images/amplify.jpg", "images/new.jpg"), "images and links"),
    ],
)
def test_a_change_of_an_english_help_page_is_missed_in_the_chinese_one(repo, change, name):
    english = (repo / "js" / "docs" / "GID_AmplifyMotion.md").read_text(encoding="utf-8")
    chinese = translated_page(repo, "GID_AmplifyMotion").read_text(encoding="utf-8")
    assert change[0] in english
    assert [found[0] for found in differences(english.replace(*change), chinese)] == [name]


def test_chinese_help_pages_name_every_input_and_output_as_the_nodes_do(repo, nodes):
    names = json.loads((repo / "locales" / "zh" / "nodeDefs.json").read_text(encoding="utf-8"))
    for node_id in nodes:
        page = translated_page(repo, node_id).read_text(encoding="utf-8")
        entry = names[node_id]
        assert page.startswith(f"# {entry['display_name']}\n"), node_id
        rows = [line for line in page.splitlines() if line.startswith("| ")]
        words = [(part["name"], name) for name, part in entry["inputs"].items()]
        words += [(f"| {part['name']} |",) for part in entry.get("outputs", {}).values()]
        assert [pair for pair in words if not any(all(word in row for word in pair) for row in rows)] == [], node_id


@pytest.mark.parametrize("language", LANGUAGES)
def test_translations_cover_every_node_input_and_output(repo, nodes, language):
    translated = json.loads((repo / "locales" / language / "nodeDefs.json").read_text())
    assert set(translated) == set(nodes)
    for node_id, info in nodes.items():
        entry = translated[node_id]
        assert entry["display_name"] and entry["description"], node_id
        expected = {name for name, _, _, _ in inputs_of(info)}
        assert set(entry["inputs"]) == expected, node_id
        assert set(entry.get("outputs", {})) == {str(index) for index in range(len(info["output"]))}, node_id
        for part in (*entry["inputs"].values(), *entry.get("outputs", {}).values()):
            assert part["name"] and part["tooltip"], (node_id, part)


def test_english_locale_equals_the_texts_of_the_nodes(repo, nodes):
    # The page shows the locale, so a text that is changed only in the node would never appear.
    translated = json.loads((repo / "locales" / "en" / "nodeDefs.json").read_text())
    for node_id, info in nodes.items():
        entry = translated[node_id]
        assert (entry["display_name"], entry["description"]) == (info["display_name"], info["description"])
        for name, _, _, options in inputs_of(info):
            assert entry["inputs"][name]["tooltip"] == options["tooltip"], (node_id, name)
        for index, tooltip in enumerate(info["output_tooltips"]):
            assert entry["outputs"][str(index)]["tooltip"] == tooltip, (node_id, index)
            assert entry["outputs"][str(index)]["name"] == info["output_name"][index], (node_id, index)


@pytest.mark.parametrize("language", LANGUAGES)
def test_translations_reach_the_page(server, nodes, language):
    served = server.get("/i18n")[language]["nodeDefs"]
    assert set(nodes) <= set(served)


@pytest.mark.parametrize(
    "words", ["animate a photo", "animates an image", "image to video", "cinemagraph", "loop", "wiggle", "sway", "wind"]
)
def test_words_that_people_search_for_stand_in_a_description(nodes, words):
    # Where a page searches descriptions only, as the registry does, aliases are not found.
    assert [node_id for node_id, info in nodes.items() if words in info["description"].lower()]
