"""Loop guidance beside sampling without it: how large the seam is, what changes, and what it costs."""

import dataclasses
import math
import statistics
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.measure import in_turn, median_ms, median_ratio, report
from gid_core.evaluation.motion_metrics import seam_ratio
from gid_core.media.image_io import read_image
from gid_core.models.checkpoint import SHIPPED, load_model
from gid_core.models.config import GID_SMALL, VolumeConfig
from gid_core.models.loop_guidance import LoopGuidance, seam_loss
from gid_core.models.motion_model import MotionModel
from gid_core.models.pipeline import GIDPipeline
from gid_core.models.sampling import Condition, sample_latents
from gid_core.motion import loop
from gid_core.spectral_volume import SpectralVolume, rfft_bins
from gid_core.synthetic.random_scene import random_scene

PERIOD, BINS, FPS, SIDE = 150, 16, 30.0, 48
STEPS, TIMED_STEPS, ROUNDS = 25, 5, 1
WORKFLOWS = Path(__file__).parents[1] / "workflows"
CLOSED = {
    "projection": LoopGuidance(),
    "projection, strength 2": LoopGuidance(strength=2),
    "crossfade, 15 frames": LoopGuidance(mode="crossfade", frames=15),
    "crossfade, 20 frames": LoopGuidance(mode="crossfade"),
    "crossfade, 30 frames": LoopGuidance(mode="crossfade", frames=30),
}
GRADIENT = LoopGuidance(mode="gradient")
SAMPLED = {
    "projection": LoopGuidance(),
    "projection, in sampling too": LoopGuidance(during_sampling=True),
    "crossfade, 20 frames": LoopGuidance(mode="crossfade"),
    "gradient, no recurrence": dataclasses.replace(GRADIENT, recurrences=1),
    "gradient": GRADIENT,
    "gradient, published constraint": dataclasses.replace(GRADIENT, constraint="published"),
    "gradient, through the network": dataclasses.replace(GRADIENT, through_network=True),
    "gradient, as published (both)": dataclasses.replace(GRADIENT, constraint="published", through_network=True),
}


# ---- toys ----


def toy_volume(seed: int, detrend: bool = False, sources: int = 0) -> SpectralVolume:
    """Three damped modes (0.35, 0.8, 1.6 Hz; damping 0.08; amplitudes 1, 0.5, 0.2) in gusts, AR(1), of 150 frames.

    detrend: take the ramp off first. sources: pixels mix so many trajectories; 0: each has its own.
    """
    random, count, warm = np.random.default_rng(seed), sources or 2 * SIDE**2, 300
    paths = np.zeros((warm + PERIOD + 1, 2 * SIDE**2))
    for frequency, amplitude in ((0.35, 1.0), (0.8, 0.5), (1.6, 0.2)):
        w = 2 * math.pi * frequency
        step = torch.matrix_exp(torch.tensor([[0.0, 1.0], [-w * w, -0.16 * w]]).double() / FPS).numpy()
        state, gust, path = np.zeros((2, count)), np.zeros(count), np.zeros((len(paths), count))
        for t in range(len(paths)):
            gust = 0.9 * gust + random.standard_normal(count)
            state = step @ state
            state[1] += gust
            path[t] = state[0]
        path *= amplitude / path[warm:].std()
        paths += path @ random.standard_normal((count, 2 * SIDE**2)) / math.sqrt(count) if sources else path
    paths = 1.5 * (paths[warm:] - paths[warm])
    if detrend:
        paths -= np.linspace(0, 1, PERIOD + 1)[:, None] * paths[-1]
    frames = torch.tensor(paths[:PERIOD]).view(1, PERIOD, 2, SIDE, SIDE)
    return SpectralVolume(rfft_bins(frames, BINS), FPS, PERIOD, "ramp" if detrend else "none")


