"""Claim: both renderers, compiled, make the frames of PyTorch's operators in a fraction of their time.

python -m benchmarks fused
"""

import resource
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch

import gid_core as gid
from benchmarks.bench_rendering import random_volume
from benchmarks.bench_splatting import scatter_splat
from benchmarks.measure import write_results
from gid_core.rendering.fast_renderer import fast_splat, torch_splat
from gid_core.rendering.fused_splat import FusedSplat
from gid_core.rendering.render import motion_importance
from gid_core.rendering.renderer import is_tiled, tiled
from gid_core.tensors import resize_flow

# Height, width, frames of a call and rounds. PyTorch's operators get one frame and one round at the largest size.
SIZES = ((288, 512, 16, 5), (720, 1280, 4, 3), (1080, 1920, 2, 3), (2160, 3840, 2, 1))
NETWORK_HEIGHT = 720  # the largest that the network is measured at
MINIMAL_BYTES = 36  # of a pixel: photo, displacement, frame and holes, read or written once
MARGIN = 128  # of the tiles of PyTorch's operators, for motion of up to 96 pixels


class Cost(NamedTuple):
    """Of one call, divided by its frames."""

    wall: float  # seconds
    cpu: float  # seconds, of all threads
    faults: float  # page faults


def cost(function: Callable[[], Any], frames: int = 1) -> Cost:
    """What a call costs per frame."""
    faults, wall, cpu = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.perf_counter(), time.process_time()
    function()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Cost(*(value / frames for value in (wall, cpu, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults)))


def minimal_copy(pixels: int) -> Callable[[], None]:
    """Moves the bytes that every renderer must move."""
    source, target = np.ones((2, pixels * MINIMAL_BYTES // 2), np.uint8)
    return partial(np.copyto, target, source)


def network_ways(photo: torch.Tensor, importance: torch.Tensor, flow: torch.Tensor) -> dict[str, Callable[[], Any]]:
    """The bundled rendering network, compiled and by PyTorch's operators, in both precisions."""
    ways = {}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        network = gid.GIDPipeline.from_pretrained(dtype=dtype).model.renderer
        ways[f"network, {name}, compiled"] = partial(network.prepare(photo, importance), flow)
        ways[f"network, {name}, PyTorch"] = partial(network.prepare_by_operators(photo, importance), flow)
    return ways


def measure(height: int, width: int, frames: int, rounds: int) -> list[list[str]]:
    """The rows of the table for one size; all ways in turn, so that noise affects them alike."""
    size = (height, width)
    photo = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    motion = gid.loop(random_volume(min(height, 288), min(width, 512)))
    importance, displacement = motion_importance(motion, size), motion.displacement(20, 20 + frames)[0]
    fast_splat(photo[..., :8, :8], importance[..., :8, :8])  # compiles
    fixed = {"compiled": cost(lambda: fast_splat(photo, importance)), "PyTorch": cost(lambda: None)}
    fused = fast_splat(photo, importance)
    if not isinstance(fused, FusedSplat):
        raise RuntimeError("This benchmark needs Numba: pip install '.[fast]'")
    if is_tiled(size):  # each window is prepared in each call
        reference = tiled(torch_splat, photo, importance, MARGIN)
    else:
        fixed["PyTorch"] = cost(lambda: torch_splat(photo, importance))
        reference = torch_splat(photo, importance)
    few = displacement[: 1 if is_tiled(size) else 2]
    one = resize_flow(displacement[:1], size)
    image, x_y = photo[0].permute(1, 2, 0).contiguous().numpy(), np.indices(size, np.float32)[::-1] - one[0].numpy()
    ways = {
        "compiled": (partial(fused.render, displacement, None), frames),
        "PyTorch": (lambda: reference(resize_flow(few, size)), len(few)),
        "scatter_add_": (lambda: scatter_splat(photo, one, importance), 1),
        "cv2.remap, bicubic": (lambda: cv2.remap(image, *x_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT), 1),
        "copy of the minimum": (minimal_copy(height * width), 1),
    }
    errors = {"compiled": fused.render(few, None)[0] - reference(resize_flow(few, size))[0]}
    if height <= NETWORK_HEIGHT:
        network = network_ways(photo, importance, resize_flow(few, size))
        ways |= {name: (function, len(few)) for name, function in network.items()}
        exact = network["network, float32, PyTorch"]()[0]
        errors |= {
            f"network, {dtype}, compiled": network[f"network, {dtype}, compiled"]()[0] - exact
            for dtype in ("float32", "bfloat16")
        }
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for round_number in range(rounds + 1):
        for name, (function, count) in ways.items():
            if round_number or name != "PyTorch":  # whose first call is like the others
                costs[name].append(cost(function, count))
    rows = []
    for name, results in costs.items():
        wall, cpu, faults = (statistics.median(column) for column in zip(*results[-rounds:], strict=True))
        once = f"{fixed[name].cpu * 1e3:.0f}" if name in fixed and fixed[name].cpu > 1e-3 else "-"
        accuracy = ["", ""]
        if name in errors:
            psnr, largest = -10 * torch.log10(errors[name].square().mean()), errors[name].abs().max()
            accuracy = [f"{psnr:.0f}", f"{largest:.0e}"]
        nanoseconds = cpu / (height * width) * 1e9
        rows.append([f"{width} x {height}", name, f"{wall * 1e3:.1f}", f"{cpu * 1e3:.1f}", f"{nanoseconds:.0f}",
                     f"{faults:,.0f}", once, *accuracy])  # fmt: skip
    return rows


def main() -> None:
    """Write results/fused.md."""
    write_results(
        "fused",
        "Renderers, compiled",
        [
            "image",
            "way",
            "ms a frame",
            "CPU ms a frame",
            "CPU ns a pixel",
            "page faults a frame",
            "once a photo, CPU ms",
            "PSNR, dB",
            "largest error",
        ],
        [row for size in SIZES for row in measure(*size)],
        f"""
Frames of a prepared photo of noise, from displacements on a grid of at most 512 x 288; medians of alternating rounds,
{torch.get_num_threads()} threads. Fast splat where no network is named. CPU: of all threads. Accuracy: against
PyTorch's operators in float32, which render photos above 2 megapixels in tiles. `scatter_add_`: the splat alone.
`cv2.remap`: the sampling alone. Copy: of {MINIMAL_BYTES} bytes a pixel, read and written.
""",
    )


if __name__ == "__main__":
    main()
