"""Coarse volumes drawn along the photo's edges: error beside interpolation and other filters, and time."""

import statistics
import time

import torch
import torch.nn.functional as F

from benchmarks.measure import report
from gid_core.models.upsampling import upsample_to_photo
from gid_core.spectral_volume import SpectralVolume
from gid_core.synthetic.random_scene import random_scene
from gid_core.tensors import resize_maps

SIZE, COARSE = (288, 512), (72, 128)
SEEDS = range(200, 208)  # none of those that the constants were chosen on
MEAN_MOTION = 3.0  # px at this size
EDGE, NEAR = 0.5, 4  # px of difference between neighbors that make an edge; px around it that are near
NOISE = 0.02
BINS = 4  # enough for the errors; times are of all 16


def guided(coarse, photo, radius=2, eps=1e-3):
    """kornia's guided filter over the interpolated volume, its statistics on the coarse grid."""
    from kornia.filters import guided_blur

    factor = SIZE[1] // coarse.shape[-1]
    kernel = 2 * radius * factor + 1
    return guided_blur(photo, resize_maps(coarse, SIZE), (kernel, kernel), eps, subsample=factor)


def joint_bilateral(coarse, photo):
    """kornia's joint bilateral filter over the interpolated volume, some channels at a time to fit in memory."""
    from kornia.filters import joint_bilateral_blur

    large = resize_maps(coarse, SIZE)
    return torch.cat([joint_bilateral_blur(part, photo, 9, 0.1, (3.0, 3.0)) for part in large.split(4, 1)], 1)


def ours(coarse, photo):
    volume = SpectralVolume(coarse.unflatten(1, (-1, 4)))
    large = upsample_to_photo(volume, photo, SIZE)
    return large.coefficients.flatten(1, 2) * (coarse.shape[-1] / SIZE[1])


METHODS = {
    "bilinear": lambda coarse, photo: resize_maps(coarse, SIZE),
    "guided filter (kornia), radius 2, eps 1e-3": guided,
    "joint bilateral filter (kornia), 9 x 9": joint_bilateral,
    "ours: guided filter on the coarse grid": ours,
}


def rms(difference, period=150):
    """Root mean square over a period of the motion of coefficients [1, K, 4, H, W]: [H, W] in pixels."""
    weight = torch.full((difference.shape[1],), 2 / period**2)
    weight[0] /= 2
    return (difference.square().sum(2) * weight.view(1, -1, 1, 1)).sum((0, 1)).sqrt()


def near_edges(coefficients):
    x, y = F.pad(rms(coefficients.diff(dim=-1)), (0, 1)), F.pad(rms(coefficients.diff(dim=-2)), (0, 0, 0, 1))
    return F.max_pool2d(((x + y) > EDGE).float()[None], 2 * NEAR + 1, 1, NEAR)[0] > 0


def errors(seed):
    """{method: {condition: (near edges, elsewhere)}} of one scene."""
    scene = random_scene(seed, SIZE, mean_motion=MEAN_MOTION)
    exact = scene.spectral_volume(BINS)
    photo = torch.from_numpy(scene.render(0)).permute(2, 0, 1)[None].float()
    noisy = (photo + NOISE * torch.randn(photo.shape, generator=torch.Generator().manual_seed(seed))).clamp(0, 1)
    coarse, edge = exact.resize(COARSE), near_edges(exact.coefficients)
    vague = coarse.resize(tuple(side // 2 for side in COARSE)).resize(COARSE)
    found = {}
    for name, method in METHODS.items():
        found[name] = {}
        for condition, volume, guide in (("exact", coarse, photo), ("noisy", coarse, noisy), ("vague", vague, photo)):
            large = method(volume.coefficients.flatten(1, 2), guide) * (SIZE[1] / COARSE[1])
            error = rms(large.view_as(exact.coefficients) - exact.coefficients)
            found[name][condition] = float(error[edge].mean()), float(error[~edge].mean())
    return found


def seconds(method, rounds=5):
    """One core's time for 16 frequencies."""
    random = torch.Generator().manual_seed(0)
    coarse, photo = torch.randn(1, 64, *COARSE, generator=random), torch.rand(1, 3, *SIZE, generator=random)
    times = []
    for _ in range(rounds + 1):
        start = time.process_time()
        method(coarse, photo)
        times.append(time.process_time() - start)
    return statistics.median(times[1:])


def main() -> None:
    scenes = [errors(seed) for seed in SEEDS]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rows = []
    for name, method in METHODS.items():
        row = [name]
        for condition in ("exact", "noisy", "vague"):
            near, far = zip(*(scene[name][condition] for scene in scenes), strict=True)
            row.append(f"{statistics.mean(near):.3f} / {statistics.mean(far):.4f}")
        rows.append([*row, f"{seconds(method, 1 if name.startswith('joint') else 5):.2f}"])
    torch.set_num_threads(threads)
    report(
        "upsampling",
        "From the coarse volume to the photo's edges",
        ["method", "exact coarse volume", "noisy photo", "vague coarse volume", "seconds, one core"],
        rows,
        f"""
Error of the motion (root mean square over a period, px at {SIZE[1]} x {SIZE[0]}, mean over pixels) within {NEAR} px of
motion edges / elsewhere, of volumes shrunk to {COARSE[1]} x {COARSE[0]} and enlarged again; mean of {len(SEEDS)}
procedural scenes that move by {MEAN_MOTION:g} px. Noisy: the photo has Gaussian noise of {NOISE:g}. Vague: the coarse
volume was blurred by half its size, as a network's may be. Time: of all 16 frequencies, that of the processor.
""",
    )


if __name__ == "__main__":
    main()
