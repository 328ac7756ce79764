"""The live widget of Modal Force in the page: dragging, recording, editing, persistence and cleanup."""

import json
import logging

import numpy as np
import pytest
import torch
from PIL import Image

from browser.live_page import (
    FORCE,
    HINT,
    POKE,
    TIMELINE,
    build,
    displacement_at,
    displacements_at,
    drag,
    pause,
    pokes,
    run,
    save_frames,
    set_value,
    settle,
    steady,
    swaying_volume,
    value,
    view,
    visible_arrows,
    wait_equal,
    wait_for,
    wait_pokes,
    wait_ready,
    widen,
)
from gid_core.dynamics.poke import poke
from gid_core.dynamics.poke_list import parse_pokes

logger = logging.getLogger("gid.test")  # measured figures: pytest --log-cli-level=INFO


LONG = 1500  # frames of a clip that lasts longer than a drag on a busy machine: a drag ends with the clip


def hold_at_most(poke, seconds):
    """A recorded poke, played faster if it holds longer."""
    speed = max(1.0, poke["hold"] / seconds)
    path = [[time / speed, dx, dy] for time, dx, dy in poke["path"]]
    return {**poke, "time": min(poke["time"], seconds), "hold": path[-1][0], "path": path}


def test_the_server_renders_the_poke_of_the_page(page, tmp_path):
    selector = build(page, num_frames=LONG, fps=15)
    settle(page, ".gid-live")
    assert page.get_by_text(HINT).is_visible()
    run(page)
    settle(page, selector)
    assert page.get_by_text("Drag the image to poke it").is_visible()
    assert np.abs(displacement_at(page, 0.5, 0.5, 0.5)).max() == 0 and visible_arrows(page) == 0

    # While the button is down, the image follows the pointer and an arrow points to it.
    drag(page, (0.45, 0.5), (0.6, 0.55))
    wait_equal(lambda: displacement_at(page, 0.45, 0.5, view(page, "time")), pytest.approx([0.15, 0.05], abs=0.03))
    wait_equal(lambda: visible_arrows(page), 1)
    page.screenshot(path=tmp_path / f"held_{page.renderer}_{page.frontend}.png")
    page.mouse.up()
    wait_pokes(page, 1)

    # After the release the image swings and comes to rest, and the clip repeats.
    (recorded,) = pokes(page)
    assert recorded["x"] == pytest.approx(0.45, abs=0.01) and recorded["y"] == pytest.approx(0.5, abs=0.01)
    assert recorded["dx"] == pytest.approx(0.15, abs=0.01) and recorded["dy"] == pytest.approx(0.05, abs=0.01)
    assert 2 <= len(recorded["path"]) <= 12
    assert recorded["path"][-1] == [recorded["hold"], recorded["dx"], recorded["dy"]]
    assert recorded["time"] + recorded["hold"] <= LONG / 15
    assert view(page, "playing")
    page.screenshot(path=tmp_path / f"released_{page.renderer}_{page.frontend}.png")
    pause(page)

    # The server computes the same displacements ...
    set_value(page, "num_frames", 90)
    wait_equal(lambda: view(page, "duration"), 6)
    set_value(page, "pokes", json.dumps([hold_at_most(recorded, 1)]))
    motion = poke(swaying_volume(), parse_pokes(value(page)), num_frames=90, fps=15.0)
    true = motion.displacement()[0]
    size = torch.tensor([256.0, 144.0]).view(2, 1, 1)
    largest = float((true / size).abs().max())
    cells = [(int(y * 144), int(x * 256)) for x, y in [(0.25, 0.3), (0.5, 0.5), (0.4, 0.7), (0.7, 0.4), (0.8, 0.8)]]
    samples = [(row, column, frame) for row, column in cells for frame in range(0, 90, 7)]
    points = [((column + 0.5) / 256, (row + 0.5) / 144, n / 15) for row, column, n in samples]
    expected = np.stack([(true[n, :, row, column] / size[:, 0, 0]).numpy() for row, column, n in samples])
    difference = wait_equal(
        lambda: np.abs(displacements_at(page, points) - expected).max(), lambda d: d < 0.02 * largest
    )
    logger.info("page and gid_core differ by %.2f %% of the largest displacement", 100 * difference / largest)
    assert largest > 0.05

    # ... and renders the same frames: the color of a point appears where the page moves the point. The strength is low,
    # because the renderer blends surfaces that overlap.
    set_value(page, "strength", 0.4)
    save_frames(page, 41)
    frames = [np.asarray(Image.open(file).convert("RGB")) for file in run(page) if file.suffix == ".png"]
    assert len(frames) == 41
    misses, distances = [], []
    for x, y in [(0.3, 0.4), (0.5, 0.5), (0.6, 0.3)]:
        for frame in (2, 8, 14, 20, 40):
            displacement = displacement_at(page, x, y, frame / 15)
            distances.append(np.abs(displacement).max())
            at = np.array([x, y]) + displacement
            column, row = (np.clip(at, 0.02, 0.98) * (512, 288)).astype(int)
            around = frames[frame][row - 4 : row + 5, column - 4 : column + 5, :2].mean((0, 1))
            color = (around + 0.5) / 255  # Save Image rounds down
            shown = color + at - (np.array([column, row]) + 0.5) / (512, 288)
            misses.append(np.abs(shown - (x, y)).max())
    logger.info(
        "page and rendered frames differ by at most %.4f of the image, the median is %.4f, where it moves by %.3f",
        max(misses), np.median(misses), max(distances),
    )  # fmt: skip
    assert max(misses) < 0.005 and max(distances) > 0.04
    saved = page.evaluate("() => JSON.stringify((app.rootGraph ?? app.graph).serialize())")
    assert "gid_live" not in saved and '"live"' not in json.dumps(
        page.evaluate("async () => (await app.graphToPrompt()).output")
    )


