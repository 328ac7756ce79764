"""What a run writes and draws on nodes stays: after the run, after a reload of the page, and beside open panels."""

import pytest
import tomllib

import gid_core as gid
from browser.live_page import BUILD, run_to_end, settle, steady, wait_equal, wait_for
from comfy_server import ROOT

REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
STATUS = '[data-testid="gid-status"]'
PREVIEW = '[data-testid="gid-loop-preview"]'
NODES = "(app.rootGraph ?? app.graph).nodes"
THERE = f"() => window.app?.extensionManager && app.graph && {NODES}.some((n) => n.type === 'GID_SoftmaxSplatRender')"

# Of the graph of BUILD with Loop Motion: renders three frames of it and saves them.
RENDER = """() => {
  const graph = app.rootGraph ?? app.graph, find = (type) => graph.nodes.find((n) => n.type === type);
  const make = (type, pos) => { const n = LiteGraph.createNode(type); graph.add(n); n.pos = pos; return n; };
  const join = (from, out, to, name) => from.connect(out, to, to.inputs.findIndex((i) => i.name === name));
  const render = make("GID_SoftmaxSplatRender", [800, 60]), save = make("SaveImage", [1300, 60]);
  join(find("LoadImage"), 0, render, "image");
  join(find("GID_LoopMotion"), 0, render, "motion");
  join(render, 0, save, "images");
  render.widgets.find((w) => w.name === "num_frames").value = 3;
}"""
# How far a node's content reaches over its lower edge, in pixels of the screen.
OVERHANG = """([type, selector]) => {
  const node = (app.rootGraph ?? app.graph).nodes.find((n) => n.type === type);
  const element = document.querySelector(`.lg-node[data-node-id="${node.id}"]`), { scale, offset } = app.canvas.ds;
  const bottom = element ? element.getBoundingClientRect().bottom
    : (node.pos[1] + offset[1] + node.size[1]) * scale + app.canvas.canvas.getBoundingClientRect().y;
  return document.querySelector(selector).getBoundingClientRect().bottom - bottom;
}"""


def loop_graph(page, num_frames):
    page.evaluate(BUILD.replace('join(image, 0, force, "image")', ""), ["GID_LoopMotion", "ramp.png", {}])
    page.evaluate(RENDER)
    set_frames(page, num_frames)


def set_frames(page, count):
    page.evaluate(f"""(count) => {{ const loop = {NODES}.find((n) => n.type === "GID_LoopMotion");
      loop.widgets.find((w) => w.name === "num_frames").value = count; }}""", count)  # fmt: skip


def test_texts_and_previews_stay_after_the_run_and_after_a_reload(page, tmp_path):
    loop_graph(page, 40)
    assert page.locator(STATUS).count() == 0  # no space is taken before there is a text
    run_to_end(page)
    status, preview = page.locator(STATUS), page.locator(PREVIEW)
    preview.wait_for(state="visible")
    page.wait_for_timeout(1000)  # the frontend's own texts would be gone
    assert status.count() == 1 and status.is_visible()
    text = status.inner_text()
    assert text.startswith("40 frames, 1.33 s at 30 fps\nplays at 3.")
    steady(lambda: page.evaluate(OVERHANG, ["GID_LoopMotion", STATUS]))
    page.screenshot(path=tmp_path / f"status_{page.renderer}_{page.frontend}.png")
    assert page.evaluate(OVERHANG, ["GID_LoopMotion", STATUS]) <= 0
    saved = page.evaluate(f"() => JSON.stringify({NODES}.map((n) => n.serialize()))")
    assert "plays at" not in saved and "status" not in saved

    # Another run of the same page replaces it.
    set_frames(page, 150)
    run_to_end(page)
    wait_equal(status.all_inner_texts, ["150 frames, 5.00 s at 30 fps"])

    page.wait_for_timeout(1500)  # the page saves to the browser's storage at intervals
    page.goto(page.server.url)
    wait_for(page, THERE)
    wait_equal(status.all_inner_texts, ["150 frames, 5.00 s at 30 fps"])
    preview.wait_for(state="visible")
    run_to_end(page)  # all nodes are cached, and send nothing
    page.wait_for_timeout(500)
    assert status.is_visible() and preview.is_visible()
    assert page.evaluate(f"{NODES}.find((n) => n.type === 'GID_LoopMotion').widgets.length") == 4


