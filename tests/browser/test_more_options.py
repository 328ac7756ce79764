"""Less before more in the page: few widgets, the others on request, the live picture first, and presets."""

import pytest

from browser.live_page import FORCE, build, run, run_to_end, set_value, settle, steady, value, wait_equal, wait_for

# What a node shows before anybody asks for more: of each type, its widgets with values.
SHOWN = {
    "GID_ModalForce": ["num_frames", "strength", "damping", "speed"],
    "GID_Wind": ["strength", "num_frames", "loop"],
    "GID_AudioForce": ["direction", "strength", "num_frames", "damping"],
    "GID_LoopGuidance": ["mode", "strength"],
    "GID_VolumeFromMask": ["gravity", "amplitude", "base_frequency", "seed", "control_after_generate"],
    "GID_PredictSpectralVolume": ["seed", "control_after_generate", "steps", "guidance", "amplitude", "variations"],
}
MAKE = """(type) => {
  const graph = app.rootGraph ?? app.graph;
  graph.clear();
  const node = LiteGraph.createNode(type);
  node.pos = [300, 60];
  graph.add(node);
}"""
VISIBLE = f"""(type) => {{
  const node = ({FORCE})(type);
  return node.widgets.filter((w) => w.serialize !== false && node.isWidgetVisible(w)).map((w) => w.name);
}}"""
TOGGLE = f"""(type) => {{
  const node = ({FORCE})(type);
  node.widgets.find((w) => w.name === "more_options").callback();
}}"""
SAVED = f"(type) => JSON.parse(JSON.stringify(({FORCE})(type).serialize()))"
RELOAD = (
    "async () => { await app.loadGraphData(JSON.parse(JSON.stringify((app.rootGraph ?? app.graph).serialize()))); }"
)
PRESET = f"(type) => ({FORCE})(type).widgets.find((w) => w.name === 'preset').value"
CHOOSE = f"""([type, name]) => {{
  const widget = ({FORCE})(type).widgets.find((w) => w.name === "preset");
  widget.value = name;
  widget.callback(name);
}}"""


@pytest.fixture
def canvas_page(page):
    if page.renderer != "canvas":
        pytest.skip("Nodes 2.0 folds advanced widgets by itself")
    return page


def make(page, node_type):
    page.evaluate(MAKE, node_type)
    wait_for(page, f"(type) => ({FORCE})(type)", node_type)


@pytest.mark.parametrize("node_type", sorted(SHOWN))
def test_the_canvas_shows_few_widgets_and_the_others_on_request(canvas_page, node_type, tmp_path):
    page = canvas_page
    make(page, node_type)
    assert page.evaluate(VISIBLE, node_type) == SHOWN[node_type]
    few = steady(lambda: page.evaluate(f"(type) => [...({FORCE})(type).size]", node_type))
    page.screenshot(path=tmp_path / f"few_{node_type}_{page.frontend}.png")
    saved = page.evaluate(SAVED, node_type)

    page.evaluate(TOGGLE, node_type)
    every = page.evaluate(
        f"(type) => ({FORCE})(type).widgets.filter((w) => w.serialize !== false).map((w) => w.name)", node_type
    )
    assert page.evaluate(VISIBLE, node_type) == every
    many = steady(lambda: page.evaluate(f"(type) => [...({FORCE})(type).size]", node_type))
    assert many[1] > few[1] + 20
    page.screenshot(path=tmp_path / f"many_{node_type}_{page.frontend}.png")
    opened = page.evaluate(SAVED, node_type)
    assert opened["showAdvanced"] and not saved.get("showAdvanced")
    # The file is the same otherwise, with a value for each widget at its place.
    assert opened["widgets_values"] == saved["widgets_values"] and len(saved["widgets_values"]) == len(every)
    assert None not in saved["widgets_values"]

    page.evaluate(RELOAD)  # as a saved workflow, a paste and an undo do
    wait_equal(lambda: page.evaluate(VISIBLE, node_type), every)
    assert page.evaluate(SAVED, node_type)["widgets_values"] == saved["widgets_values"]
    page.evaluate(TOGGLE, node_type)
    assert page.evaluate(VISIBLE, node_type) == SHOWN[node_type]
    again = steady(lambda: page.evaluate(f"(type) => ({FORCE})(type).size[1]", node_type))
    assert few[1] - 2 <= again < few[1] + 20  # ComfyUI asks for a little more when it is told a size


