"""Claim: loop guidance removes the seam of a loop, at little change of the motion and little cost.

python -m benchmarks guidance
"""

import dataclasses
import math
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.measure import ROOT, interleaved_times, median_ms, median_ratio, write_results
from gid_core.evaluation.motion_metrics import seam_ratio
from gid_core.media.image_io import read_image
from gid_core.models.checkpoint import BUNDLED_CHECKPOINT, load_model
from gid_core.models.config import GID_SMALL, VolumeConfig
from gid_core.models.loop_guidance import LoopGuidance
from gid_core.models.motion_model import MotionModel
from gid_core.models.noise_schedule import alphas_cumprod
from gid_core.models.pipeline import GIDPipeline
from gid_core.models.sampling import Condition, sample_latents
from gid_core.models.seam import seam_loss
from gid_core.motion import loop
from gid_core.spectral_volume import SpectralVolume, temporal_dft
from gid_core.synthetic.random_scene import random_scene

PERIOD, BINS, FPS, SIDE = 150, 16, 30.0, 48
TOY_MODES = ((0.35, 1.0), (0.8, 0.5), (1.6, 0.2))  # Hz, amplitude
TOY_DAMPING = 0.08  # damping ratio
GUST_CORRELATION = 0.9  # AR(1) coefficient per frame
MOTION_SCALE = 1.5  # px per unit amplitude
WARMUP_FRAMES = 300
STEPS, TIMED_STEPS, ROUNDS = 25, 5, 1
WORKFLOWS = ROOT / "workflows"
AFTER_SAMPLING = {
    "projection": LoopGuidance(),
    "projection, strength 2": LoopGuidance(strength=2),
    "crossfade, 15 frames": LoopGuidance(mode="crossfade", frames=15),
    "crossfade, 20 frames": LoopGuidance(mode="crossfade"),
    "crossfade, 30 frames": LoopGuidance(mode="crossfade", frames=30),
}
GRADIENT = LoopGuidance(mode="gradient")
DURING_SAMPLING = {
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
    """150 frames of three damped modes (`TOY_MODES`) in gusts, which are AR(1).

    Args:
        seed: of the gusts.
        detrend: subtract the ramp before the transform.
        sources: every pixel is a random mixture of this many trajectories; with 0, each has its own.
    """
    rng, count = np.random.default_rng(seed), sources or 2 * SIDE**2
    paths = np.zeros((WARMUP_FRAMES + PERIOD + 1, 2 * SIDE**2))
    for frequency, amplitude in TOY_MODES:
        w = 2 * math.pi * frequency
        system = torch.tensor([[0.0, 1.0], [-w * w, -2 * TOY_DAMPING * w]]).double()
        step = torch.matrix_exp(system / FPS).numpy()
        state, gust, path = np.zeros((2, count)), np.zeros(count), np.zeros((len(paths), count))
        for t in range(len(paths)):
            gust = GUST_CORRELATION * gust + rng.standard_normal(count)
            state = step @ state
            state[1] += gust
            path[t] = state[0]
        path *= amplitude / path[WARMUP_FRAMES:].std()
        paths += path @ rng.standard_normal((count, 2 * SIDE**2)) / math.sqrt(count) if sources else path
    paths = MOTION_SCALE * (paths[WARMUP_FRAMES:] - paths[WARMUP_FRAMES])
    if detrend:
        paths -= np.linspace(0, 1, PERIOD + 1)[:, None] * paths[-1]
    frames = torch.tensor(paths[:PERIOD]).view(1, PERIOD, 2, SIDE, SIDE)
    return SpectralVolume(temporal_dft(frames, BINS), FPS, PERIOD, "ramp" if detrend else "none")


class ToyModel(nn.Module):
    """A perfect motion model of `toy_volume`: pixels are Gaussian, so the optimal denoiser is a matrix.

    Latents are coefficients divided by their standard deviation.
    """

    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self, volume: SpectralVolume) -> None:
        super().__init__()
        self.config = dataclasses.replace(
            GID_SMALL,
            volume=VolumeConfig(detrend="none", unit_amplitude=False),
            diffusion=dataclasses.replace(GID_SMALL.diffusion, noise_coherence=0.0),
        )
        slices = volume.coefficients[0].double()
        self.std = slices.square().mean((2, 3), keepdim=True).sqrt().clamp_min(1e-6)
        pixels = (slices / self.std).unflatten(1, (2, 2)).transpose(0, 1).flatten(1, 2).flatten(2)
        moments = (pixels @ pixels.transpose(1, 2) / pixels.shape[2]).mean(0)  # of both axes
        self.variance, self.basis = torch.linalg.eigh(moments)
        self.alphas_cumprod = alphas_cumprod(self.config.diffusion).double()

    def to_coefficients(self, latents: Tensor, prior: Tensor | None = None) -> Tensor:
        """As `MotionModel.to_coefficients`."""
        return latents * self.std.float()

    def to_latents(self, coefficients: Tensor, prior: Tensor | None = None) -> Tensor:
        """As `MotionModel.to_latents`."""
        return coefficients / self.std.float()

    def denoiser(self, latents: Tensor, timesteps: Tensor, features: Tensor, prior: Tensor | None) -> Tensor:
        """The noise that the optimal denoiser predicts."""
        alpha = self.alphas_cumprod[int(timesteps[0])]
        signal, noise = alpha.clamp_min(1e-10).sqrt(), (1 - alpha).sqrt()
        gain = signal * self.variance / (alpha * self.variance + noise**2)
        matrix = ((self.basis * gain) @ self.basis.T).float().view(BINS, 2, BINS, 2)
        pairs = latents.unflatten(2, (2, 2))  # [B, K, axis, part, h, w]
        clean = torch.einsum("kplq,blaqhw->bkaphw", matrix, pairs).flatten(2, 3)
        return (float(signal) * latents - clean) / float(noise)

    def sample(self, guidance: LoopGuidance | None, seed: int) -> SpectralVolume:
        """A sample that starts at rest, with loop guidance or without."""
        noise = torch.randn(1, BINS, 4, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
        condition = Condition(torch.zeros(1, 1, 1, 1), None)
        recurrence_rng = torch.Generator().manual_seed(seed + 1)
        latents = sample_latents(self, condition, noise, steps=STEPS, guidance=guidance, generator=recurrence_rng)
        coefficients = self.to_coefficients(latents).clone()
        rest = -2 * coefficients[:, 1:, 0::2].sum(1)
        coefficients[:, 0] = torch.stack([rest, torch.zeros_like(rest)], 2).flatten(1, 2)
        volume = SpectralVolume(coefficients, FPS, PERIOD)
        return volume if guidance is None else guidance.apply(volume)


def without_effect(guidance: LoopGuidance) -> LoopGuidance:
    """Guidance of strength 0 with the same recurrences, which draw the same noise."""
    return LoopGuidance(mode="gradient", strength=0, recurrences=guidance.recurrences)


def relative_change(before: SpectralVolume, after: SpectralVolume) -> float:
    """Relative RMS change of displacements about their means, in the frames outside a crossfade."""
    faded = before.period - after.period
    a, b = (loop(v).displacement(faded, before.period - faded) for v in (before, after))
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    return float((a - b).norm() / a.norm())


def summarize(pairs: list[tuple[SpectralVolume, SpectralVolume]]) -> list[str]:
    """Table cells of pairs (unguided, guided): median and largest seam ratio, change, natural and published loss."""
    ratios = [seam_ratio(loop(after)) for _, after in pairs]
    losses = [[float(seam_loss(after, kind)) for _, after in pairs] for kind in ("natural", "published")]
    return [
        f"{np.nanmedian(ratios):.2f}",  # NaN: nothing moves in that picture
        f"{np.nanmax(ratios):.2f}",
        f"{100 * statistics.median(relative_change(*pair) for pair in pairs):.0f} %",
        *(f"{statistics.median(loss):.3g}" for loss in losses),
    ]


HEADER = ["motion", "guidance", "seam ratio", "largest", "change", "L, px", "L published, px"]


def guide_toys() -> list[list[str]]:
    """Rows for guidance applied to toy volumes."""
    rows = []
    kinds: dict[str, dict[str, Any]] = {
        "toys": {},
        "toys, 6 sources": {"sources": 6},
        "toys, detrended": {"detrend": True},
    }
    for kind, options in kinds.items():
        volumes = [toy_volume(seed, **options) for seed in range(5)]
        rows.append([kind, "none", *summarize([(v, v) for v in volumes])])
        for name, guide in AFTER_SAMPLING.items():
            rows.append([kind, name, *summarize([(v, guide.apply(v)) for v in volumes])])
    return rows


def sample_toys() -> list[list[str]]:
    """Rows for guidance in sampling from the toy model."""
    model, kind = ToyModel(toy_volume(100)), "sampled toys"
    unguided = [model.sample(None, seed) for seed in range(3)]
    rows = [[kind, "none", *summarize([(v, v) for v in unguided])]]
    for name, guide in DURING_SAMPLING.items():
        pairs = [(model.sample(without_effect(guide), seed), model.sample(guide, seed)) for seed in range(3)]
        rows.append([kind, name, *summarize(pairs)])
    return rows


# ---- the networks ----


def predict(pipeline: GIDPipeline) -> list[list[str]]:
    """Rows for guidance in prediction with the bundled model."""
    photos = [torch.from_numpy(random_scene(seed, (288, 512)).render(0)).float() for seed in (1, 2)]
    photos += [read_image(path) for path in sorted(WORKFLOWS.glob("*.jpg"))]
    rows, resolution = [], 128  # about the model's own grid

    def run(photo: Tensor, guidance: LoopGuidance) -> SpectralVolume:
        return pipeline(photo, num_inference_steps=STEPS, loop_guidance=guidance, resolution=resolution)

    unguided = {n: [run(photo, without_effect(LoopGuidance(recurrences=n))) for photo in photos] for n in (1, 2)}
    rows.append(["predicted", "none", *summarize([(v, v) for v in unguided[1]])])
    for name, guide in DURING_SAMPLING.items():
        guided = [run(photo, guide) for photo in photos]
        rows.append(["predicted", name, *summarize(list(zip(unguided[guide.recurrences], guided, strict=True)))])
    return rows


def time_guidance(pipeline: GIDPipeline) -> list[list[str]]:
    """Rows of times."""
    photo = torch.rand(288, 512, 3, generator=torch.Generator().manual_seed(0))

    def call(guidance: LoopGuidance | None) -> Callable[[], SpectralVolume]:
        return lambda: pipeline(photo, num_inference_steps=TIMED_STEPS, loop_guidance=guidance)

    times = interleaved_times(
        {"none": call(None)} | {name: call(guide) for name, guide in DURING_SAMPLING.items()}, ROUNDS
    )
    return [
        [name, f"{median_ms(seconds) / 1e3:.2f}", f"**{median_ratio(seconds, times['none']):.2f} x**"]
        for name, seconds in times.items()
    ]


def measure_seams(pipeline: GIDPipeline | None) -> None:
    """Write results/guidance.md: seams of toys, and of the checkpoint's predictions if there is one."""
    rows = guide_toys() + sample_toys() + (predict(pipeline) if pipeline else [])
    missing = "" if pipeline else "\nWithout a checkpoint, predicted motion is not measured here."
    write_results(
        "guidance",
        "Loop guidance: seams",
        HEADER,
        rows,
        f"""
Seam ratio: `motion_metrics.seam_ratio` of the loop, median and largest over 5 toys, 3 samples, or the photos; up to
about 1 the seam cannot be told from the rest. Change: relative RMS change of displacements, median, against no guidance
with the same noise (recurrences included); for crossfades in the frames that they do not fade (within the fade they
change half of the motion or more, and the loop is that much shorter). L: `seam.seam_loss`. Toys: 150 frames of damped
modes in gusts, each pixel on its own or all mixtures of 6 sources; "detrended": the ramp was subtracted before the
transform, so there is nothing to guide. Sampled toys: {STEPS} steps of DPM-Solver++ with the exact denoiser of the
toys' distribution.{missing}
""",
    )


def main() -> None:
    """Measure seams, then times (results/guidance_time.md)."""
    torch.manual_seed(0)
    bundled = BUNDLED_CHECKPOINT.exists()
    pipeline = GIDPipeline(load_model() if bundled else MotionModel(GID_SMALL))
    pipeline.to("cuda" if torch.cuda.is_available() else "cpu")
    measure_seams(pipeline if bundled else None)
    weights = "gid-small" if bundled else "gid-small with random weights"
    write_results(
        "guidance_time",
        "Loop guidance: time",
        ["guidance", "s", "relative to none"],
        time_guidance(pipeline),
        f"""
One 512 x 288 photo, {TIMED_STEPS} steps with classifier-free guidance, {weights}; the whole call, volume upsampled
to 512 wide. Median of {ROUNDS} interleaved rounds, after a warm-up round. The paper: 500 steps, 2 recurrences,
gradients through the network.
""",
    )


if __name__ == "__main__":
    main()
