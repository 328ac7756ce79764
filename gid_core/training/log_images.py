"""Images for the training log: what a model makes of some items of a dataset."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..models.motion_model import MotionModel
from ..models.sampling import Condition, draw_noise, sample_latents
from ..rendering.render import fast_splat
from ..rendering.visualization import flow_to_image
from ..tensors import resize_maps

BINS = (1, 3, 7)  # of the slices that are shown
PRIOR_SCALE = 2  # value of the prior that is shown white
COLOR_QUANTILE = 0.98  # of the modulus of a slice, shown as the most saturated color


@torch.no_grad()
def sample_sheet(model: MotionModel, items: Sequence[tuple[Tensor, Tensor]], num_inference_steps: int = 8) -> Tensor:
    """A sheet [H, W, 3] in 0..1 with a row per item: the photo, then for some bins the true slice, its reconstruction
    by the autoencoder, a sampled slice and the prior.

    Args:
        model: left in its mode.
        items: of `MotionDataset`.
        num_inference_steps: of sampling; 0 shows the reconstruction again and does not use the denoiser.
    """
    training = model.training
    model.eval()
    rows = []
    for photo, coefficients in items:
        condition = Condition(*model.encoder(photo[None].to(model.device)))
        latents = model.to_latents(coefficients[None].to(model.device), condition.prior)
        reconstruction = sampled = model.to_coefficients(latents, condition.prior)[0].cpu()
        if num_inference_steps:
            noise_factor = model.spatial_noise_factor(model.affinities(photo[None].to(model.device)))
            generator = torch.Generator().manual_seed(0)
            noise = draw_noise(latents.shape[1:], model.config.noise_coherence, noise_factor, [generator]).to(latents)
            sampled_latents = sample_latents(model, condition, noise, steps=num_inference_steps)
            sampled = model.to_coefficients(sampled_latents, condition.prior)[0].cpu()
        size = coefficients.shape[-2:]
        prior = torch.zeros(len(coefficients), 1, 1, 1)
        if condition.prior is not None:
            prior = condition.prior[0].mean(1, keepdim=True)
        prior = resize_maps(prior.cpu(), size)
        tiles = [resize_maps(photo[None], size)[0].permute(1, 2, 0)]
        for k in BINS:
            tiles += [_slice_colors(volume[k], coefficients[k]) for volume in (coefficients, reconstruction, sampled)]
            tiles.append((prior[k] / PRIOR_SCALE).clamp(0, 1).permute(1, 2, 0).expand(-1, -1, 3))
        rows.append(torch.cat(tiles, 1))
    model.train(training)
    return torch.cat(rows)


@torch.no_grad()
def rendering_sheet(model: MotionModel, items: Sequence[tuple[Tensor, ...]]) -> Tensor:
    """A sheet [H, W, 3] in 0..1 with a row per item of `RenderingDataset`: photo, fast splat, rendering network, frame.

    Raises:
        ValueError: if the model has no rendering network.
    """
    if model.renderer is None:
        raise ValueError("This model has no rendering network.")
    rows = []
    for photo, flow, importance, frame, _ in items:
        inputs = [maps[None].to(model.device) for maps in (photo, importance, flow)]
        renderers = fast_splat(*inputs[:2]), model.renderer.prepare(*inputs[:2])
        rendered = [render(inputs[2])[0][0].cpu() for render in renderers]
        rows.append(torch.cat([photo, *rendered, frame], -1))
    return torch.cat(rows, -2).permute(1, 2, 0)


def _slice_colors(volume: Tensor, reference: Tensor) -> Tensor:
    """The real part of one slice [4, h, w] as flow colors, scaled by the modulus of a reference slice."""
    scale = float(reference.square().sum(0).sqrt().quantile(COLOR_QUANTILE)) + 1e-6
    return flow_to_image(volume[0::2], scale)
