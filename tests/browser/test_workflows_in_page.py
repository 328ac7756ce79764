"""The workflows of this pack in the page: they load completely, convert like `workflow_prompt`, and run."""

import json

from browser.live_page import run_to_end, steady, wait_equal, wait_for
from comfy_server import ROOT
from workflow_prompt import to_prompt

WORKFLOWS = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "workflows").glob("*.json"))}
PREVIEW = '[data-testid="gid-loop-preview"]'

LOAD = """async (workflow) => {
  await app.loadGraphData(workflow, true, true, "test");
  const graph = app.rootGraph ?? app.graph;
  return graph.nodes.map((n) => [n.type, !!n.has_errors, !!LiteGraph.registered_node_types[n.type]]);
}"""
PROMPT = "async () => (await app.graphToPrompt()).output"
BOXES = """() => (app.rootGraph ?? app.graph).nodes.map((node) => {
  const element = document.querySelector(`.lg-node[data-node-id="${node.id}"]`);
  if (element) { const r = element.getBoundingClientRect(); return [node.type, r.x, r.y, r.right, r.bottom]; }
  const [x, y, w, h] = node.getBounding();
  return [node.type, x, y, x + w, y + h];
})"""


def load(page, name):
    """Load a workflow and wait until the page has settled."""
    for type_, has_errors, known in page.evaluate(LOAD, WORKFLOWS[name]):
        assert known and not has_errors, type_
    steady(lambda: page.evaluate(BOXES))


def widgets_and_links(prompt: dict) -> dict:
    """The content of a prompt without the titles that only the page adds."""
    return {number: {name: node[name] for name in ("class_type", "inputs")} for number, node in prompt.items()}


def test_workflows_load_convert_and_do_not_overlap(page):
    object_info = page.server.object_info()
    touching = []
    for name, workflow in WORKFLOWS.items():
        load(page, name)
        assert not page.locator(".comfy-missing-nodes").is_visible()
        in_page = widgets_and_links(page.evaluate(PROMPT))
        assert in_page == widgets_and_links(to_prompt(workflow, object_info)), name
        touching += overlaps(steady(lambda: page.evaluate(BOXES)))  # Load Video grows when its preview appears
    assert not touching


def overlaps(boxes) -> list[tuple[str, str]]:
    """The pairs of nodes that overlap."""
    return [
        (a[0], b[0])
        for i, a in enumerate(boxes)
        for b in boxes[i + 1 :]
        if a[1] < b[3] - 1 and b[1] < a[3] - 1 and a[2] < b[4] - 1 and b[2] < a[4] - 1
    ]


# Other images in the render node than the loop: Vue draws <img>, the canvas uses its own widget.
LEFT_OVER = """() => {
  const node = (app.rootGraph ?? app.graph).nodes.find((n) => n.type === "GID_SoftmaxSplatRender");
  const element = document.querySelector(`.lg-node[data-node-id="${node.id}"]`);
  const found = [...(element?.querySelectorAll("img") ?? [])].filter((i) => !i.dataset.testid && i.checkVisibility());
  return [
    ...found.map((i) => `img ${i.naturalWidth} x ${i.naturalHeight}`),
    ...(node.imgs ?? []).map(() => "node.imgs"),
  ];
}"""


def node_box(page, node_type):
    """The screen rectangle [x, y, width, height] of the first node of a type, without its title."""
    return page.evaluate(
        """(type) => {
          const node = (app.rootGraph ?? app.graph).nodes.find((n) => n.type === type);
          const element = document.querySelector(`.lg-node[data-node-id="${node.id}"]`);
          if (element) { const r = element.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]; }
          const { scale, offset } = app.canvas.ds, canvas = app.canvas.canvas.getBoundingClientRect();
          return [(node.pos[0] + offset[0]) * scale + canvas.x, (node.pos[1] + offset[1]) * scale + canvas.y,
                  node.size[0] * scale, node.size[1] * scale];
        }""",
        node_type,
    )