def test_editing(page, tmp_path):
    selector = build(page, photo="flowers.jpg")
    run(page)
    settle(page, selector)
    canvas = page.locator(selector)
    assert canvas.get_attribute("aria-label") and canvas.get_attribute("role")

    # A click makes no poke.
    canvas.click()
    page.wait_for_timeout(300)
    assert pokes(page) == []

    # Keyboard: move the cursor, pull, undo. ComfyUI's own undo must not react.
    canvas.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    wait_pokes(page, 1)
    (drawn,) = pokes(page)
    assert drawn["dx"] == 0 and drawn["dy"] < -0.05 and drawn["x"] == pytest.approx(0.52, abs=0.01)
    page.keyboard.press("Shift+ArrowLeft")
    wait_pokes(page, 2)
    page.keyboard.press("Control+z")
    wait_pokes(page, 1)
    assert page.locator(selector).count() == 1
    assert page.evaluate(f"({FORCE})().inputs.some((i) => i.link != null)")
    playing = view(page, "playing")
    page.keyboard.press("Space")
    wait_equal(lambda: view(page, "playing"), not playing)

    # Visible focus.
    outline = canvas.evaluate("(e) => [getComputedStyle(e).outlineStyle, parseFloat(getComputedStyle(e).outlineWidth)]")
    assert outline[0] != "none" and outline[1] >= 2
    if view(page, "playing"):
        page.keyboard.press("Space")

    # The timeline: the playhead, and bars that keys can focus, select, move and delete.
    page.locator(TIMELINE).focus()
    page.keyboard.press("Home")
    wait_equal(lambda: view(page, "time"), 0)
    page.keyboard.press("Shift+ArrowRight")
    wait_equal(lambda: view(page, "time"), pytest.approx(10 / 30, abs=0.01))
    canvas.focus()
    page.keyboard.press("Shift+ArrowRight")
    wait_pokes(page, 2)
    second = page.locator(POKE).nth(1)
    second.focus()
    before = pokes(page)[1]["time"]
    page.keyboard.press("ArrowRight")
    wait_equal(lambda: pokes(page)[1]["time"] != before, True)
    assert pokes(page)[1]["time"] == pytest.approx(before + 1 / 30, abs=0.02)
    wait_equal(page.locator(f'{POKE}[aria-pressed="true"]').count, 1)
    page.screenshot(path=tmp_path / f"editing_{page.renderer}_{page.frontend}.png")
    page.keyboard.press("Delete")
    wait_pokes(page, 1)

    # Buttons.
    page.get_by_role("button", name="delete all pokes").click()
    wait_pokes(page, 0)
    page.get_by_role("button", name="Undo the last change").click()
    wait_pokes(page, 1)
    page.get_by_role("button", name="Redo").click()
    wait_pokes(page, 0)
    page.get_by_role("button", name="Undo the last change").click()
    wait_pokes(page, 1)
    page.locator(POKE).click()
    page.get_by_role("button", name="Delete the selected poke").click()
    wait_pokes(page, 0)

    # Edits of the text appear at once, and errors are shown.
    by_hand = [
        {"x": 0.4, "y": 0.4, "dx": 0.1, "dy": 0, "time": 1, "hold": 1},
        {"x": 0.5, "y": 0.5, "dx": 0, "dy": 0.1, "time": 2, "kind": "kick"},
    ]
    set_value(page, "pokes", json.dumps(by_hand))
    wait_pokes(page, 2)
    assert np.abs(displacement_at(page, 0.4, 0.4, 1.9)).max() > 0.05
    assert np.abs(displacement_at(page, 0.4, 0.4, 0.9)).max() == 0
    set_value(page, "strength", 0)
    wait_equal(lambda: np.abs(displacement_at(page, 0.4, 0.4, 1.9)).max(), 0)
    set_value(page, "num_frames", 60)
    wait_equal(lambda: view(page, "duration"), pytest.approx(2))
    set_value(page, "pokes", '[{"x": 0.4, "y": 0.4, "dx": 0, "dy": 0, "time": 0}, {"x": 1.4}]')
    page.get_by_text("Poke 2: x is 1.4").wait_for()
    set_value(page, "pokes", "[]")
    page.get_by_text("Drag the image to poke it").wait_for()


