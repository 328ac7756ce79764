"""The subgraph blueprints in the page: found by the search, connected, and run with the outer node's controls."""

import json

import av
import pytest

from blueprint_list import BLUEPRINTS
from browser.live_page import clear, run_to_end, wait_equal, wait_for
from comfy_server import ROOT

HOST = "(app.rootGraph ?? app.graph).nodes.find((n) => n.subgraph)"
APPEARS = 60_000  # milliseconds for the search, and for what it finds
# Connects Load Sample and Save Video with the node, and lets what is inside take seconds.
CONNECT = """(output) => {
  const graph = app.rootGraph ?? app.graph, host = graph.nodes.find((n) => n.subgraph);
  const make = (type, pos) => { const n = LiteGraph.createNode(type); graph.add(n); n.pos = pos; return n; };
  const sample = make("GID_LoadSample", [40, 100]), save = make("SaveVideo", [1000, 100]);
  sample.connect(output, host, 0);
  host.connect(0, save, save.inputs.findIndex((i) => i.name === "video"));
  const set = (type, name, value) => {
    const widget = host.subgraph.nodes.find((n) => n.type === type)?.widgets.find((w) => w.name === name);
    if (!widget) return;
    if (widget.options?.values && !widget.options.values.includes?.(value)) widget.options.values = [value];
    widget.value = value;
  };
  set("GID_LoadModel", "model_name", "tiny.safetensors");
  set("GID_FitImage", "longest_side", 256);
  set("GID_PredictSpectralVolume", "steps", 2);
  set("GID_SpectralVolumeFromVideo", "max_size", 128);
  host.widgets.find((w) => w.name === "frames").value = 3;
}"""


def open_search(page, search):
    """Double-click the empty canvas until the search is there: a page that has just opened may miss the first time."""
    from playwright.sync_api import TimeoutError as NotYet

    for tries_left in reversed(range(3)):
        page.mouse.dblclick(560, 620)
        try:
            return search.wait_for(timeout=APPEARS / 3)
        except NotYet:
            if not tries_left:
                raise


def add_by_search(page, name):
    """Double-click the empty canvas, type the name, and put the node down."""
    clear(page)  # a new page has ComfyUI's first workflow
    search = page.locator("[role=dialog] input").first
    open_search(page, search)
    search.focus()
    page.keyboard.type(name, delay=30)
    page.get_by_text(BLUEPRINTS[name].description[:40]).first.wait_for(timeout=APPEARS)
    page.keyboard.press("Enter")
    wait_for(page, f"() => {HOST}")
    page.mouse.click(560, 320)  # until then the node follows the pointer


@pytest.mark.parametrize("name", sorted(BLUEPRINTS))
def test_one_node_makes_a_video(page, name, tmp_path):
    if page.frontend == "newest":
        add_by_search(page, name)
    else:
        blueprint = json.loads((ROOT / "subgraphs" / f"{name}.json").read_text())
        page.evaluate("async (graph) => { await app.loadGraphData(graph, true, true, 'test'); }", blueprint)
    wait_equal(lambda: page.evaluate(f"() => {HOST}.title"), name)
    widgets = page.evaluate(f"() => {HOST}.widgets.filter((w) => !w.hidden).map((w) => w.name)")
    assert [w for w in widgets if w != "control_after_generate"] == list(BLUEPRINTS[name].controls)

    page.evaluate(CONNECT, 2 if name.startswith("Clip") else 0)
    page.screenshot(path=tmp_path / f"{name}_{page.renderer}_{page.frontend}.png")
    prompt = run_to_end(page)
    page.screenshot(path=tmp_path / f"{name}_run_{page.renderer}_{page.frontend}.png")
    (video,) = (file for file in page.server.outputs(page.server.wait(prompt)) if file.suffix == ".mp4")
    with av.open(str(video)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 3
