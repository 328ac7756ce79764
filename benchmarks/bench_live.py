"""Claim: the live view's frame rate at 512 x 288 pixels, in headless Chromium with WebGL2 on the CPU.

python -m benchmarks live
"""

from __future__ import annotations

import hashlib
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import ROOT, write_results

if TYPE_CHECKING:
    from comfy_server import ComfyServer

SECONDS = 10
SIZE = [512, 288]  # of the live view, pixels
RENDERERS = {"canvas": "classic canvas", "vue": "Nodes 2.0"}
POKE = '[{"x": 0.5, "y": 0.5, "dx": 0.1, "dy": 0.05, "time": 0}]'

# Opens the widget in a page without ComfyUI; its node only stores values.
OPEN_WIDGET = """async ([base, digest, pokes]) => {
  const [{ fetchPacket }, { PokeEditor }] = await Promise.all(
    ["live_packet", "poke_editor"].map((name) => import(`${base}/${name}.js`)));
  const values = { pokes, num_frames: 120, fps: 30 };
  const node = { read: (name) => values[name], write() {}, changed() {}, locked: () => false };
  const editor = new PokeEditor(node, "");
  document.body.append(Object.assign(document.createElement("div"), { style: "width: 514px; height: 362px" }));
  document.body.lastChild.append(editor.root);
  editor.setPacket(await fetchPacket(digest, (path) => fetch(path)));
}"""


def median_frame_rate(page: Any) -> float:
    """Frames per second of a Playwright page's live view while a poke decays."""
    from browser.live_page import VIEW, frame_rates, view

    page.wait_for_function(f"() => document.querySelector('{VIEW}')?.gidView.playing", timeout=60_000)
    size = page.locator(VIEW).evaluate("(c) => [c.width, c.height]")
    if size != SIZE or not view(page, "ready"):
        raise RuntimeError(f"the view draws {size[0]} x {size[1]} pixels, not {SIZE[0]} x {SIZE[1]}")
    return statistics.median(frame_rates(page, seconds=SECONDS))


def frame_rate_in_bare_page(browser: Any, server: ComfyServer) -> float:
    """Frames per second of the widget in an otherwise empty page."""
    from browser.live_page import swaying_volume
    from comfy_server import PACK
    from gid_core.media.image_io import read_image
    from gid_core.rendering.live_packet import pack

    packet = pack(swaying_volume(), read_image(ROOT / "assets" / "flowers.jpg"))
    digest = hashlib.blake2b(packet, digest_size=16).hexdigest()
    (server.base / "temp").mkdir(exist_ok=True)
    (server.base / "temp" / f"gid_live_{digest}.bin").write_bytes(packet)
    context = browser.new_context(viewport={"width": 1400, "height": 850})
    page = context.new_page()
    page.goto(f"{server.url}/gid/live/none")
    page.evaluate(OPEN_WIDGET, [f"/extensions/{PACK}", digest, POKE])
    rate = median_frame_rate(page)
    context.close()
    return rate


def frame_rate_in_comfyui(browser: Any, server: ComfyServer, renderer: str) -> float:
    """Frames per second of the widget in a graph on ComfyUI's page."""
    from browser.live_page import VIEW, build, comfy_page, run, settle, widen

    with comfy_page(browser, server, renderer) as page:
        build(page, photo="flowers.jpg", pokes=POKE)
        run(page)
        widen(page)
        settle(page, VIEW)
        return median_frame_rate(page)


def main() -> None:
    """Write results/live.md."""
    sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]
    from browser.live_page import chromium, provide_inputs
    from comfy_server import ComfyServer

    rates = {}
    with chromium() as browser, tempfile.TemporaryDirectory() as folder:
        for frontend in (None, "newest"):
            # Without the cache, every run sends the page what its nodes made.
            with ComfyServer(Path(folder) / str(frontend), frontend, ["--cache-none"], cpu=True) as server:
                provide_inputs(server, Path(folder))
                if not rates:
                    rates["a bare page"] = frame_rate_in_bare_page(browser, server)
                for renderer, name in RENDERERS.items():
                    page = f"ComfyUI, {frontend or 'pinned'} frontend, {name}"
                    rates[page] = frame_rate_in_comfyui(browser, server, renderer)
    write_results(
        "live",
        "Frame rate of the live view in software",
        ["page", "frames per second"],
        [[page, f"{rate:.1f}"] for page, rate in rates.items()],
        f"""
The view of 512 x 288 pixels (15 modes on a grid of 160 x 90) plays a poke, in headless Chromium whose WebGL2 runs on
the CPU (SwiftShader); the browser draws at most 60 frames per second. Medians of {SECONDS} seconds.
""",
    )


if __name__ == "__main__":
    main()
