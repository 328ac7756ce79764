"""The texts of nodes and scripts in each language. What the server makes of them: tests/comfyui/test_schema.py."""

import json
import re
from functools import cache
from pathlib import Path

import pytest

from gid_core.presets import SWAY_PRESETS, WIND_PRESETS

ROOT = Path(__file__).parents[2]
TRANSLATIONS = sorted(path.name for path in (ROOT / "locales").iterdir() if path.name != "en")
CALL = re.compile(r'\btranslate\(\s*"([\w.]+)",\s*((?:"(?:[^"\\]|\\.)*"(?:\s*\+\s*)?)+)')
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
SYMBOLS = {"fps", "alpha", "beta", "crf"}  # the same in every language


@cache
def texts(language: str, file: str) -> dict[str, str]:
    """The texts of a file by their keys, joined by slashes."""
    tree = json.loads((ROOT / "locales" / language / f"{file}.json").read_text(encoding="utf-8"))

    def flat(item, path):
        if isinstance(item, str):
            return {"/".join(path): item}
        return {key: text for name, part in item.items() for key, text in flat(part, (*path, name)).items()}

    return flat(tree, ())


def test_english_equals_the_texts_of_the_scripts():
    calls = [call for path in sorted((ROOT / "js").glob("*.js")) for call in CALL.findall(path.read_text("utf-8"))]
    written = {f"gid/{key}": "".join(map(json.loads, STRING.findall(text))) for key, text in calls}
    main = texts("en", "main")
    assert written == {key: text for key, text in main.items() if re.match("gid/(?!options/)", key)}


def test_every_option_with_a_label_exists():
    schema = json.loads((ROOT / "tests" / "comfyui" / "schema.json").read_text(encoding="utf-8"))
    combos = [spec for node in schema.values() for spec in node["inputs"].values() if spec["type"] == "COMBO"]
    options = {option for spec in combos for option in spec.get("options", [])}
    labels = {key.split("/")[-1]: text for key, text in texts("en", "main").items() if key.startswith("gid/options/")}
    assert set(labels) <= options | {*WIND_PRESETS, *SWAY_PRESETS, "custom"}
    assert all(option == label for option, label in labels.items())


@pytest.mark.parametrize("file", ["main", "nodeDefs"])
@pytest.mark.parametrize("language", TRANSLATIONS)
def test_a_translation_has_every_text_in_its_language(language, file):
    english, translated = texts("en", file), texts(language, file)
    assert set(translated) == set(english)
    kept = {key: text for key, text in translated.items() if text.isascii() and text not in SYMBOLS}
    assert not kept
    for key, text in english.items():
        values = re.compile(r"\{\w+\}")
        assert sorted(values.findall(text)) == sorted(values.findall(translated[key])), key


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_a_tooltip_names_options_as_the_page_shows_them(language):
    # With the value behind it, which workflows and some pages show.
    tooltips = {key: text for key, text in texts("en", "nodeDefs").items() if key.endswith("/tooltip")}
    labels = {key.split("/")[-1]: text for key, text in texts(language, "main").items() if "/options/" in key}
    for key, english in tooltips.items():
        for option in re.findall(r"(?:^|\. )([\w ]+?)(?: only)?: ", english):
            if option in labels:
                assert f"{labels[option]}（{option}）" in texts(language, "nodeDefs")[key], (key, option)
