"""Claims: frames per second of both renderers, and memory that does not grow with the length of a clip.

python -m benchmarks rendering
"""

import itertools
import json
import subprocess
import sys
import tempfile
from functools import partial

import torch

import gid_core as gid
from benchmarks.measure import ROOT, interleaved_times, median_ms, write_results
from gid_core.tensors import resize_maps

PHOTO = ROOT / "assets" / "flowers.jpg"
FRAMES = 24
SIZES = ((160, 256, 3), (288, 512, 3), (288, 512, 4), (720, 1280, 3))  # height, width, channels

# Of the memory table: height, width and frames of a clip, and whether it is made as a tensor, too.
CLIPS = ((720, 1280, 10, True), (720, 1280, 50, True), (3000, 4000, 2, False), (3000, 4000, 8, False))
REFUSED = (3000, 4000, 600)

MEMORY_PROBE = """
import json, sys, torch, gid_core as gid
from benchmarks.bench_rendering import large_photo, random_volume
from benchmarks.measure import peak_memory
height, width, frames = map(int, sys.argv[2:5])
network = gid.GIDPipeline.from_pretrained().renderer if sys.argv[1] == "network" else None
gid.render_to_video(sys.argv[5], torch.rand(48, 64, 3), gid.loop(random_volume(6, 8)), count=1)  # imports
before = peak_memory()
photo, motion = large_photo(height, width), gid.loop(random_volume(288, 384), frames)
if sys.argv[1] == "tensor":
    gid.render(photo, motion)
else:
    gid.render_to_video(sys.argv[5], photo, motion, renderer=network)
print(json.dumps(peak_memory() - before))
"""


def large_photo(height: int, width: int) -> torch.Tensor:
    """A smooth random photo [H, W, 3]."""
    coarse = torch.rand(1, 3, height // 8, width // 8, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, (height, width))[0].permute(1, 2, 0).contiguous()


def fit(image: torch.Tensor, height: int, width: int, channels: int) -> torch.Tensor:
    """An image [H, W, C] in another size and with another number of channels; a new one is opaque."""
    resized = resize_maps(image[..., :3].permute(2, 0, 1)[None], (height, width))[0].permute(1, 2, 0).clamp(0, 1)
    return torch.cat([resized, torch.ones_like(resized)], -1)[..., :channels].contiguous()


def random_volume(height: int, width: int) -> gid.SpectralVolume:
    """A smooth random volume with natural amplitudes."""
    rng = torch.Generator().manual_seed(0)
    coarse = torch.randn(16, 4, 6, 10, generator=rng) * (200 / torch.arange(1, 17)).view(-1, 1, 1, 1)
    return gid.SpectralVolume(torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")[None])


def measure_speed() -> None:
    """Write results/rendering.md."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    pipe = gid.GIDPipeline.from_pretrained(device=device)
    rows = []
    for (height, width, channels), noise in itertools.product(SIZES, (False, True)):
        if noise:
            photo = torch.rand(height, width, channels)
            motion = gid.loop(random_volume(min(height, 288), min(width, 512)))
        else:
            photo = fit(gid.read_image(PHOTO), height, width, channels)
            motion = gid.loop(pipe(photo, seed=1))
        render = partial(gid.render, photo, motion, count=FRAMES, device=device)
        times = interleaved_times(
            {
                "fast splat": partial(render, renderer=None),
                "network": partial(render, renderer=pipe.renderer),
            },
            rounds=5,
        )
        fast_splat_fps, network_fps = (1000 * FRAMES / median_ms(seconds) for seconds in times.values())
        content = "noise, all of it moves" if noise else "sample photo, predicted motion"
        rows.append(
            [f"{width} x {height}, {channels} channels", content, f"{fast_splat_fps:.0f}", f"{network_fps:.1f}"]
        )
    write_results(
        "rendering",
        "Whole renders",
        ["image", "content", "fast splat, frames per second", "rendering network, frames per second"],
        rows,
        f"`gid_core.render` of {FRAMES} frames with a volume of the image's size (at most 512 x 288): preparation, "
        "flow, splat, holes, output. On the CPU both are compiled where Numba is installed.",
    )


def measure_memory() -> None:
    """Write results/rendering_memory.md."""
    rows = []
    for height, width, frames, as_tensor in CLIPS:
        tensor = peak_of("tensor", height, width, frames) if as_tensor else "-"
        row = [f"{width} x {height}", frames, f"{width * height * frames * 12 / 2**20:.0f}", tensor]
        rows.append([*row, peak_of("fast splat", height, width, frames)])
    height, width, frames = REFUSED
    try:
        gid.render(large_photo(height, width), gid.loop(random_volume(288, 384), frames))
        refusal = "No clip was refused here."
    except ValueError as error:
        refusal = f"A tensor that does not fit is refused: *{error}*"
    one = peak_of("network", 3000, 4000, 1)
    write_results(
        "rendering_memory",
        "Memory of a render",
        ["image", "frames", "frames as a tensor, MiB", "peak of `render`, MiB", "peak of `render_to_video`, MiB"],
        rows,
        "Peak resident memory of a process on the CPU, minus that with the library loaded; the photo is included. Fast "
        f"splat. With the rendering network, the first frame of 4000 x 3000 takes {one} MiB. {refusal}",
    )


def peak_of(way: str, height: int, width: int, frames: int) -> str:
    """Peak memory in MiB of a render in a process of its own, as text; `way` is tensor, fast splat or network."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", MEMORY_PROBE, way, str(height), str(width), str(frames), f"{folder}/a.mp4"]
        probe = subprocess.run(command, check=True, capture_output=True, text=True)
    return f"{json.loads(probe.stdout) / 2**20:.0f}"


def main() -> None:
    """Measure speed, then memory."""
    measure_speed()
    measure_memory()


if __name__ == "__main__":
    main()
