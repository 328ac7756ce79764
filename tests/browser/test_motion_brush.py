"""The motion brush in the page: painting, what sways, undo and redo, keys, touch and pen, and many strokes."""

import json

import numpy as np
import pytest
import torch

import gid_core as gid
from browser.live_page import (
    displacement_at,
    displacements_at,
    drag,
    run_to_end,
    set_value,
    settle,
    value,
    view,
    wait_equal,
    wait_for,
)

BRUSH = '[data-testid="gid-brush-view"]'
SWAY = "GID_VolumeFromMask"
BUILD = """([strokes, widgets]) => {
  const graph = app.rootGraph ?? app.graph;
  graph.clear();
  const make = (type, pos) => { const n = LiteGraph.createNode(type); graph.add(n); n.pos = pos; return n; };
  const set = (node, name, value) => { node.widgets.find((w) => w.name === name).value = value; };
  const image = make("LoadImage", [40, 280]), sway = make("GID_VolumeFromMask", [420, 60]);
  const save = make("GID_SaveSpectralVolume", [1000, 60]);
  set(image, "image", "ramp.png");
  set(save, "filename_prefix", "brush");
  set(sway, "strokes", strokes);
  sway.widgets.find((w) => w.name === "strokes").callback?.(strokes);
  for (const [name, value] of Object.entries(widgets)) set(sway, name, value);
  image.connect(0, sway, sway.inputs.findIndex((i) => i.name === "image"));
  sway.connect(0, save, save.inputs.findIndex((i) => i.name === "spectral_volume"));
}"""


def build(page, strokes="", **widgets):
    """A graph: Load Image into Sway From Mask, whose volume is saved. The editor is open and shows the photo."""
    page.evaluate(BUILD, [strokes, {"grid": 32, "control_after_generate": "fixed", **widgets}])
    if not strokes:
        page.get_by_role("button", name="Paint what moves in the picture").click()
    page.locator(BRUSH).wait_for(state="visible")
    settle(page, BRUSH)


def strokes(page) -> list:
    return json.loads(value(page, "strokes", SWAY) or "[]")


def wait_previewed(page):
    """Wait until the picture sways as the strokes say."""
    wait_for(page, f"() => document.querySelector('{BRUSH}').gidBrush.previewed")


def paint(page, start, end, **options):
    count = len(strokes(page))
    drag(page, start, end, BRUSH, **options)
    page.mouse.up()
    wait_equal(lambda: len(strokes(page)), count + 1)


def paint_at(page, x, y) -> dict:
    return page.evaluate(f"([x, y]) => document.querySelector('{BRUSH}').gidBrush.paintAt(x, y)", [x, y])


def most_motion(page, x, y) -> float:
    """How far a point goes in the loop, as a fraction of the image."""
    times = np.linspace(0, view(page, "duration", BRUSH), 40)
    return float(np.abs(displacements_at(page, [(x, y, time) for time in times], BRUSH)).max())


