"""An interactive photo in Chromium: from a file without a network, and as the preview of Save Interactive Photo."""

from contextlib import contextmanager
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

import gid_core as gid
from browser.live_page import ACTION_TIMEOUT, PATIENCE, ramp_photo, run_to_end, settle, swaying_volume, wait_equal
from deadline import Deadline

VIEW = "document.getElementById('canvas').gidView"
DISPLACEMENT = f"Math.hypot(...{VIEW}.displacementAt(0.5, 0.5))"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A saved page. The photo's colors encode the position."""
    photo = np.array(ramp_photo())
    return gid.save_interactive_page(
        tmp_path_factory.mktemp("page") / "a photo.html", photo, swaying_volume(), title="Ramp", alt="A ramp of colors"
    )


def until(page, condition, progress="0"):
    """Wait until a JavaScript expression is true, as long as there is progress.

    `wait_for` evaluates text inside the page, which the page's content policy forbids.
    """
    deadline = Deadline(PATIENCE)
    while not page.evaluate(condition):
        assert not deadline.passed(page.evaluate(progress)), condition


@contextmanager
def opened(browser, file, query="", wait=True, init="", **options):
    """The page of a file in an offline browser. It must report no error and ask for nothing but the file."""
    context = browser.new_context(**{"offline": True, "viewport": {"width": 360, "height": 300}} | options)
    context.set_default_timeout(ACTION_TIMEOUT)
    page = context.new_page()
    problems, requests = [], []
    page.on("pageerror", lambda error: problems.append(error.stack or str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: requests.append(request.url))
    if init:
        page.add_init_script(init)
    page.goto(file.as_uri() + query)
    if wait:
        until(page, "document.documentElement.classList.contains('live')")
    yield page
    asked = [url for url in requests if not url.startswith("data:")]
    context.close()
    assert not problems and asked == [file.as_uri() + query]


def pixels(page) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(page.locator("#canvas").screenshot())).convert("RGB")).astype(int)


