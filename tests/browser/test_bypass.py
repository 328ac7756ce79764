"""Nodes that make a motion are bypassed in the page (Ctrl+B): the spectral volume goes on and plays as a loop."""

import numpy as np
import pytest
import torch
from PIL import Image

import gid_core as gid
from browser.live_page import provide_inputs, ramp_photo, run_to_end, swaying_volume

BYPASS_MODE = 4  # of LiteGraph
MAKERS = ("GID_Wind", "GID_ModalForce", "GID_AudioForce", "GID_LongLoop", "GID_LoopMotion")  # the last one runs
RECEIVERS = ("GID_SoftmaxSplatRender", "GID_RenderLoopToVideo", "GID_PreviewMotion")


@pytest.fixture(autouse=True)
def uploaded(request, server_for, tmp_path):
    """Upload the input files before the page opens, because the page then loads the list of files."""
    frontend = request.node.callspec.params["page"][1]
    provide_inputs(server_for(None if frontend == "pinned" else frontend), tmp_path)


# A node that makes a motion, connected to all that take one. Returns its id.
BUILD = """([type, receivers]) => {
  const graph = app.rootGraph ?? app.graph;
  graph.clear();
  const make = (type, pos) => { const n = LiteGraph.createNode(type); n.pos = pos; graph.add(n); return n; };
  const set = (node, name, value) => { node.widgets.find((w) => w.name === name).value = value; };
  const join = (from, out, to, name) => from.connect(out, to, to.inputs.findIndex((i) => i.name === name));
  const load = make("GID_LoadSpectralVolume", [40, 100]), image = make("LoadImage", [40, 300]);
  set(load, "file", "sway.safetensors");
  set(image, "image", "ramp.png");
  const maker = make(type, [420, 100]);
  join(load, 0, maker, "spectral_volume");
  receivers.forEach((type, i) => {
    const node = make(type, [900, 60 + 400 * i]);
    join(maker, 0, node, "motion");
    join(image, 0, node, "image");
    if (type === "GID_PreviewMotion") return;
    set(node, "start_frame", 20);
    set(node, "num_frames", 2);
    const isVideo = type === "GID_RenderLoopToVideo";
    const save = make(isVideo ? "SaveVideo" : "SaveImage", [1300, 60 + 400 * i]);
    join(node, 0, save, isVideo ? "video" : "images");
    set(save, "filename_prefix", "bypassed");
  });
  return String(maker.id);
}"""
# Select a node and press the keys of Bypass, as a user does.
SELECT = """(id) => {
  const graph = app.rootGraph ?? app.graph;
  app.canvas.deselectAll?.();
  app.canvas.select(graph.nodes.find((n) => String(n.id) === id));
  app.canvas.canvas.focus();
}"""
MODE = "(id) => (app.rootGraph ?? app.graph).nodes.find((n) => String(n.id) === id).mode"
SAVE_AND_LOAD = """async (old) => {
  const workflow = JSON.parse(JSON.stringify((app.rootGraph ?? app.graph).serialize()));
  for (const node of workflow.nodes)
    for (const slot of node.inputs ?? []) if (slot.name === "spectral_volume") slot.type = old;
  await app.loadGraphData(workflow, true, true, "bypassed");
}"""
PROMPT = "async () => (await app.graphToPrompt()).output"


def bypassed(page, maker) -> dict:
    """The page's prompt after the node that makes the motion was bypassed."""
    node = page.evaluate(BUILD, [maker, RECEIVERS])
    page.wait_for_timeout(300)
    page.evaluate(SELECT, node)
    page.keyboard.press("Control+b")
    page.wait_for_function(f"(id) => ({MODE})(id) === {BYPASS_MODE}", arg=node, timeout=30_000)
    # Also in a workflow that was saved before the socket took both types.
    page.evaluate(SAVE_AND_LOAD, "GID_SPECTRAL_VOLUME")
    page.wait_for_timeout(300)
    prompt = page.evaluate(PROMPT)
    assert node not in prompt
    return prompt


def test_a_bypassed_node_passes_the_volume_on(page):
    for maker in MAKERS:
        prompt = bypassed(page, maker)
        (load,) = (number for number, entry in prompt.items() if entry["class_type"] == "GID_LoadSpectralVolume")
        taken = {entry["class_type"]: entry["inputs"].get("motion") for entry in prompt.values()}
        assert {name: taken[name] for name in RECEIVERS} == {name: [load, 0] for name in RECEIVERS}, maker

    entry = page.server.wait(run_to_end(page))
    files = page.server.outputs(entry)
    frames = [np.asarray(Image.open(file).convert("RGB")) for file in files if file.name.startswith("bypassed_")
              and file.suffix == ".png"]  # fmt: skip
    photo = torch.from_numpy(np.asarray(ramp_photo())).float() / 255
    expected = gid.render(photo, gid.loop(swaying_volume()), start=20, count=2)
    assert len(frames) == 2 and [file for file in files if file.suffix == ".mp4"]
    for frame, true in zip(frames, expected, strict=True):
        assert np.abs(frame / 255 - true.numpy()).max() < 0.01
    assert np.abs(frames[0] / 255 - photo.numpy()).max() > 0.02  # it moves
