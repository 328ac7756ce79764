"""The page in other languages: nodes, their inputs and options, and the texts of our own scripts."""

import json
from contextlib import contextmanager

import pytest

from browser.conftest import PAGES
from browser.live_page import FORCE, comfy_page, settle, wait_equal
from comfy_server import ROOT

BRUSH = '[data-testid="gid-brush-view"]'
# Loop Guidance, Wind Force, and a picture to paint on.
MAKE = """() => {
  const graph = app.rootGraph ?? app.graph;
  graph.clear();
  const make = (type, pos) => { const n = LiteGraph.createNode(type); n.pos = pos; graph.add(n); return n; };
  make("GID_LoopGuidance", [40, 620]);
  make("GID_Wind", [40, 80]);
  const image = make("LoadImage", [1240, 80]), sway = make("GID_VolumeFromMask", [520, 80]);
  image.widgets.find((w) => w.name === "image").value = "flowers.jpg";
  image.connect(0, sway, sway.inputs.findIndex((i) => i.name === "image"));
}"""
# The titles of nodes, the labels of inputs and the options that are chosen.
SHOWN = f"""() => ["GID_Wind", "GID_VolumeFromMask", "GID_LoopGuidance"].map((type) => {{
  const node = ({FORCE})(type);
  const labels = node.widgets.map((w) => [w.name, w.label]);
  const chosen = node.widgets.map((w) => [w.name, w.options?.getOptionLabel?.(w.value) ?? w.value]);
  return [node.title, Object.fromEntries(labels), Object.fromEntries(chosen)];
}})"""
# Texts of our controls that are wider than what holds them.
CUT = """() => [...document.querySelectorAll(".gid-bar button, .gid-bar label, .gid-open")]
  .filter((e) => e.scrollWidth > e.clientWidth + 1 || e.clientHeight > 30).map((e) => e.textContent)"""


@contextmanager
def page_in(language, browser, server, renderer):
    with comfy_page(browser, server, renderer, language) as page:
        page.evaluate(MAKE)
        yield page
        assert not page.errors, "\n".join(page.errors)


def texts(language):
    nodes, main = (
        json.loads((ROOT / "locales" / language / f"{name}.json").read_text("utf-8")) for name in ("nodeDefs", "main")
    )
    return nodes, main["gid"]


# Of each node: its type, an input, and an option that is chosen.
EXPECTED = [
    ("GID_Wind", "strength", "preset", "breeze"),
    ("GID_VolumeFromMask", "gravity", "gravity", "down"),
    ("GID_LoopGuidance", "mode", "mode", "projection"),
]


def check_nodes(page, language, frontend):
    """The nodes are in this language: titles, labels of inputs, options, and what our scripts write."""
    nodes, ours = texts(language)

    def is_translated(shown):
        return shown[0][1]["preset"] == ours["preset"] and (
            frontend == "pinned" or shown[0][0] == nodes["GID_Wind"]["display_name"]
        )

    shown = wait_equal(lambda: page.evaluate(SHOWN), is_translated)
    for (title, labels, chosen), (node_id, name, combo, option) in zip(shown, EXPECTED, strict=True):
        if frontend == "newest":  # the pinned one forgets translations of packs: ComfyUI_frontend's pull request 7214
            assert title == nodes[node_id]["display_name"]
            assert labels[name] == nodes[node_id]["inputs"][name]["name"]
        assert chosen[combo] == ours["options"][option]
    if page.renderer == "canvas":
        assert shown[0][1]["more_options"] == ours["more_options"]
    page.get_by_text(ours["live_hint"]).wait_for()


@pytest.mark.parametrize(("renderer", "frontend"), PAGES)
def test_nodes_and_scripts_speak_the_language_of_the_page(renderer, frontend, browser, browser_server, tmp_path):
    with page_in("ja", browser, browser_server(frontend), renderer) as page:
        check_nodes(page, "ja", frontend)
        nodes, ours = texts("ja")
        if (renderer, frontend) == ("vue", "newest"):
            node = page.locator(".lg-node").filter(has_text=nodes["GID_LoopGuidance"]["display_name"]).last
            node.get_by_text(nodes["GID_LoopGuidance"]["inputs"]["mode"]["name"], exact=True).wait_for()
            node.get_by_text(ours["options"]["projection"], exact=True).first.wait_for()
        page.screenshot(path=tmp_path / f"ja_{renderer}_{frontend}.png")
        settle(page, ".gid-open")  # the pinned frontend unfolds all inputs, and the button is below the window
        page.get_by_role("button", name=ours["paint_motion_tip"]).click()
        page.locator(BRUSH).wait_for(state="visible")
        settle(page, BRUSH)
        assert page.get_by_text(ours["paint_hint"], exact=True).is_visible()
        assert page.get_by_role("button", name=ours["move_tip"]).inner_text() == ours["move"]
        page.screenshot(path=tmp_path / f"ja_brush_{renderer}_{frontend}.png")
        assert page.evaluate(CUT) == []

        # ComfyUI makes the nodes anew when another language is chosen; it keeps the titles that a workflow has.
        page.evaluate("app.extensionManager.setting.set('Comfy.Locale', 'zh')")
        wait_equal(lambda: page.evaluate(SHOWN)[0][1]["preset"], texts("zh")[1]["preset"])