SET_NUM_FRAMES = """(count) => {
  const render = (app.rootGraph ?? app.graph).nodes.find((n) => n.type === "GID_SoftmaxSplatRender");
  render.widgets.find((w) => w.name === "num_frames").value = count;
}"""


# Connects a small clip to Load Sample, below the other nodes.
OWN_CLIP = """() => {
  const graph = app.rootGraph ?? app.graph, load = LiteGraph.createNode("LoadVideo");
  graph.add(load);
  load.pos = [0, 1500];
  load.widgets.find((w) => w.name === "file").value = "clip.mp4";
  const sample = graph.nodes.find((n) => n.type === "GID_LoadSample");
  load.connect(0, sample, sample.inputs.findIndex((i) => i.name === "video"));
}"""


# The template opens with its note in view, and the page draws only what is in view.
BRING_INTO_VIEW = """(type) => {
  const [x, y] = (app.rootGraph ?? app.graph).nodes.find((n) => n.type === type).pos;
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [300 - x, 200 - y];
  app.canvas.setDirty(true, true);
}"""


def test_a_run_shows_its_loop_inside_the_node(page, tmp_path):
    load(page, "09_clip_to_loop")
    page.evaluate(OWN_CLIP)
    page.evaluate(BRING_INTO_VIEW, "GID_SoftmaxSplatRender")
    wait_equal(page.locator(PREVIEW).count, 1)
    assert not page.locator(PREVIEW).is_visible()
    page.evaluate(SET_NUM_FRAMES, 30)
    run_to_end(page)
    page.locator(PREVIEW).wait_for(state="visible")
    steady(lambda: node_box(page, "GID_SoftmaxSplatRender"))  # it grows
    page.screenshot(path=tmp_path / f"loop_{page.renderer}_{page.frontend}.png")

    image = page.locator(PREVIEW)
    wait_equal(lambda: image.evaluate("i => [i.complete, i.naturalWidth, i.naturalHeight]"), [True, 128, 72])
    assert image.get_attribute("alt")
    inside, around = image.bounding_box(), node_box(page, "GID_SoftmaxSplatRender")
    assert inside["width"] >= 100 and inside["height"] >= 60
    assert around[0] - 2 <= inside["x"] and inside["x"] + inside["width"] <= around[0] + around[2] + 2
    assert around[1] - 2 <= inside["y"] and inside["y"] + inside["height"] <= around[1] + around[3] + 2
    # The prompt and the file do not contain it.
    saved = page.evaluate("() => JSON.stringify((app.rootGraph ?? app.graph).serialize())")
    assert "loop_preview" not in saved and "gid_loop" not in saved
    assert "loop_preview" not in json.dumps(page.evaluate(PROMPT))

    assert not page.evaluate(LEFT_OVER)

    # A second run replaces it.
    first = image.get_attribute("src")
    page.evaluate(SET_NUM_FRAMES, 20)
    run_to_end(page)
    wait_for(page, f"(old) => document.querySelector('{PREVIEW}').src !== old", first)

    # A cached run names its file although the temp folder was emptied: no broken picture stays.
    page.evaluate(
        """() => { const n = (app.rootGraph ?? app.graph).nodes.find((n) => n.type === "GID_SoftmaxSplatRender");
                   n.onExecuted({ gid_loop: [{ filename: "gone.webp", subfolder: "", type: "temp" }] }); }"""
    )
    page.locator(PREVIEW).wait_for(state="hidden", timeout=10_000)

    # Undo and removal of the node leave no images behind.
    page.evaluate("() => app.extensionManager.command.execute('Comfy.Undo')")
    page.wait_for_timeout(500)
    wait_equal(page.locator(PREVIEW).count, 1)
    page.evaluate(
        """() => { const g = app.rootGraph ?? app.graph;
                   g.remove(g.nodes.find((n) => n.type === "GID_SoftmaxSplatRender")); }"""
    )
    wait_equal(page.locator(PREVIEW).count, 0)


