"""Claims: frames per second of both renderers, and memory that does not grow with the length of a clip.

python -m benchmarks rendering
"""

import json
import subprocess
import sys
from functools import partial

import torch

import gid_core as gid
from benchmarks.measure import interleaved_times, median_ms, write_results

FRAMES, NETWORK_FRAMES = 24, 8
SIZES = ((160, 256, 3), (288, 512, 3), (288, 512, 4), (720, 1280, 3))  # height, width, channels

MEMORY_PROBE = """
import json, sys, torch, gid_core as gid
from benchmarks.measure import peak_memory
from benchmarks.bench_rendering import random_volume
frames = int(sys.argv[1])
photo = torch.rand(720, 1280, 3)
motion = gid.loop(random_volume(144, 256), num_frames=frames)
before = peak_memory()
output = gid.render(photo, motion)
print(json.dumps([output.numel() * 4, peak_memory() - before]))
"""


def random_volume(height: int, width: int) -> gid.SpectralVolume:
    """A smooth random volume with natural amplitudes."""
    rng = torch.Generator().manual_seed(0)
    coarse = torch.randn(16, 4, 6, 10, generator=rng) * (200 / torch.arange(1, 17)).view(-1, 1, 1, 1)
    return gid.SpectralVolume(torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")[None])


def measure_speed() -> None:
    """Write results/rendering.md."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = gid.GIDPipeline.from_pretrained(device=device).renderer
    rows = []
    for height, width, channels in SIZES:
        photo = torch.rand(height, width, channels)
        motion = gid.loop(random_volume(min(height, 288), min(width, 512)))
        render = partial(gid.render, photo, motion, device=device)
        times = interleaved_times(
            {
                "fast splat": partial(render, count=FRAMES, renderer=None),
                "network": partial(render, count=NETWORK_FRAMES, renderer=network),
            },
            rounds=5,
        )
        fast_splat_fps = 1000 * FRAMES / median_ms(times["fast splat"])
        network_fps = 1000 * NETWORK_FRAMES / median_ms(times["network"])
        rows.append([f"{width} x {height}, {channels} channels", f"{fast_splat_fps:.0f}", f"{network_fps:.1f}"])
    write_results(
        "rendering",
        "Whole renders",
        ["image", "fast splat, frames per second", "rendering network, frames per second"],
        rows,
        "`gid_core.render` with a volume of the image's size (at most 512 x 288): flow, splat, holes, output.",
    )


def measure_memory() -> None:
    """Write results/rendering_memory.md."""
    rows = []
    for frames in (60, 300, 600):
        command = [sys.executable, "-c", MEMORY_PROBE, str(frames)]
        probe = subprocess.run(command, check=True, capture_output=True, text=True)
        output, increase = json.loads(probe.stdout)
        rows.append([frames, f"{output / 2**20:.0f}", f"{(increase - output) / 2**20:.0f}"])
    write_results(
        "rendering_memory",
        "Memory of a 1280 x 720 render",
        ["frames", "output tensor, MiB", "peak above it, MiB"],
        rows,
        "Peak resident memory of a process during `gid_core.render` on the CPU, minus that before it and the output's.",
    )


def main() -> None:
    """Measure speed, then memory."""
    measure_speed()
    measure_memory()


if __name__ == "__main__":
    main()
