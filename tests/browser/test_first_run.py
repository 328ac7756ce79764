"""Every workflow on a fresh installation: the input folder is empty, the template opens, and Run is pressed."""

import pytest

from browser.live_page import comfy_page, end_of_run, listen_for_end
from comfy_server import ROOT, ComfyServer

WORKFLOWS = sorted(path.stem for path in (ROOT / "workflows").glob("*.json"))
# The prediction, and the frames that are rendered, of a sample in its full size. The whole of it would take a minute.
STEPS, FRAMES = 2, 3
RUN_BUTTON = '[data-testid="queue-button"]'

OPEN = """async (name) => {
  const file = await fetch(app.api.apiURL(`/workflow_templates/generative-image-dynamics/${name}.json`));
  await app.loadGraphData(await file.json(), true, true, name);
}"""
SHORTEN = """([steps, frames]) => {
  for (const node of (app.rootGraph ?? app.graph).nodes) {
    for (const widget of node.widgets ?? []) {
      if (node.type === "GID_PredictSpectralVolume" && widget.name === "steps") widget.value = steps;
      if (/GID_(SoftmaxSplatRender|RenderLoopToVideo)/.test(node.type) && widget.name === "num_frames")
        widget.value = frames;
    }
  }
}"""
RED_NODES = """() => (app.rootGraph ?? app.graph).nodes
  .filter((n) => n.has_errors || !LiteGraph.registered_node_types[n.type]).map((n) => n.type)"""


@pytest.fixture(scope="module")
def fresh_page(browser, server_for, tmp_path_factory):
    """The newest frontend's page of a server without input files. It keeps results, as ComfyUI does by default."""
    server_for("newest")  # installs ComfyUI, or says that it cannot
    with ComfyServer(tmp_path_factory.mktemp("fresh"), "newest", cpu=True) as server:
        with comfy_page(browser, server, "canvas") as page:
            yield page


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_template_runs_without_any_file_of_the_user(fresh_page, name, tmp_path):
    page, server = fresh_page, fresh_page.server
    page.evaluate(OPEN, name)
    assert page.evaluate(RED_NODES) == []
    page.evaluate(SHORTEN, [STEPS, FRAMES])
    listen_for_end(page)
    page.locator(RUN_BUTTON).click()
    prompt = end_of_run(page)
    page.screenshot(path=tmp_path / f"{name}.png")
    assert page.evaluate(RED_NODES) == []
    assert not page.errors
    saved = [path for path in server.outputs(server.wait(prompt)) if path.is_relative_to(server.base / "output")]
    assert saved and all(path.stat().st_size > 0 for path in saved)
    assert not any((server.base / "input").iterdir()), "the user's folder must stay as it is"