class ToyModel(nn.Module):
    """A motion model that has learned `toy_volume` perfectly: pixels are Gaussian, so the best denoiser is a matrix.

    Latents are coefficients over their deviation.
    """

    device, dtype, schedule = torch.device("cpu"), torch.float32, MotionModel.schedule

    def __init__(self, volume: SpectralVolume):
        super().__init__()
        self.config = dataclasses.replace(
            GID_SMALL,
            volume=VolumeConfig(detrend="none", unit_amplitude=False),
            diffusion=dataclasses.replace(GID_SMALL.diffusion, noise_coherence=0.0),
        )
        slices = volume.coefficients[0].double()
        self.deviation = slices.square().mean((2, 3), keepdim=True).sqrt().clamp_min(1e-6)
        pixels = (slices / self.deviation).unflatten(1, (2, 2)).transpose(0, 1).flatten(1, 2).flatten(2)
        moments = (pixels @ pixels.transpose(1, 2) / pixels.shape[2]).mean(0)  # of both axes
        self.variance, self.basis = torch.linalg.eigh(moments)
        self.levels = self.schedule().alphas_cumprod.double()

    def to_coefficients(self, latents, prior=None):
        return latents * self.deviation.float()

    def to_latents(self, coefficients, prior=None):
        return coefficients / self.deviation.float()

    def denoiser(self, latents, timesteps, features, prior):
        level = self.levels[int(timesteps[0])]
        signal, noise = level.clamp_min(1e-10).sqrt(), (1 - level).sqrt()
        gain = signal * self.variance / (level * self.variance + noise**2)
        matrix = ((self.basis * gain) @ self.basis.T).float().view(BINS, 2, BINS, 2)
        pairs = latents.unflatten(2, (2, 2))  # [B, K, axis, part, h, w]
        clean = torch.einsum("kplq,blaqhw->bkaphw", matrix, pairs).flatten(2, 3)
        return (float(signal) * latents - clean) / float(noise)

    def sample(self, guide: LoopGuidance | None, seed: int) -> SpectralVolume:
        noise = torch.randn(1, BINS, 4, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
        nothing = Condition(torch.zeros(1, 1, 1, 1), None)
        recurring = torch.Generator().manual_seed(seed + 1)
        latents = sample_latents(self, nothing, noise, steps=STEPS, guide=guide, generator=recurring)
        coefficients = self.to_coefficients(latents).clone()
        rest = -2 * coefficients[:, 1:, 0::2].sum(1)
        coefficients[:, 0] = torch.stack([rest, torch.zeros_like(rest)], 2).flatten(1, 2)
        volume = SpectralVolume(coefficients, FPS, PERIOD)
        return volume if guide is None else guide.finish(volume)


def idle(guide: LoopGuidance) -> LoopGuidance:
    """No guidance, but the same recurrences, which draw the same noise."""
    return LoopGuidance(mode="gradient", strength=0, recurrences=guide.recurrences)


def change(before: SpectralVolume, after: SpectralVolume) -> float:
    """Relative rms change of displacements about their means, in the frames that no crossfade touched."""
    cut = before.period - after.period
    a, b = (loop(v).displacement(cut, before.period - cut) for v in (before, after))
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    return float((a - b).norm() / a.norm())


def figures(pairs: list[tuple[SpectralVolume, SpectralVolume]]) -> list[str]:
    """Cells: median seam ratio, largest, change, L natural and published; of pairs unguided, guided."""
    ratios = [seam_ratio(loop(after)) for _, after in pairs]
    losses = [[float(seam_loss(after, kind)) for _, after in pairs] for kind in ("natural", "published")]
    return [
        f"{np.nanmedian(ratios):.2f}",  # NaN: nothing moves in that picture
        f"{np.nanmax(ratios):.2f}",
        f"{100 * statistics.median(change(*pair) for pair in pairs):.0f} %",
        *(f"{statistics.median(loss):.3g}" for loss in losses),
    ]


HEADER = ["motion", "guidance", "seam ratio", "largest", "change", "L, px", "L published, px"]


def toys() -> list[list[str]]:
    rows = []
    kinds = {"toys": {}, "toys, 6 sources": {"sources": 6}, "toys, ramp off": {"detrend": True}}
    for kind, options in kinds.items():
        volumes = [toy_volume(seed, **options) for seed in range(5)]
        rows.append([kind, "none", *figures([(v, v) for v in volumes])])
        for name, guide in CLOSED.items():
            rows.append([kind, name, *figures([(v, guide.finish(v)) for v in volumes])])
    return rows


def toy_sampling() -> list[list[str]]:
    model, kind = ToyModel(toy_volume(100)), "sampled toys"
    plain = [model.sample(None, seed) for seed in range(3)]
    rows = [[kind, "none", *figures([(v, v) for v in plain])]]
    for name, guide in SAMPLED.items():
        pairs = [(model.sample(idle(guide), seed), model.sample(guide, seed)) for seed in range(3)]
        rows.append([kind, name, *figures(pairs)])
    return rows


# ---- the networks ----


def predictions(pipeline: GIDPipeline) -> list[list[str]]:
    pictures = [torch.from_numpy(random_scene(seed, (288, 512)).render(0)).float() for seed in (1, 2)]
    pictures += [read_image(path) for path in sorted(WORKFLOWS.glob("*.jpg"))]
    rows, longest = [], 128  # about the model's own grid

    def predict(picture, guide):
        return pipeline(picture, num_inference_steps=STEPS, loop_guidance=guide, resolution=longest)

    plain = {repeats: [predict(p, idle(LoopGuidance(recurrences=repeats))) for p in pictures] for repeats in (1, 2)}
    rows.append(["predicted", "none", *figures([(v, v) for v in plain[1]])])
    for name, guide in SAMPLED.items():
        after = [predict(picture, guide) for picture in pictures]
        rows.append(["predicted", name, *figures(list(zip(plain[guide.recurrences], after, strict=True)))])
    return rows


def timing(pipeline: GIDPipeline) -> list[list[str]]:
    picture = torch.rand(288, 512, 3, generator=torch.Generator().manual_seed(0))

    def run(guide):
        return lambda: pipeline(picture, num_inference_steps=TIMED_STEPS, loop_guidance=guide)

    times = in_turn({"none": run(None)} | {name: run(guide) for name, guide in SAMPLED.items()}, ROUNDS)
    return [
        [name, f"{median_ms(own) / 1e3:.2f}", f"**{median_ratio(own, times['none']):.2f} x**"]
        for name, own in times.items()
    ]


def seams(pipeline: GIDPipeline | None) -> None:
    """Of toys, and of what the checkpoint predicts if there is one."""
    rows = toys() + toy_sampling() + (predictions(pipeline) if pipeline else [])
    missing = "" if pipeline else "\nNo checkpoint was at hand: predicted motion is not measured here."
    report(
        "guidance",
        "Loop guidance: seams",
        HEADER,
        rows,
        f"""
Seam ratio: `motion_metrics.seam_ratio` of the loop, median and largest over 5 toys, 3 samples, or the pictures; up to
about 1 the seam cannot be told from the rest. Change: relative rms change of displacements, median, against no
guidance with the same noise (recurrences included); for crossfades in the frames they do not fade (within the fade
they change half of the motion or more, and the loop is that much shorter). L: `guidance.seam_loss`. Toys: 150 frames
of damped modes in gusts, each pixel for itself or all mixed of 6 sources; "ramp off": ramp taken off before the
transform, so nothing is to be done. Sampled toys: {STEPS} steps of DPM-Solver++ with the exact denoiser of the toys'
distribution.{missing}
""",
    )


def main() -> None:
    torch.manual_seed(0)
    shipped = SHIPPED.exists()
    pipeline = GIDPipeline(load_model() if shipped else MotionModel(GID_SMALL))
    pipeline.to("cuda" if torch.cuda.is_available() else "cpu")
    seams(pipeline if shipped else None)
    weights = "gid-small" if shipped else "gid-small with random weights"
    report(
        "guidance_time",
        "Loop guidance: time",
        ["guidance", "s", "relative to none"],
        timing(pipeline),
        f"""
One 512 x 288 photo, {TIMED_STEPS} steps with classifier-free guidance, {weights}; the whole call, volume upsampled
to 512 wide. Median of {ROUNDS} in turn, after a round that does not count. The paper: 500 steps, 2 recurrences,
gradients through the network.
""",
    )


if __name__ == "__main__":
    main()