def test_survives_undo_copy_subgraph_reload_and_a_lost_context(page):
    selector = build(page)
    run(page)
    settle(page, selector)
    drag(page, (0.45, 0.5), (0.55, 0.45))
    page.mouse.up()
    wait_pokes(page, 1)
    text = value(page)

    # ComfyUI's undo removes the poke, and the view is there at once.
    page.wait_for_timeout(500)
    page.evaluate("() => app.extensionManager.command.execute('Comfy.Undo')")
    wait_for(page, f"() => ({FORCE})()?.widgets.find((w) => w.name === 'pokes').value === '[]'")
    wait_ready(page)
    assert page.locator(selector).count() == 1
    page.evaluate("() => app.extensionManager.command.execute('Comfy.Redo')")
    wait_for(page, f"(text) => ({FORCE})()?.widgets.find((w) => w.name === 'pokes').value === text", text)
    wait_ready(page)

    # A copy of the node has the pokes and waits for its own run.
    page.evaluate(
        f"""() => {{
          const node = ({FORCE})();
          app.canvas.deselectAll?.();
          app.canvas.select(node);
          app.canvas.copyToClipboard();
          app.canvas.pasteFromClipboard();
        }}"""
    )
    copies = """() => (app.rootGraph ?? app.graph).nodes.filter((n) => n.type === "GID_ModalForce")
                 .map((n) => n.widgets.find((w) => w.name === "pokes").value)"""
    wait_equal(lambda: page.evaluate(copies), [text, text])
    wait_equal(page.locator('[data-testid="gid-live"]').count, 2)
    page.evaluate(
        """() => { const g = app.rootGraph ?? app.graph;
                   g.remove(g.nodes.filter((n) => n.type === "GID_ModalForce").at(-1));
                   window.dispatchEvent(new MouseEvent("mouseup")); }"""  # so that ComfyUI records the change
    )
    page.wait_for_timeout(500)

    # A lost WebGL context is restored automatically.
    page.evaluate(
        f"""() => {{ const gl = document.querySelector('{selector}').getContext("webgl2");
                     window.gidLose = gl.getExtension("WEBGL_lose_context");
                     window.gidLose.loseContext(); }}"""
    )
    wait_equal(lambda: (view(page, "ready"), view(page, "objects")), (False, 0))
    drawn = view(page, "frames")
    page.evaluate("() => window.gidLose.restoreContext()")
    wait_ready(page)
    wait_for(page, f"(n) => document.querySelector('{selector}').gidView.frames > n", drawn)

    # After a reload of the page, the poke comes from the workflow and the photo from the server.
    page.wait_for_timeout(1500)  # ComfyUI saves the workflow to the browser's storage at intervals
    page.reload(wait_until="domcontentloaded")
    wait_for(page, f"() => window.app?.extensionManager && (app.rootGraph ?? app.graph) && ({FORCE})()")
    wait_ready(page)
    assert value(page) == text
    assert np.abs(displacement_at(page, 0.45, 0.5, pokes(page)[0]["hold"])).max() > 0.03

    # Inside a subgraph the widget moves with its node, and a run makes it live.
    settle(page, selector)
    page.evaluate(
        f"""() => {{
          const node = ({FORCE})();
          app.canvas.deselectAll?.();
          app.canvas.select(node);
          const {{ node: made }} = app.graph.convertToSubgraph(new Set([node]));
          app.canvas.openSubgraph(made.subgraph, made);
        }}"""
    )
    page.wait_for_timeout(1000)
    wait_equal(lambda: value(page), text)
    run(page)
    settle(page, selector)
    drag(page, (0.6, 0.5), (0.5, 0.5))
    page.mouse.up()
    wait_pokes(page, 2)

    # If the server no longer has the packet, the page shows what to do.
    for file in (page.server.base / "temp").glob("gid_live_*.bin"):
        file.unlink()
    page.wait_for_timeout(1500)
    page.evaluate("() => app.canvas.setGraph(app.rootGraph ?? app.graph.rootGraph)")
    page.reload(wait_until="domcontentloaded")
    wait_for(page, f"() => window.app?.extensionManager && (app.rootGraph ?? app.graph) && ({FORCE})()")
    page.wait_for_timeout(1000)  # for what must not become ready
    assert len(pokes(page)) == 2
    assert not page.evaluate(f"() => document.querySelector('{selector}')?.gidView.ready")