FRAMES = """() => {
  window.gidFrames = [];
  app.api.addEventListener("gid.frame", (event) => window.gidFrames.push(event.detail));
}"""


def test_a_prediction_shows_its_motion_inside_the_node(page, tmp_path):
    load(page, "01_photo_to_loop")
    page.evaluate(
        """() => {
          const nodes = (app.rootGraph ?? app.graph).nodes;
          const set = (type, name, value) => {
            const widget = nodes.find((n) => n.type === type).widgets.find((w) => w.name === name);
            if (widget.options?.values && !widget.options.values.includes?.(value)) widget.options.values = [value];
            widget.value = value;
          };
          set("GID_LoadModel", "model_name", "tiny.safetensors");
          set("GID_PredictSpectralVolume", "steps", 9);
          set("GID_PredictSpectralVolume", "variations", 2);
          set("GID_LoopMotion", "num_frames", 4);
        }"""
    )
    page.evaluate(FRAMES)
    run_to_end(page)
    previews = page.locator(PREVIEW)
    assert previews.count() == 2
    for index in range(2):
        previews.nth(index).wait_for(state="visible")
    steady(lambda: page.evaluate(BOXES))  # the nodes grow
    page.screenshot(path=tmp_path / f"prediction_{page.renderer}_{page.frontend}.png")
    assert not overlaps(page.evaluate(BOXES))

    # Small live frames arrived for this node during the run.
    predict = page.evaluate(
        "() => String((app.rootGraph ?? app.graph).nodes.find((n) => n.type === 'GID_PredictSpectralVolume').id)"
    )
    live = [frame for frame in page.evaluate("window.gidFrames") if frame["node"].split(":")[-1] == predict]
    assert len(live) >= 2 and all(frame["image"].startswith("data:image/jpeg;base64,") for frame in live)
    around = node_box(page, "GID_PredictSpectralVolume")
    boxes = [previews.nth(index).bounding_box() for index in range(2)]
    inside = [
        box
        for box in boxes
        if around[0] - 2 <= box["x"] and box["x"] + box["width"] <= around[0] + around[2] + 2
        and around[1] - 2 <= box["y"] and box["y"] + box["height"] <= around[1] + around[3] + 2
    ]  # fmt: skip
    assert len(inside) == 1 and inside[0]["width"] >= 100 and inside[0]["height"] >= 60
    assert "loop_preview" not in json.dumps(page.evaluate(PROMPT))


# The nodes that are not completely in the window.
OFF_SCREEN = """() => {
  const [left, top, width, height] = app.canvas.visible_area;
  return (app.rootGraph ?? app.graph).nodes.filter((node) => {
    const [x, y, w, h] = node.getBounding();
    return x < left || y < top || x + w > left + width || y + h > top + height;
  }).map((node) => node.type);
}"""


def test_template_opens_and_survives_a_reload(page):
    there = "() => window.app && (app.rootGraph ?? app.graph)?.nodes?.some((n) => n.type === 'GID_SoftmaxSplatRender')"
    page.goto(f"{page.server.url}/?template=09_clip_to_loop&source=generative-image-dynamics")
    wait_for(page, there)
    # Newer pages show all of a template, older ones the place that it stores.
    in_view = (
        {"MarkdownNote"}
        if page.frontend == "pinned"
        else {node["type"] for node in WORKFLOWS["09_clip_to_loop"]["nodes"]}
    )
    wait_equal(lambda: page.evaluate(OFF_SCREEN), in_view.isdisjoint)
    page.wait_for_timeout(1500)  # the page saves to the browser's storage at intervals
    before = page.evaluate(PROMPT)
    page.goto(page.server.url)
    wait_for(page, there)
    wait_equal(lambda: widgets_and_links(page.evaluate(PROMPT)), widgets_and_links(before))
    wait_equal(page.locator(PREVIEW).count, 1)
