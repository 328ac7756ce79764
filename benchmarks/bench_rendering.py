"""Speed of whole renders, and memory above the output tensor as clips grow longer."""

import json
import subprocess
import sys
from functools import partial

import torch

from benchmarks.measure import in_turn, median_ms, report

FRAMES = 24

MEMORY_PROBE = """
import json, sys, torch, gid_core as gid
from benchmarks.measure import peak_memory
from benchmarks.rendering import volume_for
frames = int(sys.argv[1])
photo = torch.rand(720, 1280, 3)
motion = gid.loop(volume_for(144, 256), num_frames=frames)
before = peak_memory()
output = gid.render(photo, motion)
print(json.dumps([output.numel() * 4, peak_memory() - before]))
"""


def volume_for(height: int, width: int):
    """A smooth random volume with natural amplitudes."""
    import gid_core as gid

    random = torch.Generator().manual_seed(0)
    coarse = torch.randn(16, 4, 6, 10, generator=random) * (200 / torch.arange(1, 17)).view(-1, 1, 1, 1)
    return gid.SpectralVolume(torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")[None])


def main() -> None:
    import gid_core as gid

    device = "cuda" if torch.cuda.is_available() else "cpu"
    renderer = gid.GIDPipeline.from_pretrained(device=device).renderer
    rows = []
    for height, width, channels in ((160, 256, 3), (288, 512, 3), (288, 512, 4), (720, 1280, 3)):
        photo = torch.rand(height, width, channels)
        motion = gid.loop(volume_for(min(height, 288), min(width, 512)))

        def run(count, renderer, photo=photo, motion=motion):
            gid.render(photo, motion, count=count, renderer=renderer, device=device)

        ways = {"fast": partial(run, FRAMES, None), "network": partial(run, FRAMES // 3, renderer)}
        seconds = in_turn(ways, rounds=5)
        fast, network = FRAMES / median_ms(seconds["fast"]), FRAMES // 3 / median_ms(seconds["network"])
        rows.append([f"{width} x {height}, {channels} channels", f"{1000 * fast:.0f}", f"{1000 * network:.1f}"])
    report(
        "rendering",
        "Whole renders",
        ["picture", "fast splat, frames a second", "rendering network"],
        rows,
        "`gid_core.render` with a volume of the picture's size (at most 512 x 288): flow, splat, holes, output.",
    )

    rows = []
    for frames in (60, 300, 600):
        command = [sys.executable, "-c", MEMORY_PROBE, str(frames)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        output, extra = json.loads(done.stdout)
        rows.append([frames, f"{output / 2**20:.0f}", f"{(extra - output) / 2**20:.0f}"])
    report(
        "rendering_memory",
        "Memory of a 1280 x 720 render",
        ["frames", "output tensor, MiB", "peak above it, MiB"],
        rows,
        "Peak resident memory of a process during `gid_core.render` on the CPU, less that before it and the output's.",
    )


if __name__ == "__main__":
    main()
