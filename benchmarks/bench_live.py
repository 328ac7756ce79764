"""How often a second the live view draws: 512 x 288 pixels, in headless Chromium with WebGL2 on the processor."""

import hashlib
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import report

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 10
RENDERERS = {"canvas": "classic canvas", "vue": "Nodes 2.0"}
POKE = '[{"x": 0.5, "y": 0.5, "dx": 0.1, "dy": 0.05, "time": 0}]'

# The widget in a page without ComfyUI, whose node says only what is poked.
ALONE = """async ([base, digest, pokes]) => {
  const [{ fetchPacket }, { PokeEditor }] = await Promise.all(
    ["live_packet", "poke_editor"].map((name) => import(`${base}/${name}.js`)));
  const values = { pokes, num_frames: 120, fps: 30 };
  const node = { read: (name) => values[name], write() {}, changed() {}, locked: () => false };
  const editor = new PokeEditor(node, "");
  document.body.append(Object.assign(document.createElement("div"), { style: "width: 514px; height: 362px" }));
  document.body.lastChild.append(editor.root);
  editor.setPacket(await fetchPacket(digest, (path) => fetch(path)));
}"""


def median_rate(page) -> float:
    """Frames a second while the poke rings."""
    from browser.live_page import VIEW, frame_rates, view

    page.wait_for_function(f"() => document.querySelector('{VIEW}')?.gidView.playing", timeout=60_000)
    size = page.locator(VIEW).evaluate("(c) => [c.width, c.height]")
    if size != [512, 288] or not view(page, "ready"):
        raise RuntimeError(f"the view draws {size[0]} x {size[1]} pixels, not 512 x 288")
    return statistics.median(frame_rates(page, seconds=SECONDS))


def alone(browser, server) -> float:
    """Frames a second of the widget in a page that has nothing else."""
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
    page.evaluate(ALONE, [f"/extensions/{PACK}", digest, POKE])
    rate = median_rate(page)
    context.close()
    return rate


def in_comfyui(browser, server, renderer) -> float:
    """Frames a second of the widget in a graph on ComfyUI's page."""
    from browser.live_page import VIEW, build, comfy_page, run, settle, widen

    with comfy_page(browser, server, renderer) as page:
        build(page, photo="flowers.jpg", pokes=POKE)
        run(page)
        widen(page)
        settle(page, VIEW)
        return median_rate(page)


def main() -> None:
    sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]
    from browser.live_page import chromium, provide_inputs
    from comfy_server import ComfyServer

    rates = {}
    with chromium() as browser, tempfile.TemporaryDirectory() as folder:
        for frontend in (None, "newest"):
            # Without the cache every run tells the page what its nodes made.
            with ComfyServer(Path(folder) / str(frontend), frontend, ["--cache-none"], cpu=True) as server:
                provide_inputs(server, Path(folder))
                if not rates:
                    rates["a bare page"] = alone(browser, server)
                for renderer, name in RENDERERS.items():
                    where = f"ComfyUI, {frontend or 'pinned'} frontend, {name}"
                    rates[where] = in_comfyui(browser, server, renderer)
    report(
        "live",
        "Frame rate of the live view in software",
        ["the widget in", "frames a second"],
        [[where, f"{rate:.1f}"] for where, rate in rates.items()],
        f"""
A poke rings in a view of 512 x 288 pixels (15 modes on a grid of 160 x 90), in headless Chromium whose WebGL2 is
drawn by the processor (SwiftShader); the browser shows 60 frames a second at most. Medians of {SECONDS} seconds.
""",
    )


if __name__ == "__main__":
    main()