def test_an_empty_text_removes_the_text_and_its_space(page):
    loop_graph(page, 150)
    send = f"""(text) => app.api.dispatchEvent(new CustomEvent("gid.text", {{ detail: {{ text,
      node: String({NODES}.find((n) => n.type === "GID_SoftmaxSplatRender").id) }} }}))"""
    height = f"{NODES}.find((n) => n.type === 'GID_SoftmaxSplatRender').computeSize()[1]"
    before = page.evaluate(height)
    page.evaluate(send, "The image has alpha.")
    wait_equal(page.locator(STATUS).all_inner_texts, ["The image has alpha."])
    page.evaluate(send, "")
    page.locator(STATUS).wait_for(state="hidden")
    if page.renderer == "canvas":
        assert page.evaluate(height) <= before + 4


@pytest.mark.parametrize("page", [("canvas", "newest"), ("vue", "newest")], ids="-".join, indirect=True)
def test_the_panel_of_parameters_lists_no_empty_rows_and_changes_no_width(page, tmp_path):
    page.evaluate(BUILD, ["GID_Wind", "flowers.jpg", {}])
    live = '[data-testid="gid-live"]'
    settle(page, live)
    width = page.locator(live).bounding_box()["width"]
    page.evaluate("() => app.extensionManager.setting.set('Comfy.RightSidePanel.IsOpen', true)")
    page.evaluate(f"() => app.canvas.select({NODES}.find((n) => n.type === 'GID_Wind'))")
    panel = page.locator('[data-testid="properties-panel"]')
    panel.get_by_text("strength", exact=True).wait_for(state="visible")
    panel.get_by_text("Advanced inputs").click()
    panel.get_by_text("gustiness", exact=True).wait_for(state="visible")
    page.wait_for_timeout(500)
    page.screenshot(path=tmp_path / f"panel_{page.renderer}.png")
    assert panel.get_by_text("live", exact=True).count() == 0
    page.evaluate("() => app.extensionManager.setting.set('Comfy.RightSidePanel.IsOpen', false)")
    page.evaluate("() => { app.canvas.deselectAll(); app.canvas.setDirty(true, true); }")
    panel.wait_for(state="hidden")
    settle(page, live)
    assert abs(page.locator(live).bounding_box()["width"] - width) < 2


# The colors that the page uses for a wire on the canvas, for a slot there, and for a slot in Nodes 2.0.
COLORS = """(type) => [
  LGraphCanvas.link_type_colors[type],
  app.canvas.default_connection_color_byType[type],
  getComputedStyle(document.documentElement).getPropertyValue(`--color-datatype-${type}`).trim(),
]"""


def test_wires_of_this_pack_keep_their_colors_when_a_palette_is_loaded(page):
    own = ("GID_SPECTRAL_VOLUME", "GID_MOTION", "GID_MODEL", "GID_GUIDANCE")
    page.wait_for_timeout(1000)  # the first palette is loaded after the page is ready
    colors = [page.evaluate(COLORS, type_) for type_ in own]
    assert len({color for three in colors for color in three}) == len(own) and all(map(all, colors))
    loop_graph(page, 40)
    links = page.evaluate("[...app.graph.links.values()].map((l) => LGraphCanvas.link_type_colors[l.type])")
    assert {color for three in colors[:2] for color in three} < set(links)
    image = page.evaluate(COLORS, "IMAGE")
    for palette in ("solarized", "dark"):
        page.evaluate("(name) => app.extensionManager.setting.set('Comfy.ColorPalette', name)", palette)
        wait_equal(lambda: page.evaluate(COLORS, "IMAGE") == image, palette == "dark")
        assert [page.evaluate(COLORS, type_) for type_ in own] == colors
    # A palette that names our types wins.
    page.evaluate("() => Object.assign(LGraphCanvas.link_type_colors, { GID_MOTION: '#123456' })")
    assert page.evaluate(COLORS, "GID_MOTION")[0] == "#123456"
    page.evaluate("() => Object.assign(LGraphCanvas.link_type_colors, { GID_MOTION: '' })")
    assert page.evaluate(COLORS, "GID_MOTION") == colors[1]


def test_the_about_page_names_the_version(page):
    badges = page.evaluate("() => app.extensions.flatMap((e) => e.aboutPageBadges ?? []).map((b) => [b.label, b.url])")
    assert [f"Generative Image Dynamics v{gid.__version__}", REPOSITORY] in badges
