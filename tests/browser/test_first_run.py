"""Every workflow on a fresh installation: the input folder is empty, the template opens, and Run is pressed."""

import pytest

from browser.live_page import comfy_page, end_of_run, listen_for_end
from comfy_server import ROOT, ComfyServer

WORKFLOWS = sorted(path.stem for path in (ROOT / "workflows").glob("*.json"))
# Less of each run, which would take up to a minute: widgets of nodes, and their values.
SHORTER = {
    "GID_PredictSpectralVolume": {"steps": 2},
    "GID_SpectralVolumeFromVideo": {"max_size": 128},
    "GID_MotionToFlow": {"num_frames": 3},
    "GID_SoftmaxSplatRender": {"num_frames": 3},
    "GID_RenderLoopToVideo": {"num_frames": 3},
}
RUN_BUTTON = '[data-testid="queue-button"]'

OPEN = """async (name) => {
  const file = await fetch(app.api.apiURL(`/workflow_templates/generative-image-dynamics/${name}.json`));
  await app.loadGraphData(await file.json(), true, true, name);
}"""
SHORTEN = """(shorter) => {
  for (const node of (app.rootGraph ?? app.graph).nodes)
    for (const [name, value] of Object.entries(shorter[node.type] ?? {}))
      node.widgets.find((widget) => widget.name === name).value = value;
}"""
RED_NODES = """() => (app.rootGraph ?? app.graph).nodes
  .filter((n) => n.has_errors || !LiteGraph.registered_node_types[n.type]).map((n) => n.type)"""


@pytest.fixture(scope="module")
def fresh_page(browser, comfyui, tmp_path_factory):
    """The newest frontend's page of a server without input files. It keeps results, as ComfyUI does by default."""
    with ComfyServer(tmp_path_factory.mktemp("fresh"), "newest", cpu=True) as server:
        with comfy_page(browser, server, "canvas") as page:
            yield page


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_template_runs_without_any_file_of_the_user(fresh_page, name, tmp_path):
    page, server = fresh_page, fresh_page.server
    page.evaluate(OPEN, name)
    assert page.evaluate(RED_NODES) == []
    page.evaluate(SHORTEN, SHORTER)
    listen_for_end(page)
    page.locator(RUN_BUTTON).click()
    prompt = end_of_run(page)
    page.screenshot(path=tmp_path / f"{name}.png")
    assert page.evaluate(RED_NODES) == []
    assert not page.errors
    saved = [path for path in server.outputs(server.wait(prompt)) if path.is_relative_to(server.base / "output")]
    assert saved and all(path.stat().st_size > 0 for path in saved)
    assert not [path for path in (server.base / "input").rglob("*") if path.is_file()]  # the user's folder stays empty
