"""Write workflows/*.json from workflow_list.py with ComfyUI's page, so that the files equal those that a user saves.

.venv/bin/python scripts/build_workflows.py [name ...]
"""

import json
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import sync_playwright

import gid_core
from comfy_server import ROOT, ComfyServer
from workflow_list import MUTED_GROUPS, OWN_FILE, WORKFLOWS

NOTE_PLACE = (90, 130)  # pixels of the window, of the upper left corner without the title
PACK_ID = "generative-image-dynamics"

# The muted node has the same id in every workflow: Nodes 2.0 gives the height of its preview to the node with its id in
# the workflow that is opened next.
MUTED_ID = 100

# Newer pages open a template with the whole of it in view, and leave out texts that are too small: the narrower a
# template is, the smaller the window in which it can be read.
BUILD = """([spec, group, muted, MUTED_ID]) => {
  const COLUMN = 330, NOTE_WIDTH = 330;
  const graph = app.rootGraph ?? app.graph;
  graph.clear();
  const nodes = {};
  for (const [name, [type, column, row, widgets, , height]] of Object.entries(spec)) {
    const node = LiteGraph.createNode(type);
    if (!node) throw new Error("no node " + type);
    node.pos = [Math.round(column * COLUMN) + 40, row + 60];
    if (name === muted) node.id = MUTED_ID;
    graph.add(node);
    if (Array.isArray(widgets)) node.widgets[0].value = widgets[0];
    else for (const [key, value] of Object.entries(widgets)) {
      const widget = node.widgets.find((w) => w.name === key);
      if (!widget) throw new Error(`${type} has no widget ${key}`);
      if (widget.options?.values && !widget.options.values.includes?.(value)) widget.options.values = [value];
      widget.value = value;
      if (key === "strokes") widget.callback?.(value); // opens the motion brush
    }
    const brush = node.widgets?.find((w) => w.name === "strokes");
    const live = node.widgets?.some((w) => w.name === "live") && (!brush || brush.value);
    const width = live ? 400 : 300; // a live view grows with the width
    node.setSize([width, 100]);
    const size = node.computeSize();
    node.setSize(type === "MarkdownNote" ? [NOTE_WIDTH, height] : [Math.max(width, size[0]), size[1]]);
    nodes[name] = node;
  }
  for (const [name, [type, , , , inputs]] of Object.entries(spec)) {
    for (const [input, [source, slot]] of Object.entries(inputs)) {
      const index = nodes[name].inputs.findIndex((i) => i.name === input);
      if (index < 0) throw new Error(`${type} has no input ${input}`);
      nodes[source].connect(slot, nodes[name], index);
    }
  }
  if (nodes[muted]) nodes[muted].mode = LiteGraph.NEVER;
  if (group) {
    const [title, names] = group, frame = new LiteGraph.LGraphGroup(title);
    for (const name of names) nodes[name].mode = LiteGraph.NEVER;
    const corners = (far) => [0, 1].map((axis) => {
      const ends = names.map((name) => nodes[name].pos[axis] + far * nodes[name].size[axis]);
      return far ? Math.max(...ends) + 20 : Math.min(...ends) - [20, 80][axis]; // above: titles of nodes and frame
    });
    const [start, end] = [corners(0), corners(1)];
    frame.pos = start;
    frame.size = [end[0] - start[0], end[1] - start[1]];
    graph.add(frame);
  }
  return JSON.parse(JSON.stringify(graph.serialize()));
}"""


def note_in_view(graph: dict) -> list[float]:
    """The offset of a canvas on which the note, which stands at the left, lies beside ComfyUI's menus."""
    (note,) = (node for node in graph["nodes"] if node["type"] == "MarkdownNote")
    return [place - start for place, start in zip(NOTE_PLACE, note["pos"], strict=True)]


def choose_no_file(graph: dict) -> None:
    """Let the muted loader name no file: the page shows one that does not exist as an error."""
    for node in graph["nodes"]:
        if node["id"] == MUTED_ID:
            node["widgets_values"][0] = ""


@contextmanager
def building_page():
    """ComfyUI's page with this pack and an empty graph; it runs BUILD."""
    with tempfile.TemporaryDirectory() as base, ComfyServer(base) as server, sync_playwright() as playwright:
        server.post("/settings", {"Comfy.TutorialCompleted": True})
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(server.url)
        page.wait_for_function("() => window.app?.graph && window.LiteGraph?.registered_node_types?.GID_LoopMotion")
        page.wait_for_timeout(1000)
        yield page
        browser.close()


def write_graph(path: Path, graph: dict, nodes: list[dict]) -> None:
    """Write a graph; those of its nodes that belong to this pack get its name and version."""
    for node in nodes:
        if node["type"].startswith("GID_"):
            node["properties"] |= {"cnr_id": PACK_ID, "ver": gid_core.__version__}
    path.write_text(json.dumps(graph, indent=1) + "\n")
    print(path.relative_to(ROOT), file=sys.stderr)


def main() -> None:
    with building_page() as page:
        for name in sys.argv[1:] or WORKFLOWS:
            graph = page.evaluate(BUILD, [WORKFLOWS[name], MUTED_GROUPS.get(name), OWN_FILE, MUTED_ID])
            choose_no_file(graph)
            graph["extra"]["ds"] = {"scale": 1, "offset": note_in_view(graph)}  # newer pages show all of a template
            write_graph(Path(ROOT, "workflows", f"{name}.json"), graph, graph["nodes"])


if __name__ == "__main__":
    main()
