"""What is trained, and on which loss: the autoencoder, the encoder, the denoiser, the coordination of frequencies."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..evaluation.networks.lpips import LPIPS
from ..models.motion_model import MotionModel
from ..models.noise import frequency_noise
from ..models.rendering_network import candidates
from ..rendering.warping import warp

Batch = tuple[Tensor, Tensor]  # photos [B, 3, H, W], coefficients [B, K, 4, h, w]
DROP_CONDITION = 0.1  # for classifier-free guidance
LEAST_ERROR = 0.002  # of the fast renderer: noise and compression


class Autoencoding(nn.Module):
    """Stage "vae": the autoencoder on single slices.

    Calling it with a batch and a number for its chance gives the loss and what it consists of.
    """

    def __init__(self, model: MotionModel, slices: int = 16):
        super().__init__()
        self.model, self.slices = model, slices
        model.requires_grad_(False)
        model.autoencoder.requires_grad_(True)

    def forward(self, photos: Tensor, coefficients: Tensor, seed: int) -> tuple[Tensor, dict[str, float]]:
        generator = torch.Generator().manual_seed(seed)
        slices = self.model.normalizer.normalize(coefficients).flatten(0, 1)
        chosen = torch.randperm(len(slices), generator=generator)[: self.slices]
        return self.model.autoencoder.loss(slices[chosen.to(slices.device)], generator)


class Encoding(nn.Module):
    """Stage "encoder": the photo's encoder and its prior, a regression of how much every frequency moves where.

    The loss is the negative log-likelihood of a Laplace distribution of that mean modulus, log m + |S'| / m: where
    motion is small, small errors count as much as large ones where it is large.
    """

    def __init__(self, model: MotionModel):
        super().__init__()
        if model.encoder.prior is None:
            raise ValueError('This config has no prior (encoder.prior), so it has no stage "encoder".')
        self.model = model
        model.requires_grad_(False)
        _train_encoder(model)
        model.encoder.features.requires_grad_(False)

    def forward(self, photos: Tensor, coefficients: Tensor, seed: int) -> tuple[Tensor, dict[str, float]]:
        _, prior = self.model.encoder(photos)
        modulus = modulus_target(self.model.normalizer.normalize(coefficients), prior.shape[-2:])
        loss = (prior.log() + modulus / prior).mean()
        return loss, {"error": float((prior.detach() - modulus).abs().mean())}


class Denoising(nn.Module):
    """Stages "denoiser" and "coordinate" (paper section 4.2).

    "denoiser" trains the U-Net and the encoder's features; in the "independent" layout every slice is a sample of its
    own with a noise level of its own. "coordinate" needs the "coordinated" layout: the slices of a photo share a noise
    level, and only the attention between them is trained; all else is frozen.

    Args:
        unfreeze: in "coordinate", train the whole U-Net.
        repeats: noise levels drawn for every photo that was augmented and encoded.
    """

    def __init__(self, model: MotionModel, coordinate: bool = False, unfreeze: bool = False, repeats: int = 1):
        super().__init__()
        layout = model.config.denoiser.layout
        if coordinate and layout != "coordinated":
            raise ValueError(f'"coordinate" trains the attention of the "coordinated" layout; this model is {layout}.')
        self.model, self.coordinate, self.repeats = model, coordinate, repeats
        self.together = layout != "independent"
        self.schedule = model.schedule()
        model.requires_grad_(False)
        model.denoiser.requires_grad_(not coordinate or unfreeze)
        for parameter in model.denoiser.coordination():
            parameter.requires_grad_(True)
        if not coordinate and model.encoder.prior is None:
            _train_encoder(model)
        else:
            model.encoder.features.requires_grad_(not coordinate)
            # The latents are divided by the prior, so that must not change: nothing is left out in training.
            model.encoder.forget.p = 0.0

    def forward(self, photos: Tensor, coefficients: Tensor, seed: int) -> tuple[Tensor, dict[str, float]]:
        model, generator = self.model, torch.Generator().manual_seed(seed)
        features, prior = model.encoder(photos)
        with torch.no_grad():
            latents = model.to_latents(coefficients, prior).float()
        losses = [self._noise_loss(latents, features.float(), prior, generator) for _ in range(self.repeats)]
        loss = torch.stack(losses).mean()
        return loss, {"noise": float(loss.detach())}

    def _noise_loss(self, latents: Tensor, features: Tensor, prior: Tensor | None, generator) -> Tensor:
        """Mean squared error of what the schedule predicts (eq. 3). Chance is drawn on the CPU, alike everywhere."""
        count, bins = latents.shape[:2]
        levels = self.schedule.config.num_train_timesteps
        shape = (count, 1) if self.together else (count, bins)
        steps = torch.randint(levels, shape, generator=generator).expand(count, bins).to(latents.device)
        coherence = self.model.config.noise_coherence
        noise = [frequency_noise(latents.shape[1:], coherence, generator) for _ in range(count)]
        noise = torch.stack(noise).to(latents)
        keep = (torch.rand(count, generator=generator) >= DROP_CONDITION).to(latents).view(-1, 1, 1, 1)
        flat = latents.flatten(0, 1), noise.flatten(0, 1), steps.flatten()
        noisy = self.schedule.add_noise(*flat).view_as(latents)
        target = noise
        if self.schedule.config.prediction_type == "v_prediction":
            target = self.schedule.get_velocity(*flat).view_as(latents)
        timesteps = steps[:, 0] if self.together else steps
        prior = None if prior is None else prior * keep[..., None]
        predicted = self.model.denoiser(noisy, timesteps, features * keep, prior)
        return F.mse_loss(predicted.float(), target)


class Rendering(nn.Module):
    """Stage "renderer": the rendering network on pairs of frames (paper section 5).

    The loss is the absolute error and LPIPS by VGG16, of which only the first `depths` are looked at: the deeper ones
    see what a picture shows, which does not change here, and are slow without a GPU. Each item's is divided by the fast
    renderer's error, or else what is nearly right already would be spoiled for what is hopeless.

    Args:
        perceptual: share of LPIPS in the loss; 0 needs no weights of VGG16.
    """

    def __init__(self, model: MotionModel, perceptual: float = 0.1, depths: int = 2):
        super().__init__()
        if model.renderer is None:
            raise ValueError('This config has no rendering network (renderer.channels), so it has no stage "renderer".')
        self.model, self.perceptual = model, perceptual
        model.requires_grad_(False)
        model.renderer.requires_grad_(True)
        if perceptual:
            self.lpips = LPIPS("vgg", depths=depths).requires_grad_(False)

    def forward(
        self, photos: Tensor, flow: Tensor, importance: Tensor, frames: Tensor, counts: Tensor, seed: int
    ) -> tuple[Tensor, dict[str, float]]:
        with torch.no_grad():
            warped = warp(photos, flow, importance)
            pictures = candidates(photos, flow, importance, warped)
        network = self.model.renderer
        drawn, _ = network.correct(pictures, importance, warped, network.features(photos))
        share = counts.mean((1, 2, 3))
        error, before = (
            (made - frames).abs().mul(counts).mean((1, 2, 3)) / share for made in (drawn, warped.blended())
        )
        parts = {"error": float(error.detach().mean()), "before": float(before.mean())}
        if self.perceptual:
            distance = self.lpips(torch.where(counts > 0, drawn, frames), frames) / share
            parts["lpips"] = float(distance.detach().mean())
            error = error + self.perceptual * distance
        return (error / (before + LEAST_ERROR)).mean(), parts


def modulus_target(normalized: Tensor, size: tuple[int, int]) -> Tensor:
    """Root mean square of the real and imaginary part of normalized x and y, averaged to the latents' grid.

    Args:
        normalized: [B, K, 4, H, W].

    Returns:
        [B, K, 2, h, w].
    """
    modulus = normalized.unflatten(2, (2, 2)).square().mean(3).sqrt()
    return F.adaptive_avg_pool2d(modulus.flatten(0, 1), size).unflatten(0, modulus.shape[:2])


@torch.no_grad()
def whiten(model: MotionModel, items: Iterable[tuple[Tensor, Tensor]], divided: bool) -> None:
    """Set mean and deviation of a model's latents from items of `MotionDataset`, and leave it in evaluation mode.

    Args:
        divided: latents are divided by the encoder's prior, as from the stage "encoder" on.
    """
    model.eval()

    def batches():
        for photo, coefficients in items:
            prior = model.encoder(photo[None].to(model.device))[1] if divided else None
            yield model.normalizer.normalize(coefficients[None].to(model.device)), model.spread(prior)

    model.autoencoder.measure(batches())


def _train_encoder(model: MotionModel) -> None:
    model.encoder.requires_grad_(True)
    if hasattr(model.encoder.trunk, "network"):
        model.encoder.trunk.network.requires_grad_(False)


MOTION_STAGES = ("vae", "encoder", "denoiser", "coordinate")
STAGES = (*MOTION_STAGES, "renderer")


def make_stage(name: str, model: MotionModel, **options) -> nn.Module:
    """The stage of a name in STAGES, with its options."""
    if name not in STAGES:
        raise ValueError(f"There is no stage {name!r}; the stages are {', '.join(STAGES)}.")
    if name == "vae":
        return Autoencoding(model)
    if name == "renderer":
        return Rendering(model, **options)
    return Encoding(model) if name == "encoder" else Denoising(model, coordinate=name == "coordinate", **options)
