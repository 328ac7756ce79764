"""From a photo to a loop with the model that ships: the time of each part, at the defaults of the pipeline and node.

The photo is the demo's, 512 x 288; the loop has 150 frames. Medians of several runs in one process. On a GPU where
there is one.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import torch

from benchmarks.measure import peak_memory, report
from gid_core.media.image_io import read_image
from gid_core.models.loop_guidance import LoopGuidance
from gid_core.models.pipeline import GIDPipeline
from gid_core.models.sampling import Condition
from gid_core.models.upsampling import upsample_to_photo
from gid_core.motion import loop
from gid_core.rendering.render import render
from gid_core.tensors import resize_maps

PHOTO = Path(__file__).parent.parent / "assets" / "flowers.jpg"
ROUNDS = 5


def main() -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    start = time.perf_counter()
    pipe = GIDPipeline.from_pretrained(device=device)
    loading = time.perf_counter() - start
    photo = read_image(PHOTO)[..., :3]
    photo = resize_maps(photo.permute(2, 0, 1)[None], (288, 512))[0].permute(1, 2, 0).clamp(0, 1)
    seen = photo.permute(2, 0, 1)[None].to(device)
    model = pipe.model
    with torch.no_grad():
        condition = Condition(*model.encoder(seen))
        shape = (1, model.config.volume.num_bins, model.config.autoencoder.latent_channels)
        latents = torch.randn(*shape, *condition.features.shape[-2:], device=device)
        level = torch.tensor([500], device=device)
        volume = pipe(photo)
        coarse = volume.resize((72, 128)).to(device)
        parts = {
            "photo's encoder": lambda: model.encoder(seen),
            "one step of the denoiser": lambda: model.denoiser(latents, level, condition.features, condition.prior),
            "decoder": lambda: model.to_coefficients(latents, condition.prior),
            "drawing along edges": lambda: upsample_to_photo(coarse, seen, (288, 512)),
            "volume, 25 steps, guidance 1 (one pass a step)": lambda: pipe(photo, guidance_scale=1.0),
            "volume, 25 steps, default guidance": lambda: pipe(photo),
            "the same with Loop Guidance": lambda: pipe(photo, loop_guidance=LoopGuidance()),
            "150 frames from the volume, fast splat": lambda: render(photo, loop(volume)),
            "150 frames from the volume, network": lambda: render(photo, loop(volume), renderer=pipe.renderer),
            "photo to 150 frames in all, fast splat": lambda: render(photo, loop(pipe(photo))),
            "photo to 150 frames in all, network": lambda: render(photo, loop(pipe(photo)), renderer=pipe.renderer),
        }
        rows = [["loading the model", f"{loading:.2f}"]]
        rows += [[name, f"{_median(part):.3f}"] for name, part in parts.items()]
    notes = f"Peak memory of the process: {peak_memory() / 2**20:.0f} MiB."
    report("prediction", "A photo of 512 x 288 to a loop of 150 frames", ["part", "seconds"], rows, notes)


def _median(part) -> float:
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        part()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    main()
