"""Pictures for the log: what a model makes of some samples."""

from __future__ import annotations

import torch
from torch import Tensor

from ..models.motion_model import MotionModel
from ..models.sampling import Condition, sample_latents
from ..rendering.render import splatting
from ..rendering.visualization import flow_colors
from ..tensors import resize_maps

BINS = (1, 3, 7)


@torch.no_grad()
def sample_sheet(model: MotionModel, items: list[tuple[Tensor, Tensor]], steps: int = 8) -> Tensor:
    """A sheet [H, W, 3] in 0..1: for each item the photo, its slices, the autoencoder's, the prior's, and a sample's.

    Args:
        items: of `MotionDataset`.
        steps: of sampling; 0 shows what the autoencoder does and leaves the denoiser alone.
    """
    training = model.training
    model.eval()
    rows = []
    for photo, true in items:
        condition = Condition(*model.encoder(photo[None].to(model.device)))
        latents = model.to_latents(true[None].to(model.device), condition.prior)
        restored = sampled = model.to_coefficients(latents, condition.prior)[0].cpu()
        if steps:
            noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0)).to(latents)
            sampled = sample_latents(model, condition, noise, steps=steps)
            sampled = model.to_coefficients(sampled, condition.prior)[0].cpu()
        size = true.shape[-2:]
        guess = torch.zeros(len(true), 1, 1, 1) if condition.prior is None else condition.prior[0].mean(1, keepdim=True)
        guess = resize_maps(guess.cpu(), size)
        tiles = [resize_maps(photo[None], size)[0].permute(1, 2, 0)]
        for k in BINS:
            tiles += [_slice_colors(volume[k], true[k]) for volume in (true, restored, sampled)]
            tiles.append((guess[k] / 2).clamp(0, 1).permute(1, 2, 0).expand(-1, -1, 3))
        rows.append(torch.cat(tiles, 1))
    model.train(training)
    return torch.cat(rows)


@torch.no_grad()
def rendering_sheet(model: MotionModel, items: list[tuple[Tensor, ...]]) -> Tensor:
    """A sheet [H, W, 3] in 0..1, a row for each item of `RenderingDataset`: photo, fast splat, network, true frame."""
    rows = []
    for photo, flow, importance, frame, _ in items:
        arguments = [maps[None].to(model.device) for maps in (photo, importance, flow)]
        painters = splatting(*arguments[:2]), model.renderer.painter(*arguments[:2])
        drawn = [paint(arguments[2])[0][0].cpu() for paint in painters]
        rows.append(torch.cat([photo, *drawn, frame], -1))
    return torch.cat(rows, -2).permute(1, 2, 0)


def _slice_colors(volume: Tensor, reference: Tensor) -> Tensor:
    """The real part of one slice [4, h, w] as colors of a flow."""
    scale = float(reference.square().sum(0).sqrt().quantile(0.98)) + 1e-6
    return flow_colors(volume[0::2], scale)