def test_what_is_painted_sways_at_once_and_renders_the_same(page, tmp_path):
    build(page)
    assert view(page, "ready", BRUSH)  # the photo of Load Image, before any run
    assert page.get_by_text("Paint what moves", exact=True).is_visible()

    paint(page, (0.5, 0.85), (0.5, 0.3))
    wait_previewed(page)
    (stroke,) = strokes(page)
    assert stroke["kind"] == "move" and len(stroke["points"]) <= 4
    assert stroke["points"][0] == pytest.approx([0.5, 0.85], abs=0.01)
    assert most_motion(page, 0.5, 0.32) > 0.004 and most_motion(page, 0.15, 0.5) == 0
    assert view(page, "playing", BRUSH)

    # An arrow sets the direction and how far it goes.
    page.keyboard.press("a")
    paint(page, (0.5, 0.35), (0.5, 0.25))
    wait_previewed(page)
    reach = strokes(page)[1]["points"][1][1] - strokes(page)[1]["points"][0][1]
    times = np.linspace(0, view(page, "duration", BRUSH), 150)
    path = displacements_at(page, [(0.5, 0.31, time) for time in times], BRUSH)
    assert np.abs(path[:, 1]).max() > 3 * np.abs(path[:, 0]).max()
    assert path[:, 1].min() == pytest.approx(reach, rel=0.35)  # near its end; the farthest pixel goes exactly so far

    # A pin holds what it covers.
    page.keyboard.press("p")
    paint(page, (0.4, 0.32), (0.6, 0.32))
    wait_previewed(page)
    assert paint_at(page, 0.5, 0.32)["pin"] > 0.95
    assert most_motion(page, 0.5, 0.32) < 0.05 * most_motion(page, 0.5, 0.6)
    page.screenshot(path=tmp_path / f"brush_{page.renderer}_{page.frontend}.png")

    # The server renders the same, and so does the library.
    shown = np.array([[0.5, 0.4, 0.7], [0.5, 0.6, 1.9], [0.48, 0.75, 3.1], [0.2, 0.5, 1.0]])
    before = displacements_at(page, shown, BRUSH)
    text = value(page, "strokes", SWAY)
    run_to_end(page)
    wait_previewed(page)
    np.testing.assert_allclose(displacements_at(page, shown, BRUSH), before, atol=1e-9)
    saved = max((page.server.base / "output").glob("brush*"), key=lambda path: path.stat().st_mtime)
    volume = gid.SpectralVolume.load(saved)
    expected = gid.volume_from_mask(strokes=gid.parse_strokes(text), size=(288, 512), grid=32)
    torch.testing.assert_close(volume.coefficients, expected.coefficients, rtol=1e-4, atol=1e-3)
    frames = gid.loop(expected).displacement()[0]
    for (x, y, time), (dx, dy) in zip(shown, before, strict=True):
        column, row, frame = int(x * 512), int(y * 288), round(time * 30)
        near = displacement_at(page, (column + 0.5) / 512, (row + 0.5) / 288, frame / 30, BRUSH) * (512, 288)
        assert near == pytest.approx(frames[frame, :, row, column].numpy(), abs=0.5)
        assert np.hypot(dx, dy) < 0.2


def test_undo_redo_eraser_keys_and_wheel(page):
    build(page)
    canvas = page.locator(BRUSH)
    assert canvas.get_attribute("aria-label") and canvas.get_attribute("role")
    paint(page, (0.3, 0.7), (0.3, 0.4))
    paint(page, (0.7, 0.7), (0.7, 0.4))
    page.keyboard.press("Control+z")
    wait_equal(lambda: len(strokes(page)), 1)
    assert paint_at(page, 0.7, 0.5)["move"] == 0 and paint_at(page, 0.3, 0.5)["move"] == 1
    page.keyboard.press("Control+Shift+z")
    wait_equal(lambda: len(strokes(page)), 2)
    assert paint_at(page, 0.7, 0.5)["move"] == 1
    assert page.locator(BRUSH).count() == 1  # ComfyUI's own undo did not react

    # Brackets and the wheel change the size of the brush, and the wheel moves nothing else.
    size = page.get_by_role("slider", name="Size of the brush")
    sizes = [float(size.input_value())]
    page.keyboard.press("]")
    sizes.append(float(size.input_value()))
    scale = page.evaluate("app.canvas.ds.scale")
    page.mouse.wheel(0, -120)
    wait_equal(lambda: float(size.input_value()) > sizes[1], True)
    sizes.append(float(size.input_value()))
    page.keyboard.press("[")
    sizes.append(float(size.input_value()))
    assert sizes[0] < sizes[1] < sizes[2] and sizes[3] == pytest.approx(sizes[1])
    assert page.evaluate("app.canvas.ds.scale") == scale

    # The eraser removes paint, and an arrow that begins there.
    page.keyboard.press("a")
    paint(page, (0.3, 0.5), (0.4, 0.5))
    page.keyboard.press("e")
    paint(page, (0.3, 0.75), (0.3, 0.35))
    assert paint_at(page, 0.3, 0.5)["move"] == 0 and paint_at(page, 0.7, 0.5)["move"] == 1
    assert page.locator(".gid-overlay g.drawn:not([visibility=hidden])").count() == 0

    # Stiffness belongs to a stroke.
    page.keyboard.press("b")
    stiff = page.get_by_role("slider", name="How stiff")
    stiff.focus()
    page.keyboard.press("End")
    canvas.focus()
    paint(page, (0.5, 0.7), (0.5, 0.4))
    assert strokes(page)[-1]["stiffness"] == 10 and "stiffness" not in strokes(page)[0]

    page.get_by_role("button", name="delete all strokes").click()
    wait_equal(lambda: value(page, "strokes", SWAY), "")
    page.get_by_role("button", name="Undo").click()
    wait_equal(lambda: len(strokes(page)), 5)

    # Edits of the text appear at once, and errors are shown; a keyboard paints dots.
    set_value(page, "strokes", '[{"kind": "move", "points": [[0.5, 0.5]]}, {"kind": "dance", "points": []}]', SWAY)
    page.get_by_text("Stroke 2: kind must be one of").wait_for()
    set_value(page, "strokes", "", SWAY)
    page.get_by_text("Paint what moves", exact=True).wait_for()
    canvas.focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    wait_equal(lambda: len(strokes(page)), 1)


