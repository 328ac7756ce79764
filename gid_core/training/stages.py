"""Training stages: which parameters each one trains, and its loss."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..evaluation.networks.lpips import LPIPS
from ..models.affinity_network import affinity_loss
from ..models.displacement_network import displacement_loss
from ..models.frame_edits import candidate_images, find_departing
from ..models.image_encoder import PretrainedPyramid
from ..models.motion_model import MotionModel
from ..models.motion_refinement import expected_displacement, rms_displacement, rms_motion
from ..models.noise_schedule import add_noise, alphas_cumprod, velocity
from ..models.sampling import draw_noise
from ..rendering.warping import forward_warp

Loss = tuple[Tensor, dict[str, float]]  # the loss, and values for the log by name

CONDITION_DROPOUT = 0.1  # probability of training without a condition, for classifier-free guidance
# Displacement that the encoder should at least expect of plants on real photos; a typical moving pixel has 1. Not all
# of them move, so this is less than of plants whose motion is known, but it opens `motion_refinement`'s gate.
MIN_PLANT_DISPLACEMENT = 0.1
PLANT_THRESHOLD = 0.5  # of the largest value of a mask of plants, above which a pixel is one
PLANT_WEIGHT = 0.3  # of plants in the loss of the encoder
ERROR_FLOOR = 0.002  # added to the fast splat's error (`rendering.render.fast_splat`) when dividing by it

MOTION_STAGES = ("vae", "encoder", "affinity", "displacement", "denoiser", "frequency-attention")
STAGES = (*MOTION_STAGES, "renderer")
# Stages that change the latents. After them the statistics of the latents are measured again.
LATENT_STAGES = ("vae", "encoder")
# Stages that train the denoiser.
DENOISER_STAGES = ("denoiser", "frequency-attention")


class TrainingStage(nn.Module):
    """A model with its trainable parameters unfrozen. Calling it with a batch and a seed computes the loss."""

    def __init__(self, model: MotionModel) -> None:
        super().__init__()
        self.model = model
        model.requires_grad_(False)


class AutoencoderStage(TrainingStage):
    """Stage "vae": the autoencoder on single frequency slices.

    Args:
        num_slices: slices of a batch that are used.
    """

    def __init__(self, model: MotionModel, num_slices: int = 16) -> None:
        super().__init__(model)
        self.num_slices = num_slices
        model.autoencoder.requires_grad_(True)

    def forward(self, photos: Tensor, coefficients: Tensor, seed: int) -> Loss:
        generator = torch.Generator().manual_seed(seed)
        slices = self.model.normalizer.normalize(coefficients).flatten(0, 1)
        chosen = torch.randperm(len(slices), generator=generator)[: self.num_slices]
        return self.model.autoencoder.loss(slices[chosen.to(slices.device)], generator)


class EncoderStage(TrainingStage):
    """Stage "encoder": the image encoder and its prior, a regression of each frequency's modulus at each position.

    The loss is the negative log-likelihood of an exponential distribution with the prior m as its mean, log m +
    |S'| / m. It weights relative errors alike for small and large motion. Of photos of which only the plants are known,
    it is the logarithm by which the displacement expected of the plants falls short of `MIN_PLANT_DISPLACEMENT`.
    """

    def __init__(self, model: MotionModel) -> None:
        super().__init__(model)
        if model.encoder.prior_head is None:
            raise ValueError('This config has no prior (encoder.prior), so it has no stage "encoder".')
        _unfreeze_encoder(model)
        model.encoder.feature_head.requires_grad_(False)

    def forward(
        self,
        photos: Tensor,
        coefficients: Tensor,
        plant_photos: Tensor | None = None,
        plants: Tensor | None = None,
        *,
        seed: int,
    ) -> Loss:
        """The loss of photos with motion, and of photos with motion [B, K, 4, h, w] only where plants are, if any."""
        _, prior = self.model.encoder(photos)
        modulus = modulus_target(self.model.normalizer.normalize(coefficients), prior.shape[-2:])
        loss = (prior.log() + modulus / prior).mean()
        terms = {"error": float((prior.detach() - modulus).abs().mean())}
        if plant_photos is not None and plants is not None:
            _, prior = self.model.encoder(plant_photos)
            shortfall = (MIN_PLANT_DISPLACEMENT / expected_displacement(self.model, prior)).log().clamp_min(0)
            motion = rms_motion(plants)
            mask = motion > PLANT_THRESHOLD * motion.amax((2, 3), keepdim=True)
            area = F.adaptive_avg_pool2d(mask.float(), prior.shape[-2:])
            plant_loss = (shortfall * area).sum() / area.sum().clamp_min(1)
            terms["plants"] = float(plant_loss.detach())
            loss = loss + PLANT_WEIGHT * plant_loss
        return loss, terms


class AffinityStage(TrainingStage):
    """Stage "affinity": the network that tells which neighboring cells move as one (`models.affinity_network`)."""

    def __init__(self, model: MotionModel) -> None:
        super().__init__(model)
        if model.affinity is None:
            raise ValueError('This config has no affinity network (affinity.hidden_channels), so no stage "affinity".')
        model.affinity.requires_grad_(True)

    def forward(self, photos: Tensor, coefficients: Tensor, seed: int) -> Loss:
        return affinity_loss(self.model.log_differences(photos), coefficients), {}


class DisplacementStage(TrainingStage):
    """Stage "displacement": the network that refines where motion is expected (`models.displacement_network`)."""

    def __init__(self, model: MotionModel) -> None:
        super().__init__(model)
        if model.displacement is None:
            raise ValueError(
                'This config has no displacement network (displacement.hidden_channels), so no stage "displacement".'
            )
        model.displacement.requires_grad_(True)
        model.encoder.dropout.p = 0.0  # the network refines what the trained encoder expects

    def forward(self, photos: Tensor, coefficients: Tensor, seed: int) -> Loss:
        with torch.no_grad():
            expected = expected_displacement(self.model, self.model.encoder(photos)[1])
        true = rms_displacement(coefficients, self.model.config.volume.period)
        return displacement_loss(self.model.refine_displacement(photos, expected), true), {}


class DenoiserStage(TrainingStage):
    """Stages "denoiser" and "frequency-attention" (paper section 4.2).

    "denoiser" trains the U-Net and the encoder's features. In the "independent" layout every slice is a sample with its
    own timestep. "frequency-attention" needs the "coordinated" layout: the slices of a photo share a timestep, and
    only the attention between them is trained.

    Args:
        frequency_attention_only: the stage "frequency-attention".
        train_unet: in "frequency-attention", train the complete U-Net.
        timesteps_per_sample: timesteps drawn for every sample. The photo is augmented and encoded only once.
    """

    def __init__(
        self,
        model: MotionModel,
        *,
        frequency_attention_only: bool = False,
        train_unet: bool = False,
        timesteps_per_sample: int = 1,
    ) -> None:
        super().__init__(model)
        layout = model.config.denoiser.layout
        if frequency_attention_only and layout != "coordinated":
            raise ValueError(
                f'"frequency-attention" trains the attention of the "coordinated" layout; this model is {layout}.'
            )
        self.timesteps_per_sample = timesteps_per_sample
        self.shared_timesteps = layout != "independent"
        self.alphas_cumprod = alphas_cumprod(model.config.diffusion)
        model.denoiser.requires_grad_(not frequency_attention_only or train_unet)
        for parameter in model.denoiser.frequency_attention_parameters():
            parameter.requires_grad_(True)
        if not frequency_attention_only and model.encoder.prior_head is None:
            _unfreeze_encoder(model)
        else:
            model.encoder.feature_head.requires_grad_(not frequency_attention_only)
            # Latents are divided by the prior, so the prior must not change: dropout is disabled in training.
            model.encoder.dropout.p = 0.0

    def forward(self, photos: Tensor, coefficients: Tensor, seed: int) -> Loss:
        model, generator = self.model, torch.Generator().manual_seed(seed)
        features, prior = model.encoder(photos)
        with torch.no_grad():
            latents = model.to_latents(coefficients, prior).float()
            noise_factor = (
                model.spatial_noise_factor(model.affinities(photos)) if model.config.has_spatial_noise else None
            )
        losses = [
            self._noise_loss(latents, features.float(), prior, noise_factor, generator)
            for _ in range(self.timesteps_per_sample)
        ]
        loss = torch.stack(losses).mean()
        return loss, {"noise": float(loss.detach())}

    def _noise_loss(
        self,
        latents: Tensor,
        features: Tensor,
        prior: Tensor | None,
        noise_factor: Tensor | None,
        generator: torch.Generator,
    ) -> Tensor:
        """Mean squared error of the prediction (eq. 3). Random numbers come from the CPU, so devices agree."""
        count, bins = latents.shape[:2]
        diffusion = self.model.config.diffusion
        shape = (count, 1) if self.shared_timesteps else (count, bins)
        timesteps = torch.randint(diffusion.num_train_timesteps, shape, generator=generator).expand(count, bins)
        timesteps = timesteps.to(latents.device)
        coherence = self.model.config.noise_coherence
        noise = draw_noise(latents.shape[1:], coherence, noise_factor, [generator] * count).to(latents)
        keep = (torch.rand(count, generator=generator) >= CONDITION_DROPOUT).to(latents).view(-1, 1, 1, 1)
        alpha_squared = self.alphas_cumprod.to(latents)[timesteps].view(count, bins, 1, 1, 1)
        noisy = add_noise(latents, noise, alpha_squared)
        target = velocity(latents, noise, alpha_squared) if diffusion.prediction_type == "v_prediction" else noise
        prior = None if prior is None else prior * keep[..., None]
        timesteps = timesteps[:, 0] if self.shared_timesteps else timesteps
        prediction = self.model.denoiser(noisy, timesteps, features * keep, prior)
        return F.mse_loss(prediction.float(), target)


class RendererStage(TrainingStage):
    """Stage "renderer": the rendering network on pairs of frames (paper section 5).

    The loss is the absolute error plus LPIPS of VGG16. Only the first layers of VGG16 are used: the deeper ones
    describe the content of an image, which does not change here, and are slow on a CPU. The loss of each item is
    divided by the error of the fast splat. Otherwise items that cannot be improved would dominate the others.

    Args:
        lpips_weight: of LPIPS in the loss; 0 needs no weights of VGG16.
        lpips_layers: layers of VGG16 that are used, 1 to 5.
    """

    def __init__(self, model: MotionModel, *, lpips_weight: float = 0.1, lpips_layers: int = 2) -> None:
        super().__init__(model)
        if model.renderer is None:
            raise ValueError(
                'This config has no rendering network (renderer.block_out_channels), so it has no stage "renderer".'
            )
        self.lpips_weight = lpips_weight
        model.renderer.requires_grad_(True)
        self.lpips = LPIPS("vgg", num_layers=lpips_layers).requires_grad_(False) if lpips_weight else None

    def forward(
        self, photos: Tensor, flow: Tensor, importance: Tensor, frames: Tensor, loss_mask: Tensor, seed: int
    ) -> Loss:
        network = self.model.renderer
        assert network is not None  # see __init__
        with torch.no_grad():
            warped = forward_warp(photos, flow, importance)
            images = candidate_images(photos, flow, find_departing(importance), warped)
        rendered, _ = network.refine_frames(images, importance, warped, network.extract_features(photos))
        area = loss_mask.mean((1, 2, 3))
        error, fast_splat_error = (
            (result - frames).abs().mul(loss_mask).mean((1, 2, 3)) / area for result in (rendered, warped.blended())
        )
        terms = {"error": float(error.detach().mean()), "fast_splat_error": float(fast_splat_error.mean())}
        if self.lpips is not None:
            distance = self.lpips(torch.where(loss_mask > 0, rendered, frames), frames) / area
            terms["lpips"] = float(distance.detach().mean())
            error = error + self.lpips_weight * distance
        return (error / (fast_splat_error + ERROR_FLOOR)).mean(), terms


def modulus_target(normalized: Tensor, size: tuple[int, int]) -> Tensor:
    """Root mean square of the real and imaginary part of normalized x and y, averaged to the latents' grid.

    Args:
        normalized: [B, K, 4, H, W].
        size: (h, w) of the latents.

    Returns:
        [B, K, 2, h, w].
    """
    modulus = normalized.unflatten(2, (2, 2)).square().mean(3).sqrt()
    return F.adaptive_avg_pool2d(modulus.flatten(0, 1), size).unflatten(0, modulus.shape[:2])


@torch.no_grad()
def fit_latent_statistics(model: MotionModel, items: Iterable[tuple[Tensor, Tensor]], *, use_prior: bool) -> None:
    """Measure mean and standard deviation of a model's latents. The model is left in evaluation mode.

    Args:
        model: changed in place.
        items: of `MotionDataset`.
        use_prior: latents are divided by the encoder's prior, as in all stages from "encoder" on.
    """
    model.eval()

    def batches() -> Iterator[tuple[Tensor, Tensor | float]]:
        for photo, coefficients in items:
            prior = model.encoder(photo[None].to(model.device))[1] if use_prior else None
            yield model.normalizer.normalize(coefficients[None].to(model.device)), model.latent_scale(prior)

    model.autoencoder.fit_latent_statistics(batches())


def make_stage(name: str, model: MotionModel, **options: Any) -> TrainingStage:
    """The stage of this name with its options.

    Raises:
        ValueError: for a name that is not in STAGES, or a model that the stage cannot train.
    """
    if name not in STAGES:
        raise ValueError(f"There is no stage {name!r}; the stages are {', '.join(STAGES)}.")
    if name == "vae":
        return AutoencoderStage(model, **options)
    if name == "encoder":
        return EncoderStage(model, **options)
    if name == "affinity":
        return AffinityStage(model)
    if name == "displacement":
        return DisplacementStage(model)
    if name == "renderer":
        return RendererStage(model, **options)
    return DenoiserStage(model, frequency_attention_only=name == "frequency-attention", **options)


def _unfreeze_encoder(model: MotionModel) -> None:
    """Make the encoder trainable, except for a pretrained backbone."""
    model.encoder.requires_grad_(True)
    if isinstance(model.encoder.backbone, PretrainedPyramid):
        model.encoder.backbone.network.requires_grad_(False)
