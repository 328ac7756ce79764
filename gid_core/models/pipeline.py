"""Predict a spectral volume from a photo."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from operator import index

import torch
from torch import Tensor

from ..rendering.render import Renderer
from ..spectral_volume import SpectralVolume
from ..tensors import (
    check_device,
    check_weights_dtype,
    default_weights_dtype,
    fit_size,
    image_batch,
    mask_batch,
    resize_maps,
    resize_mask,
)
from ..validation import check_callable, check_choice, check_instance, check_integer, check_number, describe
from .amplitude import expected_amplitude
from .checkpoint import load_model
from .loop_guidance import LoopGuidance
from .motion_model import MotionModel
from .motion_refinement import (
    ExpectedMotion,
    expect_motion,
    reach_beyond_outlines,
    refine_motion,
    suppress_faint_motion,
)
from .sampling import SAMPLERS, Condition, SamplingStep, StepCallback, draw_noise, sample_latents
from .upsampling import upsample_to_photo

# Defaults of the pipeline.
RESOLUTION = 512  # longest side of the returned volume in pixels; the renderer resizes it to the photo
GUIDANCE_SCALE = 1.75
NUM_STEPS = 10  # of UniPC; nearer to 100 steps than 14 steps of DPM-Solver++ are
# Volumes are divided by the amplitude of their sample, which is near 1, but by no less than this.
MIN_AMPLITUDE = 0.25
# Range of settings.
MAX_GUIDANCE_SCALE = 20
MAX_AMPLITUDE = 1000
MAX_SEEDS = 1000  # of one call
MIN_RESOLUTION, MAX_RESOLUTION = 16, 2**31  # pixels; the photo's size is used if it is smaller
# Input of the encoder.
MAX_ASPECT = 4.0
MIN_LATENT_SIDE = 4  # pixels of the latents
BACKGROUND = 0.5  # gray behind transparent pixels

# Called with the number of finished steps, the number of all steps, and a function that computes a preview.
ProgressCallback = Callable[[int, int, Callable[[], Tensor]], None]


class GIDPipeline:
    """Predicts spectral volumes with a motion model.

        pipe = GIDPipeline.from_pretrained()
        volume = pipe(photo, seed=1)
        frames = gid_core.render(photo, gid_core.loop(volume), renderer=pipe.renderer)

    Attributes:
        model: the networks.
    """

    def __init__(self, model: MotionModel) -> None:
        self.model = check_instance("model", model, MotionModel, "a MotionModel, see load_model")
        self.model.requires_grad_(False).eval()

    @classmethod
    def from_pretrained(
        cls,
        path: str | os.PathLike | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
    ) -> GIDPipeline:
        """Load a model from a file; None loads the bundled checkpoint.

        Args:
            dtype: of denoiser and renderer; None for what is fastest on the device, see `default_weights_dtype`.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is no motion model of this software, with a guess at what it is.
        """
        device = check_device(device)
        return cls(load_model(path)).to(device, default_weights_dtype(device) if dtype is None else dtype)

    def to(self, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> GIDPipeline:
        """Move the networks, in place. `dtype` is for denoiser and renderer; all else stays float32.

        Raises:
            ValueError: if torch cannot use the device here, or for another dtype.
        """
        device = None if device is None else check_device(device)
        dtype = None if dtype is None else check_weights_dtype(dtype)
        with torch.inference_mode(False):
            self.model.to(device)
            if dtype is not None:
                self.model.denoiser.to(dtype)
                if self.model.renderer is not None:
                    self.model.renderer.to(dtype)
        return self

    @property
    def renderer(self) -> Renderer | None:
        """The rendering network, for `rendering.render`; None if the model has none."""
        return None if self.model.renderer is None else self.model.renderer.prepare

    @property
    def device(self) -> torch.device:
        return self.model.device

    def __call__(
        self,
        image: Tensor,
        *,
        num_inference_steps: int = NUM_STEPS,
        guidance_scale: float = GUIDANCE_SCALE,
        loop_guidance: LoopGuidance | None = None,
        seed: int | Sequence[int] = 0,
        mask: Tensor | None = None,
        amplitude: float = 1.0,
        sampler: str = "unipc",
        resolution: int = RESOLUTION,
        callback: ProgressCallback | None = None,
    ) -> SpectralVolume:
        """Predict the motion of photos.

        Args:
            image: [H, W, C] or [B, H, W, C] in 0..1, C = 3 or 4, of any size. Pixels of alpha 0 do not move.
            num_inference_steps: denoising steps; 10 to 25 for "unipc" and "dpm", 250 for "ddim" (the paper's).
            guidance_scale: how closely to follow the photo (classifier-free guidance), 0 to 20; 1 for no guidance.
                Other values double the cost of a step.
            loop_guidance: makes the motion loop without a jerk.
            seed: the same seed gives the same motion, on every device up to rounding. That of TF32, where it is
                enabled, is visible after 25 steps. With several seeds, each photo gets that many volumes, photo by
                photo. Photo b of a batch uses seed + b.
            mask: [H, W] or [B, H, W] in 0..1; white pixels may move. It is applied in every step of the sampling.
            amplitude: factor on the motion's size, >= 0; 1 for the size that suits the photo (`expected_amplitude`).
            sampler: "unipc", "dpm" or "ddim", see `sample_latents`.
            resolution: longest side of the volume in pixels, >= 16; at most the photo's.
            callback: called after every step as callback(done, total, preview). preview() returns the motion so far
                as coefficients [B, K, 4, h, w] in pixels, in the final size of the motion. May raise to cancel.

        Returns:
            A volume of B x seeds photos, on the CPU, that begins at rest. Its edges follow the photo's.

        Raises:
            ValueError: for images, masks or numbers outside these ranges.
        """
        photos = image_batch(image)
        guidance_scale = check_number("guidance_scale", guidance_scale, 0, MAX_GUIDANCE_SCALE)
        amplitude = check_number("amplitude", amplitude, 0, MAX_AMPLITUDE, meaning="1 suits the photo")
        resolution = check_integer("resolution", resolution, MIN_RESOLUTION, MAX_RESOLUTION, meaning="pixels")
        check_choice("sampler", sampler, SAMPLERS)
        max_steps = self.model.config.diffusion.num_train_timesteps
        num_inference_steps = check_integer("num_inference_steps", num_inference_steps, 1, max_steps)
        if loop_guidance is not None:
            check_instance("loop_guidance", loop_guidance, LoopGuidance, 'a LoopGuidance("projection") or None')
        check_callable("callback", callback)
        seeds = _parse_seeds(seed)
        motion_mask = _motion_mask(photos, mask)
        # ComfyUI runs nodes in inference mode, whose tensors cannot take part in gradients.
        with torch.inference_mode(False), torch.no_grad():
            photos = photos.clone()
            motion_mask = None if motion_mask is None else motion_mask.clone()

            encoder_input = self._encoder_input(photos).to(self.device)
            condition = self._encode(encoder_input)
            affinities = self.model.affinities(encoder_input)
            noise_factor = self.model.spatial_noise_factor(affinities)
            expected = None
            if condition.prior is not None:
                expected = expect_motion(self.model, encoder_input, condition.prior, affinities)
            typical_amplitude = self._typical_amplitude(expected, len(photos)).repeat_interleave(len(seeds))
            condition, affinities = condition.repeat(len(seeds)), affinities.repeat_interleave(len(seeds))
            if noise_factor is not None:
                noise_factor = noise_factor.repeat_interleave(len(seeds), 0)
            if expected is not None:
                expected = expected.repeat_interleave(len(seeds))

            def decode(latents: Tensor, prior: Tensor | None) -> SpectralVolume:
                coefficients = self.model.to_coefficients(latents, prior)
                coefficients = refine_motion(coefficients, expected, affinities)
                return self._make_volume(coefficients, amplitude * typical_amplitude)

            def on_step(step: SamplingStep) -> None:
                if callback is not None:
                    callback(step.index + 1, step.total, lambda: preview(step))

            def preview(step: SamplingStep) -> Tensor:
                return decode(step.denoised_latents, step.prior).coefficients.cpu()

            latents = self._sample(
                condition,
                noise_factor,
                motion_mask,
                seeds,
                steps=num_inference_steps,
                guidance_scale=guidance_scale,
                guidance=loop_guidance,
                sampler=sampler,
                callback=on_step,
            )
            volume = decode(latents, condition.prior)
            if loop_guidance is not None:
                volume = loop_guidance.apply(volume)
            size = fit_size(photos.shape[-2:], resolution)
            rgb = photos[:, :3].to(self.device).repeat_interleave(len(seeds), 0)
            volume = upsample_to_photo(volume.to(self.device), rgb, size, affinities)
            volume = reach_beyond_outlines(suppress_faint_motion(volume)).to("cpu")
        if motion_mask is not None:
            weight = resize_mask(motion_mask, size).repeat_interleave(len(seeds), 0)
            volume = volume.replace(coefficients=volume.coefficients * weight.unsqueeze(1))
        return volume

    def outlines(self, image: Tensor) -> Tensor:
        """Where objects of photos end, as the model sees it, for `motion_from_tracks`.

        Args:
            image: [H, W, C] or [B, H, W, C], C = 3 or 4, in 0..1.

        Returns:
            float32 [B, 1, h, w] on the CPU, near 1 at outlines, near 0 inside objects.
        """
        photos = image_batch(image)
        with torch.inference_mode(False), torch.no_grad():
            inputs = self._encoder_input(photos.clone()).to(self.device)
            return self.model.affinities(inputs).outlines().float().cpu()

    def _sample(
        self,
        condition: Condition,
        noise_factor: Tensor | None,
        motion_mask: Tensor | None,
        seeds: list[int],
        *,
        steps: int,
        guidance_scale: float,
        guidance: LoopGuidance | None,
        sampler: str,
        callback: StepCallback,
    ) -> Tensor:
        """Sample latents [B x seeds, K, C, h, w].

        Args:
            condition: of B x seeds photos.
            noise_factor: of B x seeds photos, see `MotionModel.spatial_noise_factor`.
            motion_mask: [B, H, W] or None.
        """
        config, count = self.model.config, len(seeds)
        batch = len(condition.features) // count
        size = condition.features.shape[-2:]
        shape = (config.volume.num_bins, config.autoencoder.latent_channels, *size)
        generators = [torch.Generator().manual_seed((s + b) % 2**64) for b in range(batch) for s in seeds]
        noise = draw_noise(shape, config.noise_coherence, noise_factor, generators)
        latent_mask, zero_motion_latents = None, None
        if motion_mask is not None:
            latent_mask = resize_maps(motion_mask.unsqueeze(1), size).unsqueeze(1)
            latent_mask = latent_mask.repeat_interleave(count, 0).to(self.device)
            zero_motion_latents = self._zero_motion_latents(condition.prior, size)
        return sample_latents(
            self.model,
            condition,
            noise.to(self.device),
            steps=steps,
            guidance_scale=guidance_scale,
            sampler=sampler,
            guidance=guidance,
            motion_mask=latent_mask,
            zero_motion_latents=zero_motion_latents,
            callback=callback,
            generator=generators,
            noise_factor=noise_factor,
        )

    def _encode(self, encoder_input: Tensor) -> Condition:
        """The encoder's features and prior of photos [B, 3, H, W], from `_encoder_input`.

        The prior is the mean of the photo's and of its mirror image's.
        """
        features, prior = self.model.encoder(encoder_input)
        if prior is not None:
            prior = (prior + self.model.encoder(encoder_input.flip(-1))[1].flip(-1)) / 2
        return Condition(features, prior)

    def _encoder_input(self, photos: Tensor) -> Tensor:
        """Photos [B, C, H, W] for the encoder: RGB, transparent pixels over gray, of `model_input_size`."""
        if photos.shape[1] == 4:
            alpha = photos[:, 3:]
            photos = photos[:, :3] * alpha + BACKGROUND * (1 - alpha)
        return resize_maps(photos, model_input_size(photos.shape[-2:], self.model)).clamp(0, 1)

    def _zero_motion_latents(self, prior: Tensor | None, size: Sequence[int]) -> Tensor:
        """Latents of zero motion, [B or 1, K, C, h, w]."""
        config = self.model.config
        height, width = (side * config.autoencoder.downsampling_factor for side in size)
        coefficients = torch.zeros(1, config.volume.num_bins, 4, height, width, device=self.device)
        return self.model.to_latents(coefficients, prior)

    def _typical_amplitude(self, expected: ExpectedMotion | None, count: int) -> Tensor:
        """Amplitude of each photo, [count], as a share of the width; ones if the model predicts amplitudes itself."""
        config = self.model.config.volume
        if not config.unit_amplitude:
            return torch.ones(count, device=self.device)
        if expected is None:
            return torch.full((count,), config.amplitude, device=self.device)
        return expected_amplitude(config, expected.displacement)

    def _make_volume(self, coefficients: Tensor, amplitude: Tensor) -> SpectralVolume:
        """Coefficients as a volume in pixels that begins at rest.

        Args:
            amplitude: [B], of the volumes.
        """
        config = self.model.config.volume
        coefficients = coefficients.float()
        factor = amplitude
        if config.unit_amplitude:
            # Volumes of the training set have amplitude 1, and samples come near it, except for photos in which almost
            # nothing moves. These must not be scaled up to 1.
            sampled = SpectralVolume(coefficients, config.fps, config.period).amplitude
            factor = amplitude / sampled.clamp_min(MIN_AMPLITUDE)
        factor = factor.view(-1, 1, 1, 1, 1)
        metadata = {"source": f"predicted by {self.model.config.name}"}
        return SpectralVolume(coefficients * factor, config.fps, config.period, config.detrend, metadata).at_rest()


def model_input_size(size: Sequence[int], model: MotionModel) -> tuple[int, int]:
    """(H, W) to which the pipeline resizes a photo of `size` for the encoder.

    It has the model's area and the photo's aspect ratio, and its sides are multiples of the latents' stride. Aspect
    ratios beyond 1:4 become 1:4.
    """
    stride, area = model.config.latent_stride, model.config.volume.image_area
    aspect = min(MAX_ASPECT, max(1 / MAX_ASPECT, size[1] / size[0]))
    height = math.sqrt(area / aspect)
    return _round_to_stride(height, stride), _round_to_stride(height * aspect, stride)


def _round_to_stride(side: float, stride: int) -> int:
    return max(MIN_LATENT_SIDE, round(side / stride)) * stride


def _motion_mask(photos: Tensor, mask: Tensor | None) -> Tensor | None:
    """Where photos [B, C, H, W] may move, [B, H, W]: in the mask and where alpha is above 0; None for everywhere."""
    result = None if mask is None else mask_batch(mask, len(photos)).expand(len(photos), -1, -1)
    if result is not None and result.shape[-2:] != photos.shape[-2:]:
        result = resize_mask(result, photos.shape[-2:])[:, 0]
    if photos.shape[1] == 4:
        visible = (photos[:, 3] > 0).float()
        result = visible if result is None else result * visible
    return result


def _parse_seeds(seed: int | Sequence[int]) -> list[int]:
    """One or several seeds, which may be integers of NumPy or PyTorch, as a list of Python integers."""
    try:
        seeds = [index(s) for s in (seed if isinstance(seed, Iterable) else [seed])]
    except TypeError:
        raise ValueError(f"seed must be one or several whole numbers; got {describe(seed)}.") from None
    if not 1 <= len(seeds) <= MAX_SEEDS:
        raise ValueError(f"seed must be 1 to {MAX_SEEDS} whole numbers; got {len(seeds) or 'none'}.")
    return seeds
