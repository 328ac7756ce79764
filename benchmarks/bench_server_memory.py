"""Claim: a server that renders all day does not grow: 500 queued renders leave its memory where it was after warm-up.

    python -m benchmarks server_memory

Each prompt makes a motion and renders it by another node: fast splat, rendering network and a video file, with another
seed each time, so that ComfyUI's cache serves nothing.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from benchmarks.bench_rendering import random_volume
from benchmarks.measure import ROOT, write_results

if TYPE_CHECKING:
    from comfy_server import ComfyServer

RENDERS, WARM_UP = 500, 50
WIDTH, HEIGHT, FRAMES = 128, 72, 8
INTERVAL = 50  # prompts between rows of the table
TOLERANCE = 0.03  # of the median, in which all samples after the warm-up lie if memory is flat


def prompt(number: int) -> dict:
    """A prompt with one of three ways to render, in turn."""
    render = {"image": ["image", 0], "motion": ["wind", 0], "start_frame": 0, "num_frames": 0}
    nodes = {
        "image": ("EmptyImage", {"width": WIDTH, "height": HEIGHT, "batch_size": 1, "color": number}),
        "volume": ("GID_LoadSpectralVolume", {"file": "volume.safetensors"}),
        "wind": ("GID_Wind", {"spectral_volume": ["volume", 0], "direction": 0.0, "strength": 1.0, "gustiness": 0.5,
                              "num_frames": FRAMES, "fps": 30.0, "seed": number, "loop": True}),
    }  # fmt: skip
    if number % 3 == 1:
        nodes["model"] = "GID_LoadModel", {"model_name": "gid-small (shipped)"}
        render["model"] = ["model", 0]
    if number % 3 == 2:
        nodes["render"] = "GID_RenderLoopToVideo", render
        nodes["save"] = "SaveVideo", {"video": ["render", 0], "filename_prefix": "a", "format": "mp4", "codec": "h264"}
    else:
        nodes["render"] = "GID_SoftmaxSplatRender", render
        nodes["save"] = "SaveImage", {"images": ["render", 0], "filename_prefix": "a"}
    return {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}


def sample_memory(server: ComfyServer) -> list[float]:
    """Queue all renders; the server's resident memory in MiB after each of them."""
    process, samples = psutil.Process(server.pid), []
    queued = [server.queue(prompt(number)) for number in range(RENDERS)]
    while len(samples) < RENDERS:
        left = server.get("/prompt")["exec_info"]["queue_remaining"]
        samples += [process.memory_info().rss / 2**20] * (RENDERS - left - len(samples))
        time.sleep(0.02)
    for number in queued:
        server.wait(number)  # raises if one failed
    return samples


def main() -> None:
    """Write results/server_memory.md."""
    sys.path.insert(0, str(ROOT / "scripts"))
    from comfy_server import ComfyServer

    with tempfile.TemporaryDirectory() as folder, ComfyServer(folder) as server:
        random_volume(HEIGHT, WIDTH).save(Path(folder) / "input" / "volume.safetensors")
        started = psutil.Process(server.pid).memory_info().rss / 2**20
        samples = sample_memory(server)
    after = sorted(samples[WARM_UP:])
    median = after[len(after) // 2]
    low, high = after[0] / median - 1, after[-1] / median - 1
    flat = "flat" if max(-low, high) <= TOLERANCE else "NOT flat"
    rows = [[0, f"{started:.0f}"], *([n, f"{samples[n - 1]:.0f}"] for n in range(INTERVAL, RENDERS + 1, INTERVAL))]
    write_results(
        "server_memory",
        "Memory of a server",
        ["finished renders", "resident memory, MiB"],
        rows,
        f"{RENDERS} queued prompts of {FRAMES} frames of {WIDTH} x {HEIGHT}, in turn by the fast splat, the rendering "
        f"network (whose model is loaded anew each time) and as a video file. After the first {WARM_UP}, memory is "
        f"{after[0]:.0f} to {after[-1]:.0f} MiB: {100 * low:+.1f} to {100 * high:+.1f} % of its median, {flat} within "
        f"{100 * TOLERANCE:.0f} %.",
    )


if __name__ == "__main__":
    main()
