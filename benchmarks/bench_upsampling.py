"""Claim: upsampling along the photo's outlines follows motion edges better than interpolation and other filters.

python -m benchmarks upsampling
"""

import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.measure import write_results
from gid_core.models.upsampling import upsample_to_photo
from gid_core.spectral_volume import SpectralVolume
from gid_core.synthetic.random_scene import random_scene
from gid_core.tensors import resize_maps

SIZE, COARSE_SIZE = (288, 512), (72, 128)
SEEDS = range(200, 208)  # none of these scenes was used to choose the constants
MEAN_MOTION = 3.0  # px at this size
EDGE_DIFFERENCE, EDGE_DISTANCE = 0.5, 4  # px: difference between neighbors that makes an edge; what counts as near it
PHOTO_NOISE = 0.02
BINS = 4  # enough for the errors; times are of all 16
CONDITIONS = ("exact", "noisy", "vague")

Upsampler = Callable[[Tensor, Tensor], Tensor]  # coarse [1, C, h, w], photo [1, 3, H, W] -> [1, C, H, W]


def bilinear(coarse: Tensor, photo: Tensor) -> Tensor:
    """Bilinear interpolation, which ignores the photo."""
    return resize_maps(coarse, SIZE)


def guided(coarse: Tensor, photo: Tensor, radius: int = 2, eps: float = 1e-3) -> Tensor:
    """kornia's guided filter of the interpolated volume, with statistics on the coarse grid."""
    from kornia.filters import guided_blur

    factor = SIZE[1] // coarse.shape[-1]
    kernel = 2 * radius * factor + 1
    return guided_blur(photo, resize_maps(coarse, SIZE), (kernel, kernel), eps, subsample=factor)


def joint_bilateral(coarse: Tensor, photo: Tensor) -> Tensor:
    """kornia's joint bilateral filter of the interpolated volume, a few channels at a time to fit in memory."""
    from kornia.filters import joint_bilateral_blur

    upsampled = resize_maps(coarse, SIZE)
    return torch.cat([joint_bilateral_blur(part, photo, 9, 0.1, (3.0, 3.0)) for part in upsampled.split(4, 1)], 1)


def ours(coarse: Tensor, photo: Tensor) -> Tensor:
    """`upsample_to_photo`, in pixels of the coarse grid as the others."""
    volume = SpectralVolume(coarse.unflatten(1, (-1, 4)))
    upsampled = upsample_to_photo(volume, photo, SIZE)
    return upsampled.coefficients.flatten(1, 2) * (coarse.shape[-1] / SIZE[1])


METHODS: dict[str, Upsampler] = {
    "bilinear": bilinear,
    "guided filter (kornia), radius 2, eps 1e-3": guided,
    "joint bilateral filter (kornia), 9 x 9": joint_bilateral,
    "ours: guided filter at outlines, then edge-aware smoothing": ours,
}


def rms_motion(coefficients: Tensor, period: int = 150) -> Tensor:
    """Root mean square over a period of the motion of coefficients [1, K, 4, H, W]: [H, W] in pixels."""
    weight = torch.full((coefficients.shape[1],), 2 / period**2)
    weight[0] /= 2
    return (coefficients.square().sum(2) * weight.view(1, -1, 1, 1)).sum((0, 1)).sqrt()


def edge_mask(coefficients: Tensor) -> Tensor:
    """Pixels within `EDGE_DISTANCE` of a motion edge, bool [H, W]."""
    x = F.pad(rms_motion(coefficients.diff(dim=-1)), (0, 1))
    y = F.pad(rms_motion(coefficients.diff(dim=-2)), (0, 0, 0, 1))
    edges = ((x + y) > EDGE_DIFFERENCE).float()
    return F.max_pool2d(edges[None], 2 * EDGE_DISTANCE + 1, 1, EDGE_DISTANCE)[0] > 0


def scene_errors(seed: int) -> dict[str, dict[str, tuple[float, float]]]:
    """{method: {condition: (mean error near edges, elsewhere)}} of one scene, px."""
    scene = random_scene(seed, SIZE, mean_motion=MEAN_MOTION)
    exact = scene.spectral_volume(BINS)
    photo = torch.from_numpy(scene.render(0)).permute(2, 0, 1)[None].float()
    rng = torch.Generator().manual_seed(seed)
    noisy_photo = (photo + PHOTO_NOISE * torch.randn(photo.shape, generator=rng)).clamp(0, 1)
    coarse, near_edges = exact.resize(COARSE_SIZE), edge_mask(exact.coefficients)
    vague = coarse.resize(tuple(side // 2 for side in COARSE_SIZE)).resize(COARSE_SIZE)
    inputs = {"exact": (coarse, photo), "noisy": (coarse, noisy_photo), "vague": (vague, photo)}
    errors: dict[str, dict[str, tuple[float, float]]] = {}
    for name, method in METHODS.items():
        errors[name] = {}
        for condition, (volume, guide) in inputs.items():
            upsampled = method(volume.coefficients.flatten(1, 2), guide) * (SIZE[1] / COARSE_SIZE[1])
            error = rms_motion(upsampled.view_as(exact.coefficients) - exact.coefficients)
            errors[name][condition] = float(error[near_edges].mean()), float(error[~near_edges].mean())
    return errors


def median_cpu_seconds(method: Upsampler, rounds: int = 5) -> float:
    """CPU time for 16 frequencies, after a warm-up round."""
    rng = torch.Generator().manual_seed(0)
    coarse, photo = torch.randn(1, 64, *COARSE_SIZE, generator=rng), torch.rand(1, 3, *SIZE, generator=rng)
    times = []
    for _ in range(rounds + 1):
        start = time.process_time()
        method(coarse, photo)
        times.append(time.process_time() - start)
    return statistics.median(times[1:])


def main() -> None:
    """Write results/upsampling.md."""
    scenes = [scene_errors(seed) for seed in SEEDS]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rows = []
    for name, method in METHODS.items():
        row = [name]
        for condition in CONDITIONS:
            near, elsewhere = zip(*(scene[name][condition] for scene in scenes), strict=True)
            row.append(f"{statistics.mean(near):.3f} / {statistics.mean(elsewhere):.4f}")
        rounds = 1 if method is joint_bilateral else 5
        rows.append([*row, f"{median_cpu_seconds(method, rounds):.2f}"])
    torch.set_num_threads(threads)
    write_results(
        "upsampling",
        "Upsampling of the coarse volume to the photo's edges",
        ["method", "exact coarse volume", "noisy photo", "vague coarse volume", "seconds, one core"],
        rows,
        f"""
Error of the motion (root mean square over a period, px at {SIZE[1]} x {SIZE[0]}, mean over pixels) within
{EDGE_DISTANCE} px of motion edges / elsewhere, of volumes reduced to {COARSE_SIZE[1]} x {COARSE_SIZE[0]} and upsampled
again; mean of {len(SEEDS)} procedural scenes that move by {MEAN_MOTION:g} px. Noisy: the photo has Gaussian noise of
{PHOTO_NOISE:g}. Vague: the coarse volume was also reduced to half its size, as blurred as a network's may be. Time: CPU
time of all 16 frequencies.
""",
    )


if __name__ == "__main__":
    main()
