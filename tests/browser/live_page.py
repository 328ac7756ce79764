"""ComfyUI's page with a live widget in Chromium, for the tests and for the benchmark of its frame rate."""

import json
import math
import shutil
import time
from contextlib import contextmanager

import numpy as np
import torch
from PIL import Image

import gid_core as gid
from comfy_server import ROOT
from deadline import Deadline
from gid_core.synthetic.random_scene import random_scene

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_OPTIONS = (
    "--no-sandbox",  # containers and CI run as root
    "--enable-unsafe-swiftshader",  # WebGL without a GPU
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
VIEW = '[data-testid="gid-modal-view"]'
WIND = '[data-testid="gid-wind-view"]'
TIMELINE = '[data-testid="gid-timeline"]'
POKE = '[data-testid="gid-poke"]'
HINT = "Run the workflow once to see it live"
PHOTO_SIZE = (288, 512)
PATIENCE = 60  # seconds without progress (see deadline.py) after which a wait fails
ACTION_TIMEOUT = 180_000  # milliseconds of wall time for a click, a key or a start, which are at once without load
OPEN = """() => window.app?.extensionManager && (app.rootGraph ?? app.graph)
  && LiteGraph?.registered_node_types?.SaveImage"""


@contextmanager
def chromium():
    """A Chromium driven by playwright. Raises RuntimeError with advice if there is none."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise RuntimeError("playwright is not installed: pip install -e '.[dev]'") from None
    executable = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if executable is None:
        raise RuntimeError("no Chromium found: install one, as " + " or ".join(CHROMIUM_NAMES))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_OPTIONS, timeout=ACTION_TIMEOUT)
        yield browser
        browser.close()


def wait_for(page, condition, arg=None, progress=None, seconds=PATIENCE):
    """Wait until a JavaScript function or expression is true, as long as there is progress.

    `progress` is a JavaScript expression: each time that its value changes, the deadline begins anew.
    """
    from playwright.sync_api import TimeoutError as NotYet

    deadline = Deadline(seconds)
    while True:
        try:
            return page.wait_for_function(condition, arg=arg, timeout=2000)
        except NotYet:
            if deadline.passed(progress and page.evaluate(progress)):
                raise TimeoutError(f"{seconds:.0f} s without progress: {condition} with {arg}") from None


def wait_equal(read, expected, seconds=PATIENCE):
    """Wait until a function returns what is expected, or what satisfies it if that is a function. Returns the value.

    If it does not, the assertion shows the last value.
    """
    deadline = Deadline(seconds)
    fits = expected if callable(expected) else lambda value: value == expected
    while not fits(value := read()) and not deadline.passed():
        time.sleep(0.03)
    assert fits(value), value
    return value


def steady(read, seconds=0.3):
    """Wait until a function has returned the same for some seconds. Returns the value."""
    deadline = Deadline(PATIENCE)
    last, value = object(), read()
    while value != last:
        assert not deadline.passed(), f"{last} still changes to {value}"
        time.sleep(seconds)
        last, value = value, read()
    return value


@contextmanager
def comfy_page(browser, server, renderer, language="en"):
    """ComfyUI's page, ready for use, with `page.server`, `page.renderer` and `page.errors` (errors of its scripts)."""
    settings = {"Comfy.VueNodes.Enabled": renderer == "vue", "Comfy.Locale": language}
    # Otherwise the first visit opens a dialog over the page.
    server.post("/settings", {"Comfy.TutorialCompleted": True, **settings})
    # A separate context, because the page keeps the workflow in the browser's storage.
    context = browser.new_context(viewport={"width": 1400, "height": 850})
    context.set_default_timeout(ACTION_TIMEOUT)
    page = context.new_page()
    page.server, page.renderer, page.errors = server, renderer, []
    page.on("pageerror", lambda error: page.errors.append(error.stack or str(error)))
    page.goto(server.url, wait_until="domcontentloaded")
    wait_for(page, OPEN, progress="performance.getEntriesByType('resource').length")
    yield page
    context.close()


CLEAR = """async () => {
  sessionStorage.removeItem("gid.shown");
  app.canvas.setGraph?.(app.rootGraph ?? app.graph);
  await app.extensionManager.command.execute("Comfy.NewBlankWorkflow");
  Object.assign(app.canvas.ds, { scale: 1 });
  app.canvas.ds.offset[0] = app.canvas.ds.offset[1] = 0;
}"""


def clear(page):
    """Give the page a new empty workflow, with a new undo history, and what a test may have changed its default."""
    page.emulate_media(reduced_motion="null")
    page.mouse.move(0, 0)
    page.evaluate(CLEAR)


def swaying_volume(size=(144, 256), bins=16) -> gid.SpectralVolume:
    """Smooth sway of about two percent of the width, strongest in the middle and zero at the border."""
    coarse = torch.randn(bins, 4, 3, 4, generator=torch.Generator().manual_seed(4))
    smooth = torch.nn.functional.interpolate(coarse, size, mode="bicubic", align_corners=True)
    y, x = (torch.linspace(0, math.pi, side).sin() for side in size)
    falling = torch.arange(bins).clamp(min=1) ** -1.5
    return gid.SpectralVolume((smooth * (y[:, None] * x) * falling.view(-1, 1, 1, 1) * 0.02 * size[1] * 75)[None])


def ramp_photo() -> Image.Image:
    """A photo whose colors encode the position: red is x, green is y, each 0 to 1 over the image."""
    height, width = PHOTO_SIZE
    x, y = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
    colors = np.stack([*np.broadcast_arrays(x, y[:, None]), np.full((height, width), 0.5)], -1)
    return Image.fromarray((colors * 255).round().astype(np.uint8))


def provide_inputs(server, folder) -> None:
    """Upload the files that graphs load. Call it before the page opens, because the page then loads the list of files.

    These are `sway.safetensors`, `ramp.png`, `flowers.jpg`, and `clip.mp4`: 5 seconds of a swaying scene, 40 frames of
    128 x 72.
    """
    swaying_volume().save(server.base / "input" / "sway.safetensors")
    ramp_photo().save(folder / "ramp.png")
    frames = torch.from_numpy(random_scene(3, (72, 128)).frames(40))
    clip = gid.write_video(folder / "clip.mp4", frames, 8, crf=8)
    for path in (folder / "ramp.png", clip, ROOT / "assets" / "flowers.jpg"):
        server.upload_image(path)


BUILD = """([type, photo, widgets]) => {
  const graph = app.rootGraph ?? app.graph;
  graph.clear();
  const make = (type, pos) => { const n = LiteGraph.createNode(type); graph.add(n); n.pos = pos; return n; };
  const set = (node, name, value) => { node.widgets.find((w) => w.name === name).value = value; };
  const join = (from, out, to, name) => from.connect(out, to, to.inputs.findIndex((i) => i.name === name));
  const load = make("GID_LoadSpectralVolume", [40, 100]), image = make("LoadImage", [40, 280]);
  set(load, "file", "sway.safetensors");
  set(image, "image", photo);
  const force = make(type, [420, 60]);
  for (const [name, value] of Object.entries(widgets)) set(force, name, value);
  join(load, 0, force, "spectral_volume");
  join(image, 0, force, "image");
}"""
# Moves the graph so that the widget is in the middle of the window, away from ComfyUI's panels.
SHOW = """(selector) => {
  const box = document.querySelector(selector).getBoundingClientRect(), { ds } = app.canvas;
  const off = [box.x + box.width / 2 - 620, box.y + box.height / 2 - 420];
  if (Math.hypot(...off) > 2) {
    ds.offset[0] -= off[0] / ds.scale;
    ds.offset[1] -= off[1] / ds.scale;
    app.canvas.setDirty(true, true);
  }
  return [box.x, box.y, box.width, box.height].map(Math.round).join();
}"""
FORCE = """(type = "GID_ModalForce") => {
  const all = (graph) => graph.nodes.flatMap((n) => [n, ...(n.subgraph ? all(n.subgraph) : [])]);
  return all(app.rootGraph ?? app.graph).find((n) => n.type === type);
}"""


# Adds the renderer and SaveImage to the graph of BUILD.
SAVE_FRAMES = """(count) => {
  const graph = app.rootGraph ?? app.graph, find = (type) => graph.nodes.find((n) => n.type === type);
  const make = (type, pos) => { const n = LiteGraph.createNode(type); graph.add(n); n.pos = pos; return n; };
  const join = (from, out, to, name) => from.connect(out, to, to.inputs.findIndex((i) => i.name === name));
  const render = make("GID_SoftmaxSplatRender", [1000, 60]), save = make("SaveImage", [1000, 600]);
  join(find("LoadImage"), 0, render, "image");
  join(find("GID_ModalForce"), 0, render, "motion");
  join(render, 0, save, "images");
  const set = (node, name, value) => { node.widgets.find((w) => w.name === name).value = value; };
  set(render, "num_frames", count);
  set(save, "filename_prefix", "poked");
}"""


def build(page, node_type="GID_ModalForce", photo="ramp.png", **widgets):
    """A graph: volume and photo into a force. Returns the selector of its view.

    A run makes the view and no frames, because a server renders them for some ten seconds; see `save_frames`.
    """
    page.evaluate(BUILD, [node_type, photo, widgets])
    return VIEW if node_type == "GID_ModalForce" else WIND


def save_frames(page, count):
    """From the next run on, the first frames of Modal Force's motion are rendered, and SaveImage saves them."""
    page.evaluate(SAVE_FRAMES, count)


def settle(page, selector):
    """Bring a widget into the middle of the window and wait until it no longer moves."""
    steady(lambda: page.evaluate(SHOW, selector))


LISTEN = """() => {
  window.gidEnd = null;
  window.gidProgress = 0;
  const listen = (kind, act) => app.api.addEventListener(kind, act, { signal: window.gidRun.signal });
  window.gidRun?.abort();
  window.gidRun = new AbortController();
  for (const kind of ["executing", "executed", "progress", "progress_state"]) listen(kind, () => window.gidProgress++);
  for (const kind of ["execution_success", "execution_error", "execution_interrupted"])
    listen(kind, (event) => { window.gidEnd = [kind, event.detail]; });
}"""


def run_to_end(page) -> str:
    """Queue the workflow and wait until it succeeds. Returns the prompt's id."""
    listen_for_end(page)
    page.evaluate("() => void app.queuePrompt(0, 1)")
    return end_of_run(page)


def listen_for_end(page) -> None:
    """From now on the page notes the progress and the end of a run, for `end_of_run`."""
    page.evaluate(LISTEN)


def end_of_run(page) -> str:
    """Wait until the run that was started after `listen_for_end` succeeds. Returns the prompt's id."""
    kind, detail = wait_for(page, "window.gidEnd", progress="window.gidProgress").json_value()
    assert kind == "execution_success", detail
    return detail["prompt_id"]


def run(page, selector=VIEW):
    """`run_to_end`, then wait for the live view. Returns the saved files."""
    prompt = run_to_end(page)
    wait_ready(page, selector)
    return page.server.outputs(page.server.wait(prompt))


def wait_ready(page, selector=VIEW):
    wait_for(page, f"() => document.querySelector('{selector}')?.gidView.ready")


def view(page, expression, selector=VIEW):
    """Evaluate an expression on the read-only handle of the canvas."""
    return page.evaluate(f"document.querySelector('{selector}').gidView.{expression}")


def displacements_at(page, points, selector=VIEW):
    """Displacements [n, 2] of points (x, y, time), all in one call of the page."""
    code = "([selector, points]) => points.map((p) => document.querySelector(selector).gidView.displacementAt(...p))"
    return np.array(page.evaluate(code, [selector, [[float(number) for number in point] for point in points]]))


def displacement_at(page, x, y, time, selector=VIEW):
    return displacements_at(page, [(x, y, time)], selector)[0]


def pause(page, selector=VIEW):
    """Stop the playing view: with WebGL on the CPU, it would take the server's and the other tests' time."""
    if view(page, "playing", selector):
        page.locator(".gid-live").filter(has=page.locator(selector)).get_by_role("button", name="Pause").click()


def value(page, name="pokes", node_type="GID_ModalForce"):
    return page.evaluate(f"({FORCE})('{node_type}').widgets.find((w) => w.name === '{name}').value")


def set_value(page, name, new, node_type="GID_ModalForce"):
    code = f"(v) => {{ ({FORCE})('{node_type}').widgets.find((w) => w.name === '{name}').value = v; }}"
    page.evaluate(code, new)


def pokes(page) -> list:
    return json.loads(value(page))


def wait_pokes(page, count):
    """Wait until the node and its timeline have so many pokes."""
    wait_for(
        page,
        f"""(count) => JSON.parse(({FORCE})().widgets.find((w) => w.name === 'pokes').value).length === count
            && document.querySelectorAll('{POKE}').length === count""",
        arg=count,
    )


def drag(page, start, end, selector=VIEW, steps=8):
    """Drag between two points in fractions of the image. The button stays down."""
    box = page.locator(selector).bounding_box()

    def to_pixels(point):
        return box["x"] + point[0] * box["width"], box["y"] + point[1] * box["height"]

    page.mouse.move(*to_pixels(start))
    page.mouse.down()
    for step in range(1, steps + 1):
        page.mouse.move(*to_pixels([a + (b - a) * step / steps for a, b in zip(start, end, strict=True)]))
        page.wait_for_timeout(25)


def visible_arrows(page) -> int:
    """The number of visible force arrows."""
    return page.locator('.gid-overlay g:not([visibility="hidden"]):not(.faint)').count()


def widen(page) -> None:
    """Show the preview at 512 x 288 pixels, independent of the node's width in this frontend."""
    page.evaluate(
        """() => { const holder = document.querySelector('[data-testid="gid-live"]');
                   Object.assign(holder.style, { width: "514px", height: "auto", flex: "none" }); }"""
    )


def frame_rates(page, selector=VIEW, seconds=6) -> list[float]:
    """Frames per second that the view draws, measured once per second."""
    state = f"[document.querySelector('{selector}').gidView.frames, performance.now() / 1000]"
    samples = []
    for _ in range(seconds + 1):
        samples.append(page.evaluate(state))
        page.wait_for_timeout(1000)
    return [(b[0] - a[0]) / (b[1] - a[1]) for a, b in zip(samples, samples[1:], strict=False)]