def start_drag(page, dx=60):
    box = page.locator("#canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx, y, steps=4)


def test_a_drag_pokes_and_a_hidden_page_rests(browser, file):
    with opened(browser, file) as page:
        assert page.title() == "Ramp"
        until(page, f"{VIEW}.frames > 0")
        assert page.evaluate(f"{VIEW}.calm")  # nothing moves before it is touched
        before = pixels(page)
        start_drag(page)
        until(page, f"{VIEW}.displacementAt(0.5, 0.5)[0] > 0.01")  # it follows to the right
        assert np.abs(pixels(page) - before).max() > 8
        page.mouse.up()
        frames = page.evaluate(f"{VIEW}.frames")
        until(page, f"{VIEW}.frames > {frames} + 3")
        assert not page.evaluate(f"{VIEW}.calm") and page.evaluate(DISPLACEMENT) > 0  # it swings on
        # A hidden page rests.
        page.evaluate("""() => {
          Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }""")
        page.evaluate("() => new Promise((done) => setTimeout(done, 300))")
        frames = page.evaluate(f"{VIEW}.frames")
        page.evaluate("() => new Promise((done) => setTimeout(done, 300))")
        assert page.evaluate(f"{VIEW}.frames") == frames


@pytest.mark.parametrize(("query", "moves"), [("?autoplay", True), ("", False)])
def test_autoplay_moves_the_pixels_of_an_iframe(browser, file, tmp_path, query, moves):
    """The address asks for it; a photo that waits does not move."""
    outside = tmp_path / "site.html"
    outside.write_text(f'<iframe src="{file.as_uri()}{query}" width="300" height="200"></iframe>')
    context = browser.new_context(offline=True, viewport={"width": 360, "height": 300})
    context.set_default_timeout(ACTION_TIMEOUT)
    page = context.new_page()
    page.goto(outside.as_uri())
    frame = page.frame_locator("iframe")
    frame.locator("html.live").wait_for()
    embedded = page.frames[1]
    wait_equal(lambda: embedded.evaluate(f"{VIEW}.frames") > 0, True)
    before = pixels(frame)
    if moves:
        wait_equal(lambda: np.abs(pixels(frame) - before).max() > 8, True)
    else:
        embedded.evaluate("() => new Promise((done) => setTimeout(done, 500))")
        assert np.abs(pixels(frame) - before).max() <= 2
    assert embedded.evaluate(f"{VIEW}.playing") is moves
    context.close()


def test_with_reduced_motion_it_waits_for_a_poke(browser, file):
    with opened(browser, file, "?autoplay", reduced_motion="reduce") as page:
        until(page, f"{VIEW}.frames > 0")
        assert page.evaluate(f"{VIEW}.calm && !{VIEW}.playing")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "canvas"
        assert page.locator("#cursor").is_visible() and "A ramp" in page.locator("#canvas").get_attribute("aria-label")
        page.keyboard.press("ArrowRight")
        until(page, f"{DISPLACEMENT} > 0.001")
        # The loop plays on request.
        page.keyboard.press("Space")
        assert page.evaluate(f"{VIEW}.playing") and page.locator("#play").get_attribute("aria-pressed") == "true"


def test_the_wind_blows_by_the_slider_and_ceases(browser, file):
    with opened(browser, file) as page:
        page.locator("#wind").focus()
        page.keyboard.press("End")
        until(page, f"{DISPLACEMENT} > 0.002")
        assert page.locator("#wind").get_attribute("aria-valuetext") == "100 % to the right"
        page.locator("#wind").fill("3")  # near the middle is calm
        assert page.locator("#wind").get_attribute("aria-valuetext") == "calm"
        until(page, f"{VIEW}.calm", progress=f"{VIEW}.frames")
        assert page.evaluate(DISPLACEMENT) == 0


TILT = """([beta, gamma]) => dispatchEvent(
  new DeviceOrientationEvent("deviceorientation", { alpha: 0, beta, gamma }))"""


@pytest.mark.parametrize(("size", "left"), [((300, 360), [9, -40]), ((360, 300), [-40, 9])], ids=["upright", "on side"])
def test_on_a_phone_a_tap_pokes_and_tilting_blows(browser, file, size, left):
    width, height = size
    phone = dict(has_touch=True, is_mobile=True, device_scale_factor=2, viewport={"width": width, "height": height})
    with opened(browser, file, **phone) as page:
        until(page, f"{VIEW}.frames > 0")
        canvas = page.locator("#canvas")
        assert canvas.evaluate("(element) => element.width") == 2 * canvas.bounding_box()["width"] == 2 * width
        page.touchscreen.tap(width / 2, height / 2)
        until(page, f"{DISPLACEMENT} > 0.001")
        tilt, wind = page.locator("#tilt"), page.locator("#wind")
        tilt.dispatch_event("click")  # a tap would first show the controls, if they have faded
        page.evaluate(TILT, [2, 2])
        assert wind.input_value() == "0"  # nearly level
        page.evaluate(TILT, left)
        assert wind.input_value() == "-100" and wind.get_attribute("aria-valuetext") == "100 % to the left"
        tilt.dispatch_event("click")
        page.evaluate(TILT, [40, 40])
        assert wind.input_value() == "0"


NO_WEBGL = "HTMLCanvasElement.prototype.getContext = () => null;"


@pytest.mark.parametrize(
    ("options", "words"),
    [({"init": NO_WEBGL}, "without its motion"), ({"java_script_enabled": False}, "where JavaScript is allowed")],
    ids=["without WebGL 2", "without JavaScript"],
)
def test_where_it_cannot_move_the_photo_is_shown(browser, file, options, words):
    with opened(browser, file, wait=False, **options) as page:
        wait_equal(lambda: any(words in text for text in page.locator("p:visible").all_inner_texts()), True)
        assert page.locator("#canvas").is_hidden() and page.locator("#controls").is_hidden()
        shown = np.asarray(Image.open(BytesIO(page.screenshot())))
        corner, middle = shown[60, 10, :3].astype(int), shown[150, 180, :3].astype(int)
        assert corner[0] < 30 and abs(middle[0] - 127) < 12 and abs(middle[1] - 127) < 12  # red is x, green is y


PREVIEW = '[data-testid="gid-page-preview"]'
BUILD = """() => {
  const graph = app.rootGraph ?? app.graph;
  graph.clear();
  const make = (type, pos) => { const n = LiteGraph.createNode(type); graph.add(n); n.pos = pos; return n; };
  const set = (node, name, value) => { node.widgets.find((w) => w.name === name).value = value; };
  const join = (from, to, name) => from.connect(0, to, to.inputs.findIndex((i) => i.name === name));
  const load = make("GID_LoadSpectralVolume", [40, 100]), image = make("LoadImage", [40, 280]);
  const save = make("GID_SaveInteractivePhoto", [420, 60]);
  set(load, "file", "sway.safetensors");
  set(image, "image", "ramp.png");
  set(save, "autoplay", true);
  join(load, save, "spectral_volume");
  join(image, save, "image");
}"""
REMOVE = """() => {
  const graph = app.rootGraph ?? app.graph;
  graph.remove(graph.nodes.find((node) => node.type === "GID_SaveInteractivePhoto"));
}"""


def test_the_node_shows_the_page_and_offers_it(page, tmp_path):
    page.evaluate(BUILD)
    preview = page.locator(PREVIEW)
    assert preview.is_hidden()
    run_to_end(page)
    frame = page.frame_locator(f"{PREVIEW} iframe")
    frame.locator("html.live").wait_for(state="attached")
    embedded = page.frames[-1]
    wait_equal(lambda: embedded.evaluate(f"{VIEW}.frames") > 3, True)  # autoplay
    assert embedded.evaluate("self.origin") == "null"  # it can reach nothing of ComfyUI
    settle(page, PREVIEW)  # away from ComfyUI's panels, which would cover the link
    width, height = embedded.evaluate("[innerWidth, innerHeight]")  # whatever the zoom of the graph is
    assert width > 300 and height > 250
    page.screenshot(path=tmp_path / f"page_preview_{page.renderer}_{page.frontend}.png")
    link = preview.locator("a")
    with page.expect_download() as download:
        link.click()
    saved = page.server.base / "output" / "interactive" / link.get_attribute("download")
    assert download.value.suggested_filename == saved.name
    assert open(download.value.path(), "rb").read() == saved.read_bytes()
    page.evaluate(REMOVE)
    wait_equal(preview.count, 0)
