"""Claim: how far a volume of few sampling steps is from that of 250, beside how far two seeds are apart.

    python -m benchmarks sampling

The photo is the demo's, 512 x 288, with the bundled model and its default guidance. All rows but "another seed" start
from the same noise. Differences: norm of the difference as a share of the norm of the 250 steps' result, of the latents
and of the volume's coefficients. Coherence and unevenness: means over the distances of `object_coherence`. Processor
time counts all threads, so that other programs hardly change it.
"""

from __future__ import annotations

import time
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.bench_prediction import PHOTO, SIZE
from benchmarks.measure import write_results
from gid_core.evaluation.object_coherence import object_curves
from gid_core.media.image_io import read_image
from gid_core.models import pipeline
from gid_core.models.pipeline import GIDPipeline
from gid_core.spectral_volume import SpectralVolume
from gid_core.tensors import resize_maps

REFERENCE_STEPS = 250
STEPS = (25, 14, 10, 8)
HEADER = ["sampling", "passes", "processor, s", "latents", "volume", "coherence", "unevenness"]


def main() -> None:
    """Write results/sampling.md."""
    pipe = GIDPipeline.from_pretrained(dtype=torch.float32)
    quick_pipe = GIDPipeline.from_pretrained(dtype=torch.bfloat16)
    photo = resize_maps(read_image(PHOTO)[..., :3].permute(2, 0, 1)[None], SIZE)[0].permute(1, 2, 0).clamp(0, 1)

    def predict(
        steps: int, seed: int = 0, pipe: GIDPipeline = pipe, **settings: Any
    ) -> tuple[SpectralVolume, Tensor, float]:
        """The volume, its latents, and the seconds of processor time."""
        latents = []

        def sample_latents(*arguments: object, **keywords: object) -> Tensor:
            latents.append(real(*arguments, **keywords))
            return latents[0]

        real, start = pipeline.sample_latents, time.process_time()
        with patch.object(pipeline, "sample_latents", sample_latents):
            volume = pipe(photo, num_inference_steps=steps, seed=seed, **settings)
        return volume, latents[0], time.process_time() - start

    reference, reference_latents, seconds = predict(REFERENCE_STEPS)

    def row(name: str, passes: int, volume: SpectralVolume, latents: Tensor, seconds: float) -> list[str]:
        curves = object_curves(volume)
        numbers = (
            _difference(latents, reference_latents),
            _difference(volume.coefficients, reference.coefficients),
            float(curves.coherence.nanmean()),
            float(curves.unevenness.nanmean()),
        )
        return [name, str(passes), f"{seconds:.1f}", *(f"{number:.3f}" for number in numbers)]

    rows = [row(f"{REFERENCE_STEPS} steps", 2 * REFERENCE_STEPS, reference, reference_latents, seconds)]
    rows += [row(f"{steps} steps", 2 * steps, *predict(steps)) for steps in STEPS]
    rows.append(row("10 steps in bfloat16", 20, *predict(10, pipe=quick_pipe)))
    rows += [row(f"{steps} steps of DPM-Solver++", 2 * steps, *predict(steps, sampler="dpm")) for steps in STEPS[:-1]]
    rows.append(row("25 steps without guidance", 25, *predict(25, guidance_scale=1.0)))
    rows.append(row("25 steps, another seed", 50, *predict(25, seed=1)))
    notes = (
        "UniPC in float32 unless named otherwise. `latents` and `volume`: difference from 250 steps; passes: of one "
        "photo through the U-Net."
    )
    write_results("sampling", "Sampling with fewer steps", HEADER, rows, notes)


def _difference(values: Tensor, reference: Tensor) -> float:
    """Norm of the difference as a share of the reference's norm."""
    return float((values - reference).norm() / reference.norm())


if __name__ == "__main__":
    main()
