"""Photo in, spectral volume out."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from operator import index

import torch
import torch.nn.functional as F
from torch import Tensor

from ..rendering.render import Renderer
from ..spectral_volume import SpectralVolume
from ..tensors import fit_size, image_batch, mask_batch, resize_maps, resize_mask
from .checkpoint import load_model
from .loop_guidance import LoopGuidance
from .motion_model import MotionModel
from .noise import frequency_noise
from .sampling import Condition, Step, sample_latents
from .upsampling import upsample_to_photo

# Longest side of the volume that comes back, in pixels; the renderer scales it to the photo.
RESOLUTION = 512
GUIDANCE_SCALE = 1.75
AMPLITUDE_RANGE = (0.25, 2.0)
STEADINESS = 0.75  # 0: where a sample moves is left to chance; 1: as expected
MAX_STEADYING = 30.0  # in energy

Callback = Callable[[int, int, Callable[[], Tensor]], None]


class GIDPipeline:
    """A motion model, ready to be asked.

        pipe = GIDPipeline.from_pretrained()
        volume = pipe(photo, seed=1)
        frames = gid_core.render(photo, gid_core.loop(volume), renderer=pipe.renderer)

    Attributes:
        model: the networks.
    """

    def __init__(self, model: MotionModel):
        self.model = model.requires_grad_(False).eval()

    @classmethod
    def from_pretrained(
        cls,
        path: str | os.PathLike | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> GIDPipeline:
        """Load a model from a file; None: the checkpoint that ships.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is no motion model of this software; says what it seems to be.
        """
        return cls(load_model(path)).to(device, dtype)

    def to(self, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> GIDPipeline:
        """Move the networks, in place. In half precision denoiser and renderer run in it; statistics stay float32."""
        if dtype not in (None, torch.float32, torch.bfloat16, torch.float16):
            raise ValueError(f"dtype is float32, bfloat16 or float16; got {dtype}.")
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
        return None if self.model.renderer is None else self.model.renderer.painter

    @property
    def device(self) -> torch.device:
        return self.model.device

    def __call__(
        self,
        image: Tensor,
        *,
        num_inference_steps: int = 25,
        guidance_scale: float = GUIDANCE_SCALE,
        loop_guidance: LoopGuidance | None = None,
        seed: int | Sequence[int] = 0,
        mask: Tensor | None = None,
        amplitude: float = 1.0,
        sampler: str = "dpm",
        resolution: int = RESOLUTION,
        callback: Callback | None = None,
    ) -> SpectralVolume:
        """Predict how photos would move.

        Args:
            image: [H, W, C] or [B, H, W, C] in 0..1, C = 3 or 4, of any size; where alpha is 0, nothing moves.
            num_inference_steps: evaluations of the denoiser; 20 to 30 for "dpm", 250 for "ddim" (the paper's).
            guidance_scale: how closely to follow the photo (classifier-free guidance); 1: as learned. Above 1 every
                step costs twice.
            loop_guidance: toward motion without a jerk where a loop closes.
            seed: the same seed gives the same motion, on every device up to rounding. Several seeds give each photo
                that many volumes, photo by photo. Photo b of a batch draws from seed + b.
            mask: [H, W] or [B, H, W] in 0..1, white may move. It is applied in every step of the sampling.
            amplitude: factor on the motion's size; 1: as in the training clips.
            sampler: "dpm" or "ddim".
            resolution: longest side of the volume in pixels; not more than the photo's.
            callback: called after every step as callback(done, total, preview), preview() giving the motion so far as
                coefficients [B, K, 4, h, w] in pixels, as large as it will be; may raise to cancel.

        Returns:
            A volume of B x seeds photos, on the CPU, that begins at rest. Its edges are drawn along the photo's.

        Raises:
            ValueError: for images, masks or numbers outside these ranges.
        """
        photos = image_batch(image)
        self._check(guidance_scale, amplitude, resolution)
        seeds = _seeds(seed)
        permitted = self._permitted(photos, mask)
        # ComfyUI runs nodes in inference mode, whose tensors cannot take part in gradients.
        with torch.inference_mode(False), torch.no_grad(), disable_tf32():
            photos = photos.clone()
            permitted = None if permitted is None else permitted.clone()

            def volume_of(latents: Tensor, prior: Tensor | None) -> SpectralVolume:
                return self._volume(
                    match_expected_energy(self.model, self.model.to_coefficients(latents, prior), prior), amplitude
                )

            def report(step: Step) -> None:
                callback(step.index + 1, step.total, lambda: volume_of(step.clean, step.prior).coefficients.cpu())

            latents, prior = self._sample(
                photos,
                permitted,
                seeds,
                num_inference_steps,
                guidance_scale,
                loop_guidance,
                sampler,
                None if callback is None else report,
            )
            volume = volume_of(latents, prior)
            if loop_guidance is not None:
                volume = loop_guidance.finish(volume)
            size = fit_size(photos.shape[-2:], resolution)
            rgb = photos[:, :3].to(self.device).repeat_interleave(len(seeds), 0)
            volume = upsample_to_photo(volume.to(self.device), rgb, size).to("cpu")
        if permitted is not None:
            allowed = resize_mask(permitted, size).repeat_interleave(len(seeds), 0)
            volume = volume.replace(coefficients=volume.coefficients * allowed.unsqueeze(1))
        return volume

    def _sample(
        self, photos, permitted, seeds, steps, scale, guidance, sampler, report
    ) -> tuple[Tensor, Tensor | None]:
        """Latents, and the prior to decode them with."""
        model, config = self.model, self.model.config
        seen = self._seen(photos).to(self.device)
        condition = self._condition(seen).repeat(len(seeds))
        shape = (config.volume.num_bins, config.autoencoder.latent_channels, *condition.features.shape[-2:])
        generators = [torch.Generator().manual_seed((s + b) % 2**64) for b in range(len(photos)) for s in seeds]
        noise = torch.stack([frequency_noise(shape, config.noise_coherence, g) for g in generators]).to(self.device)
        keep, still = None, None
        if permitted is not None:
            keep = resize_maps(permitted.unsqueeze(1), shape[-2:]).unsqueeze(1).repeat_interleave(len(seeds), 0)
            keep, still = keep.to(self.device), self._still(condition.prior, shape[-2:])
        latents = sample_latents(
            model,
            condition,
            noise,
            steps=steps,
            guidance_scale=scale,
            sampler=sampler,
            guide=guidance,
            keep=keep,
            still=still,
            callback=report,
            generator=generators,
        )
        return latents, condition.prior

    def _condition(self, seen: Tensor) -> Condition:
        """What the encoder says of photos; the guess at what moves is the mean of theirs and their mirror images'."""
        features, prior = self.model.encoder(seen)
        if prior is not None:
            prior = (prior + self.model.encoder(seen.flip(-1))[1].flip(-1)) / 2
        return Condition(features, prior)

    def _volume(self, coefficients: Tensor, amplitude: float) -> SpectralVolume:
        """Coefficients as a volume in pixels that begins at rest."""
        config = self.model.config.volume
        coefficients = coefficients.float()
        if config.unit_amplitude:
            # All volumes that were learned from had amplitude 1; a sample comes near it. Where next to nothing moves,
            # it is not blown up to that.
            reached = SpectralVolume(coefficients, config.fps, config.period).amplitude
            amplitude = amplitude * config.amplitude / reached.clamp(*AMPLITUDE_RANGE).view(-1, 1, 1, 1, 1)
        metadata = {"source": f"predicted by {self.model.config.name}"}
        return SpectralVolume(coefficients * amplitude, config.fps, config.period, config.detrend, metadata).at_rest()

    def _seen(self, photos: Tensor) -> Tensor:
        """Photos [B, C, H, W] as the encoder sees them: RGB, alpha over gray, of the model's area and stride."""
        if photos.shape[1] == 4:
            alpha = photos[:, 3:]
            photos = photos[:, :3] * alpha + 0.5 * (1 - alpha)
        return resize_maps(photos, model_input_size(photos.shape[-2:], self.model)).clamp(0, 1)

    def _still(self, prior: Tensor | None, size: tuple[int, int]) -> Tensor:
        """Latents of no motion, [B or 1, K, C, h, w]."""
        config = self.model.config
        height, width = (side * config.autoencoder.factor for side in size)
        nothing = torch.zeros(1, config.volume.num_bins, 4, height, width, device=self.device)
        return self.model.to_latents(nothing, prior)

    def _permitted(self, photos: Tensor, mask: Tensor | None) -> Tensor | None:
        """Where motion is allowed, [B, H, W], or None for everywhere."""
        allowed = None if mask is None else mask_batch(mask, len(photos)).expand(len(photos), -1, -1)
        if allowed is not None and allowed.shape[-2:] != photos.shape[-2:]:
            allowed = resize_mask(allowed, photos.shape[-2:])[:, 0]
        if photos.shape[1] == 4:
            opaque = (photos[:, 3] > 0).float()
            allowed = opaque if allowed is None else allowed * opaque
        return allowed

    @staticmethod
    def _check(guidance_scale: float, amplitude: float, resolution: int) -> None:
        if not 0 <= guidance_scale <= 20:
            raise ValueError(f"guidance_scale must be 0 to 20; got {guidance_scale}.")
        if not math.isfinite(amplitude) or amplitude < 0:
            raise ValueError(f"amplitude must be >= 0; got {amplitude}.")
        if resolution < 16:
            raise ValueError(f"resolution must be >= 16 pixels; got {resolution}.")


@contextmanager
def disable_tf32():
    """No TF32 on NVIDIA's GPUs: its 10 bits, 25 steps long, would make another motion there than on a CPU."""
    backends = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = False
        yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed


def match_expected_energy(model: MotionModel, coefficients: Tensor, prior: Tensor | None) -> Tensor:
    """Bring how much a sample moves where nearer to what the encoder expects for the photo (ours).

    Each place's energy over all frequencies is multiplied by (expected / sampled)^STEADINESS, both relative to their
    means. Chance keeps the phases, the directions, and which frequency moves; but one sample has no others to average
    with, and where it moved by chance alone it looked wrong.

    Args:
        coefficients: [B, K, 4, H, W] in pixels.
        prior: of the encoder, [B, K, 2, h, w]; None, of a model without: nothing is changed.
    """
    if prior is None:
        return coefficients
    mean_parts = prior[:, :, :, None].expand(-1, -1, -1, 2, -1, -1).flatten(2, 3)
    expected = model.normalizer.denormalize(mean_parts)[:, 1:].square().sum((1, 2)).unsqueeze(1)
    sampled = F.adaptive_avg_pool2d(coefficients[:, 1:].square().sum((1, 2)).unsqueeze(1), expected.shape[-2:])
    shares = [energy / energy.mean((2, 3), keepdim=True).clamp_min(1e-12) + 1e-4 for energy in (expected, sampled)]
    gain = (shares[0] / shares[1]).clamp(1 / MAX_STEADYING, MAX_STEADYING) ** (STEADINESS / 2)
    return coefficients * resize_maps(gain, coefficients.shape[-2:]).unsqueeze(1)


def _seeds(seed: int | Sequence[int]) -> list[int]:
    try:
        seeds = [index(s) for s in (seed if isinstance(seed, Iterable) else [seed])]
    except TypeError:
        raise ValueError(f"seed is a whole number or several; got {seed!r}.") from None
    if not seeds:
        raise ValueError("seed is a whole number or several; got none.")
    return seeds


def model_input_size(size: tuple[int, int], model: MotionModel) -> tuple[int, int]:
    """(H, W) at which a model sees a photo of `size`: its area, the photo's aspect, sides multiples of the stride.

    Very long pictures are squeezed to 1:4.
    """
    stride, area = model.config.latent_stride, model.config.volume.pixels
    aspect = min(4.0, max(0.25, size[1] / size[0]))
    height = math.sqrt(area / aspect)
    return tuple(max(4, round(side / stride)) * stride for side in (height, height * aspect))