def test_three_hundred_strokes_stay_interactive(page):
    """The work of a new stroke does not grow with the number of strokes before it."""
    rng = np.random.default_rng(0)
    centers = rng.uniform(0.1, 0.9, (300, 1, 2)) + np.cumsum(rng.normal(0, 0.006, (300, 12, 2)), 1)
    many = [gid.Stroke("move", tuple(map(tuple, np.clip(line, 0, 1).round(4))), 0.02) for line in centers]
    build(page, gid.format_strokes(many))
    wait_previewed(page)
    segments = f"document.querySelector('{BRUSH}').gidBrush.segments"
    before = page.evaluate(segments)
    assert before >= 300 * 11
    drag(page, (0.2, 0.5), (0.8, 0.5), BRUSH, steps=12)
    during = page.evaluate(segments) - before
    page.mouse.up()
    wait_equal(lambda: len(strokes(page)), 301)
    after = page.evaluate(segments) - before
    assert during <= 20 and after <= 40, (during, after)
    wait_previewed(page)


def test_touch_and_pen(page):
    build(page)
    box = page.locator(BRUSH).bounding_box()
    session = page.context.new_cdp_session(page)

    def at(x, y):
        return {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}

    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [at(0.3, 0.8)]})
    for y in (0.7, 0.6, 0.5):
        session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [at(0.3, y)]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    wait_equal(lambda: len(strokes(page)), 1)
    assert all(len(point) == 2 for point in strokes(page)[0]["points"])

    pen = {"button": "left", "buttons": 1, "pointerType": "pen", "clickCount": 1}
    session.send("Input.dispatchMouseEvent", {"type": "mousePressed", "force": 0.2, **pen, **at(0.6, 0.8)})
    for y, force in ((0.7, 0.4), (0.6, 0.7), (0.5, 0.9)):
        session.send("Input.dispatchMouseEvent", {"type": "mouseMoved", "force": force, **pen, **at(0.6, y)})
    session.send("Input.dispatchMouseEvent", {"type": "mouseReleased", "force": 0, **pen, **at(0.6, 0.5)})
    wait_equal(lambda: len(strokes(page)), 2)
    pressures = [(*point, 1)[2] for point in strokes(page)[1]["points"]]
    assert pressures[0] == pytest.approx(0.2) and pressures[-1] > 0.6
    narrow, wide = (
        sum(paint_at(page, 0.6 + dx, y)["move"] for dx in np.linspace(-0.05, 0.05, 41)) for y in (0.79, 0.52)
    )
    assert wide > 1.5 * narrow


def test_the_prediction_paints_on_its_photo_and_old_workflows_show_a_button(page):
    page.evaluate(
        """() => {
          const graph = app.rootGraph ?? app.graph;
          graph.clear();
          const make = (type) => { const n = LiteGraph.createNode(type); graph.add(n); return n; };
          const image = make("LoadImage"), predict = make("GID_PredictSpectralVolume");
          [image.pos, predict.pos] = [[40, 280], [420, 60]];
          image.widgets.find((w) => w.name === "image").value = "ramp.png";
          image.connect(0, predict, predict.inputs.findIndex((i) => i.name === "image"));
        }"""
    )
    assert page.locator(BRUSH).count() == 0
    button = page.get_by_role("button", name="Paint what moves in the picture")
    settle(page, ".gid-open")
    assert button.bounding_box()["height"] < 40
    button.click()
    page.locator(BRUSH).wait_for(state="visible")
    settle(page, BRUSH)
    wait_equal(lambda: view(page, "ready", BRUSH), True)
    drag(page, (0.4, 0.6), (0.6, 0.6), BRUSH)
    page.mouse.up()
    kind = "GID_PredictSpectralVolume"
    wait_equal(lambda: len(json.loads(value(page, "strokes", kind) or "[]")), 1)
    assert page.get_by_text("Run the workflow to see this motion").is_visible()