def test_nodes_2_shows_few_widgets_by_itself(page):
    """In the newest frontend; the pinned one shows all."""
    if page.renderer == "canvas" or page.frontend == "pinned":
        pytest.skip("only Nodes 2.0 of the newest frontend folds advanced widgets")
    make(page, "GID_ModalForce")
    node = page.locator(".lg-node")
    node.get_by_text("damping", exact=True).wait_for()
    assert node.get_by_text("num_frames").is_visible() and not node.get_by_text("alpha").is_visible()
    assert not node.locator("textarea").is_visible()  # the pokes
    assert node.get_by_text("More options").count() == 0


@pytest.mark.parametrize("node_type", ["GID_ModalForce", "GID_Wind"])
def test_the_live_picture_stands_first_and_values_keep_their_places(page, node_type, tmp_path):
    selector = build(page, node_type, photo="flowers.jpg", num_frames=33, strength=0.75)
    run(page, selector)
    settle(page, selector)
    page.screenshot(path=tmp_path / f"first_{node_type}_{page.renderer}_{page.frontend}.png")
    assert page.evaluate(f"(type) => ({FORCE})(type).widgets[0].name", node_type) == "live"
    before = page.evaluate(SAVED, node_type)["widgets_values"]
    specs = page.server.object_info(node_type)["input"]
    inputs = [spec for group in specs.values() for spec in group.values() if "default" in spec[-1]]
    assert len(before) == len(inputs) + (node_type == "GID_Wind")  # and the seed's control
    page.evaluate(RELOAD)
    wait_for(page, f"(type) => ({FORCE})(type)?.widgets?.length", node_type)
    assert page.evaluate(SAVED, node_type)["widgets_values"] == before
    assert (value(page, "num_frames", node_type), value(page, "strength", node_type)) == (33, 0.75)
    run_to_end(page)


def test_a_folded_node_works_in_a_subgraph(page):
    build(page, num_frames=12)
    page.evaluate(
        f"""() => {{
          app.canvas.deselectAll?.();
          app.canvas.select(({FORCE})());
          app.graph.convertToSubgraph(new Set([({FORCE})()]));
        }}"""
    )
    wait_for(page, "() => (app.rootGraph ?? app.graph).nodes.some((n) => n.subgraph)")
    assert (value(page, "num_frames"), value(page)) == (12, "[]")
    assert page.evaluate(SAVED, "GID_ModalForce")["widgets_values"][:2] == ["[]", 12]
    run_to_end(page)


def test_a_preset_fills_the_widgets_and_a_change_makes_it_custom(page, tmp_path):
    make(page, "GID_Wind")
    assert page.evaluate(PRESET, "GID_Wind") == "breeze"
    page.evaluate(CHOOSE, ["GID_Wind", "storm"])
    values = [value(page, name, "GID_Wind") for name in ("strength", "gustiness", "speed", "damping")]
    assert values == pytest.approx([2.0, 0.8, 1.6, 0.6])
    assert page.evaluate(PRESET, "GID_Wind") == "storm"
    page.screenshot(path=tmp_path / f"storm_{page.renderer}_{page.frontend}.png")

    # It is neither sent nor stored: the values are.
    saved = page.evaluate(SAVED, "GID_Wind")
    assert not {"storm", "breeze", "custom"} & set(map(str, saved["widgets_values"]))
    page.evaluate(RELOAD)
    wait_equal(lambda: page.evaluate(PRESET, "GID_Wind"), "storm")
    assert page.evaluate(SAVED, "GID_Wind")["widgets_values"] == saved["widgets_values"]

    set_value(page, "strength", 1.25, "GID_Wind")
    page.evaluate(f"() => ({FORCE})('GID_Wind').widgets.find((w) => w.name === 'strength').callback(1.25)")
    assert page.evaluate(PRESET, "GID_Wind") == "custom"
    page.evaluate(CHOOSE, ["GID_Wind", "custom"])
    assert value(page, "strength", "GID_Wind") == 1.25 and page.evaluate(PRESET, "GID_Wind") == "custom"

    make(page, "GID_VolumeFromMask")
    page.evaluate(CHOOSE, ["GID_VolumeFromMask", "hanging"])
    values = [value(page, name, "GID_VolumeFromMask") for name in ("gravity", "amplitude", "base_frequency")]
    assert values == ["up", pytest.approx(1.5), pytest.approx(0.7)]
    assert page.evaluate(PRESET, "GID_VolumeFromMask") == "hanging"