def test_keeps_drawing_and_frees_the_gpu(page):
    selector = build(page, photo="flowers.jpg", pokes='[{"x": 0.5, "y": 0.5, "dx": 0.1, "dy": 0.05, "time": 0}]')
    run(page)
    widen(page)
    settle(page, selector)
    assert page.locator(selector).evaluate("(c) => [c.width, c.height]") == [512, 288]
    if not view(page, "playing"):
        page.get_by_role("button", name="Play").click()
    frames = f"document.querySelector('{selector}').gidView.frames"
    for _ in range(2):  # it keeps drawing
        wait_for(page, f"(n) => {frames} > n + 10", view(page, "frames"), progress=frames)

    # It stops drawing while it is not visible.
    page.evaluate("() => { app.canvas.ds.offset[0] += 20000; app.canvas.setDirty(true, true); }")
    hidden = steady(lambda: view(page, "frames"), 0.5)
    page.evaluate("() => { app.canvas.ds.offset[0] -= 20000; app.canvas.setDirty(true, true); }")
    wait_for(page, f"(n) => {frames} > n", hidden)

    assert view(page, "objects") > 0
    lost = page.evaluate(
        f"""async (selector) => {{
          const canvas = document.querySelector(selector), gl = canvas.getContext("webgl2"), node = ({FORCE})();
          node.graph.remove(node);
          await new Promise((done) => setTimeout(done, 500));
          return [canvas.gidView.objects, gl.isContextLost(), document.querySelectorAll(selector).length];
        }}""",
        selector,
    )
    assert lost == [0, True, 0]


def test_touch_pen_and_reduced_motion(page):
    page.emulate_media(reduced_motion="reduce")
    by_hand = '[{"x": 0.5, "y": 0.5, "dx": 0.1, "dy": 0.05, "time": 0}]'
    selector = build(page, num_frames=LONG, pokes=by_hand)
    run(page)
    settle(page, selector)
    steady(lambda: view(page, "frames"), 0.5)
    assert not view(page, "playing") and view(page, "time") == 0

    box = page.locator(selector).bounding_box()
    session = page.context.new_cdp_session(page)

    def at(x, y):
        return {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}

    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [at(0.4, 0.4)]})
    for step in range(1, 7):
        point = at(0.4 + 0.02 * step, 0.4)
        session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
        page.wait_for_timeout(30)
    wait_equal(lambda: visible_arrows(page) >= 1, True)
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    wait_pokes(page, 2)
    touched = next(one for one in pokes(page) if one["x"] != 0.5)
    assert touched["x"] == pytest.approx(0.4, abs=0.01) and touched["dx"] == pytest.approx(0.12, abs=0.02)

    # It plays once after the poke, then stops.
    set_value(page, "num_frames", 60)
    shown = f"document.querySelector('{selector}').gidView"
    wait_for(page, f"() => !{shown}.playing", progress=f"{shown}.frames")

    pen = {"pointerType": "pen", "button": "left", "clickCount": 1, "force": 0.5}
    session.send("Input.dispatchMouseEvent", {"type": "mousePressed", "buttons": 1, **at(0.6, 0.6), **pen})
    for step in range(1, 7):
        move = {"type": "mouseMoved", "buttons": 1, **at(0.6, 0.6 - 0.02 * step), **pen}
        session.send("Input.dispatchMouseEvent", move)
        page.wait_for_timeout(30)
    session.send("Input.dispatchMouseEvent", {"type": "mouseReleased", "buttons": 0, **at(0.6, 0.48), **pen})
    wait_pokes(page, 3)
    # Neither the node nor the graph moved.
    assert page.locator(selector).bounding_box() == pytest.approx(box, abs=1)
