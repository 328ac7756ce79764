"""Claim: the time from a photo to a loop with the bundled model, part by part, at the defaults of pipeline and node.

    python -m benchmarks prediction

The photo is the demo's, 512 x 288; the loop has 150 frames. Medians of several runs in one process, on a GPU if there
is one.
"""

from __future__ import annotations

import statistics
import time

import torch

from benchmarks.measure import ROOT, call_seconds, peak_memory, write_results
from gid_core.media.image_io import read_image
from gid_core.models.loop_guidance import LoopGuidance
from gid_core.models.motion_refinement import smooth_along_objects
from gid_core.models.pipeline import GIDPipeline
from gid_core.models.sampling import Condition
from gid_core.models.upsampling import upsample_to_photo
from gid_core.motion import loop
from gid_core.rendering.render import render
from gid_core.tensors import resize_maps

PHOTO = ROOT / "assets" / "flowers.jpg"
SIZE, COARSE_SIZE = (288, 512), (72, 128)
ROUNDS = 3


def main() -> None:
    """Write results/prediction.md."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    start = time.perf_counter()
    pipe = GIDPipeline.from_pretrained(device=device)
    loading_seconds = time.perf_counter() - start
    photo = read_image(PHOTO)[..., :3]
    photo = resize_maps(photo.permute(2, 0, 1)[None], SIZE)[0].permute(1, 2, 0).clamp(0, 1)
    image = photo.permute(2, 0, 1)[None].to(device)
    model = pipe.model
    with torch.no_grad():
        condition = Condition(*model.encoder(image))
        shape = (1, model.config.volume.num_bins, model.config.autoencoder.latent_channels)
        latents = torch.randn(*shape, *condition.features.shape[-2:], device=device)
        inputs = latents.to(model.dtype), torch.tensor([500], device=device), condition.features.to(model.dtype)
        volume = pipe(photo)
        coarse = volume.resize(COARSE_SIZE).to(device)
        affinities = model.affinities(image)
        parts = {
            "image encoder": lambda: model.encoder(image),
            "one step of the denoiser": lambda: model.denoiser(*inputs, condition.prior),
            "decoder": lambda: model.to_coefficients(latents, condition.prior),
            "affinities": lambda: model.affinities(image),
            "smoothing along objects": lambda: smooth_along_objects(coarse.coefficients, affinities),
            "upsampling along outlines": lambda: upsample_to_photo(coarse, image, SIZE, affinities),
            "volume, default steps, guidance 1 (one pass per step)": lambda: pipe(photo, guidance_scale=1.0),
            "volume, default steps and guidance": lambda: pipe(photo),
            "the same with loop guidance": lambda: pipe(photo, loop_guidance=LoopGuidance()),
            "150 frames from the volume, fast splat": lambda: render(photo, loop(volume)),
            "150 frames from the volume, network": lambda: render(photo, loop(volume), renderer=pipe.renderer),
            "photo to 150 frames in all, fast splat": lambda: render(photo, loop(pipe(photo))),
            "photo to 150 frames in all, network": lambda: render(photo, loop(pipe(photo)), renderer=pipe.renderer),
        }
        rows = [["loading the model", f"{loading_seconds:.2f}"]]
        for name, part in parts.items():
            rows.append([name, f"{statistics.median(call_seconds(part) for _ in range(ROUNDS)):.3f}"])
    notes = f"Peak memory of the process: {peak_memory() / 2**20:.0f} MiB."
    write_results("prediction", "A photo of 512 x 288 to a loop of 150 frames", ["part", "seconds"], rows, notes)


if __name__ == "__main__":
    main()
