"""The spectral volume: how every pixel of a photo sways, in the Fourier domain (paper section 3).

Conventions of the whole library, stated here once
--------------------------------------------------
* A displacement is (dx, dy) in pixels of the volume's own H x W grid: +x right, +y down, pixel centers at
  integers. Pixel p of the photo is at p + F_t(p) in frame t (paper eq. 1), and F_0 = 0.
* Bin k of the volume is rfft bin k of `period` = T samples that include F_0, taken at `fps`; its frequency is
  k * fps / T Hz. The forward transform carries no factor, the inverse carries 1/T (paper eq. 2). The paper's
  volume is T = 150, fps = 30, K = 16 bins.
* One slice holds four real numbers a pixel, in the order x_re, x_im, y_re, y_im. Complex tensors never go to a
  device: complex scatter and FFT fail on some.
* Motion is the sum F_t(p) = Re sum_k S_k(p) q_k(t) (`modal_sum`); who fills the modal coordinates q decides
  whether it loops, is poked or blown (see `motion`).
* Images are [B, H, W, C] in 0..1 at the library's border and [B, C, H, W] inside.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .media.atomic import atomic_write
from .tensors import feather_mask, mask_batch, resize_maps, resize_mask

FORMAT = "gid.spectral_volume"
FORMAT_VERSION = "1"
DEFAULT_PERIOD = 150
DEFAULT_FPS = 30.0
DEFAULT_BINS = 16
DETREND_MODES = ("none", "ramp")


@dataclass(frozen=True)
class SpectralVolume:
    """K frequency slices of motion for B photos, with what is needed to play them.

    Attributes:
        coefficients: float32 [B, K, 4, H, W]; pixels x T (unnormalized transform), see the module's header.
        fps: samples a second of the T-sample window, > 0.
        period: T, the window's length in samples, >= 1 and >= 2 (K - 1).
        detrend: "none" (the paper's), or "ramp": the line from F_0 to F_T was taken off before the transform.
        metadata: how the volume was made; strings only, saved with it.

    Raises:
        ValueError: for another shape or dtype, values that are not finite, or an impossible fps or period.
    """

    coefficients: Tensor
    fps: float = DEFAULT_FPS
    period: int = DEFAULT_PERIOD
    detrend: str = "none"
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self):
        c = self.coefficients
        if not isinstance(c, Tensor) or c.ndim != 5 or c.shape[2] != 4 or min(c.shape) < 1:
            shape = tuple(c.shape) if hasattr(c, "shape") else type(c).__name__
            raise ValueError(f"A spectral volume is a tensor [B, K, 4, H, W]; got {shape}.")
        if not c.is_floating_point():
            raise ValueError(f"Spectral volume coefficients must be floating point; got {c.dtype}.")
        object.__setattr__(self, "coefficients", c.float())
        if not bool(torch.isfinite(self.coefficients).all()):
            raise ValueError("The spectral volume holds NaN or infinite coefficients; make or load it again.")
        if not self.fps > 0 or not np.isfinite(self.fps):
            raise ValueError(f"fps of a spectral volume must be > 0; got {self.fps}.")
        least = max(1, 2 * (c.shape[1] - 1))
        if self.period < least:
            raise ValueError(f"{c.shape[1]} bins need a period of at least {least} samples; got {self.period}.")
        object.__setattr__(self, "period", int(self.period))
        object.__setattr__(self, "fps", float(self.fps))
        if self.detrend not in DETREND_MODES:
            raise ValueError(f"detrend is one of {DETREND_MODES}; got {self.detrend!r}.")

    def __len__(self) -> int:
        return self.coefficients.shape[0]

    @property
    def num_bins(self) -> int:
        """K, the number of frequency slices, the constant one (bin 0) included."""
        return self.coefficients.shape[1]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the volume's grid in pixels."""
        return tuple(self.coefficients.shape[-2:])

    @property
    def frequencies(self) -> Tensor:
        """float32 [K]: frequency of each bin in Hz."""
        return torch.arange(self.num_bins, dtype=torch.float32) * (self.fps / self.period)

    @property
    def duration(self) -> float:
        """Length of one period in seconds."""
        return self.period / self.fps

    @property
    def amplitude(self) -> Tensor:
        """float32 [B]: how far the moving pixels swing, as a share of the picture's width; 0 if nothing does.

        sum m^2 / sum m over pixels, where m is the root mean square over one period of a pixel's distance from its
        mean place, from the bins above 0 (Parseval). Pixels count by how much they move, so that a still background
        does not lower the figure.
        """
        energy = self.coefficients[:, 1:].square().sum((1, 2)) * (2 / self.period**2)
        rms = energy.sqrt().flatten(1) / self.size[1]
        return rms.square().sum(1) / rms.sum(1).clamp_min(1e-20)

    def replace(self, **changes) -> SpectralVolume:
        """A copy with some attributes changed; shares the tensors that are not."""
        return dataclasses.replace(self, **changes)

    def to(self, device) -> SpectralVolume:
        """The same volume with its coefficients on another device."""
        return self.replace(coefficients=self.coefficients.to(device))

    def resize(self, size: tuple[int, int]) -> SpectralVolume:
        """The same motion on an (H, W) grid: interpolated, x rescaled by the width ratio, y by the height ratio.

        Raises:
            ValueError: if a side is smaller than 1.
        """
        height, width = size
        if min(height, width) < 1:
            raise ValueError(f"A spectral volume needs a size of at least 1 x 1; got {height} x {width} (H x W).")
        if tuple(size) == self.size:
            return self
        batch, bins = self.coefficients.shape[:2]
        flat = resize_maps(self.coefficients.flatten(0, 1), (height, width))
        ratio = flat.new_tensor([width / self.size[1]] * 2 + [height / self.size[0]] * 2)
        return self.replace(coefficients=(flat * ratio.view(1, 4, 1, 1)).unflatten(0, (batch, bins)))

    def at_rest(self) -> SpectralVolume:
        """The same motion from where it is at t = 0: bin 0 set so that F_0 = 0, real as every real signal's is."""
        coefficients = self.coefficients.clone()
        moving = coefficients[:, 1:, 0::2].sum(1) * 2
        if self.period == 2 * (self.num_bins - 1):
            moving -= coefficients[:, -1, 0::2]  # the Nyquist bin has no mirror image
        coefficients[:, 0, 0::2], coefficients[:, 0, 1::2] = -moving, 0
        return self.replace(coefficients=coefficients)

    def amplify(self, gain: float = 1.0, band_gains: Sequence[float] | None = None) -> SpectralVolume:
        """Motion amplification (gain > 1) or minification (gain < 1), paper section 6.

        Args:
            gain: factor for every bin; 0 stills the photo, negative values mirror the motion.
            band_gains: further factors spread evenly from the lowest frequency (bin 1) to the highest and
                interpolated between; e.g. (1, 1, 0) fades the fast half out. The constant bin takes the first.

        Raises:
            ValueError: if a gain is not finite or `band_gains` is empty.
        """
        gains = np.asarray([1.0] if band_gains is None else list(band_gains), dtype=np.float64)
        if gains.size == 0 or not np.isfinite(gains).all() or not np.isfinite(gain):
            raise ValueError(f"Gains must be finite numbers, at least one; got gain={gain}, band_gains={band_gains}.")
        position = np.clip((np.arange(self.num_bins) - 1) / max(self.num_bins - 2, 1), 0, 1)
        per_bin = gain * np.interp(position, np.linspace(0, 1, gains.size), gains)
        scale = torch.as_tensor(per_bin, dtype=torch.float32, device=self.coefficients.device)
        return self.replace(coefficients=self.coefficients * scale.view(1, -1, 1, 1, 1))

    def mask(self, mask: Tensor, feather: float = 0.0) -> SpectralVolume:
        """Keep motion where `mask` is white (1) and still the photo where it is black (0).

        Args:
            mask: [H', W'] or [B', H', W'] in 0..1, of any size; B' is 1 or B.
            feather: width in mask pixels of the soft edge; it lies inside the white region, so black stays still.

        Raises:
            ValueError: if the mask's shape or batch does not fit, or it is not finite.
        """
        soft = feather_mask(mask_batch(mask, len(self)), feather)
        soft = resize_mask(soft, self.size).to(self.coefficients.device)
        return self.replace(coefficients=self.coefficients * soft.unsqueeze(1))

    def save(self, path: str | os.PathLike, metadata: Mapping[str, str] | None = None) -> Path:
        """Write the volume as safetensors with its metadata; the file appears whole or not at all.

        Args:
            path: file to write; the folder must exist.
            metadata: further strings to store (a workflow, say); see `metadata` of the class.

        Returns:
            The path.
        """
        from safetensors.torch import save

        path = Path(path)
        header = {
            **self.metadata,
            **(metadata or {}),
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "spectral_volume": json.dumps({"fps": self.fps, "period": self.period, "detrend": self.detrend}),
        }
        with atomic_write(path) as temporary:
            temporary.write_bytes(save({"coefficients": self.coefficients.contiguous().cpu()}, metadata=header))
        return path

    @classmethod
    def load(cls, path: str | os.PathLike) -> SpectralVolume:
        """Read a volume written by `save`. Only safetensors: nothing is unpickled.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the file is not safetensors, is cut short, or holds something else.
        """
        from safetensors import SafetensorError, safe_open

        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"No spectral volume at {path}.")
        try:
            with safe_open(path, framework="pt") as file:
                header = dict(file.metadata() or {})
                keys = sorted(file.keys())
                if header.get("format") != FORMAT:
                    raise ValueError(
                        f"{path.name} is not a spectral volume: it holds {keys[:4]}"
                        f"{' and more' if len(keys) > 4 else ''}. Load a file that "
                        "Save Spectral Volume (or SpectralVolume.save) wrote."
                    )
                if header.get("version") != FORMAT_VERSION:
                    raise ValueError(
                        f"{path.name} is a spectral volume of version {header.get('version')}; this "
                        f"software reads version {FORMAT_VERSION}. Update it, or save the file again."
                    )
                settings = json.loads(header.pop("spectral_volume"))
                values = float(settings["fps"]), int(settings["period"]), str(settings["detrend"])
                coefficients = file.get_tensor("coefficients")
        except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(
                f"{path.name} cannot be read as a spectral volume; it is cut short or damaged ({error})."
            ) from error
        extra = {key: value for key, value in header.items() if key not in ("format", "version")}
        return cls(coefficients, *values, extra)


def modal_sum(coefficients: Tensor, coordinates: Tensor) -> Tensor:
    """The one equation: F_t(p) = Re sum_k S_k(p) q_k(t), as one matrix product (paper eq. 6).

    Args:
        coefficients: float [B, K, 4, H, W], x_re, x_im, y_re, y_im.
        coordinates: float [frames, K, 2], real and imaginary part of q.

    Returns:
        float32 [B, frames, 2, H, W] displacements in pixels.
    """
    batch, bins, _, height, width = coefficients.shape
    frames = coordinates.shape[0]
    q = coordinates.to(coefficients)
    # Rows for x and for y over all four channels: the zeros cost arithmetic, but spare a copy of the volume.
    pair = torch.stack([q[..., 0], -q[..., 1]], dim=-1)
    matrix = q.new_zeros(frames, 2, bins, 4)
    matrix[:, 0, :, :2] = pair
    matrix[:, 1, :, 2:] = pair
    product = matrix.view(1, frames * 2, bins * 4) @ coefficients.reshape(batch, bins * 4, height * width)
    return product.view(batch, frames, 2, height, width)


def rfft_bins(displacement: Tensor, num_bins: int) -> Tensor:
    """First K bins of the temporal DFT of trajectories, unnormalized (paper eq. 2).

    Args:
        displacement: float [B, T, 2, H, W], samples of one period, F_0 included.
        num_bins: K, at most T // 2 + 1.

    Returns:
        float32 [B, K, 4, H, W].
    """
    batch, period, _, height, width = displacement.shape
    if not 1 <= num_bins <= period // 2 + 1:
        raise ValueError(f"{period} samples have 1 to {period // 2 + 1} bins; got num_bins={num_bins}.")
    angle = 2 * np.pi / period * np.outer(np.arange(num_bins), np.arange(period))
    basis = torch.as_tensor(np.stack([np.cos(angle), -np.sin(angle)], 1), dtype=displacement.dtype)  # [K, 2, T]
    flat = displacement.reshape(batch, period, -1)
    product = basis.to(displacement.device).reshape(1, num_bins * 2, period) @ flat
    slices = product.view(batch, num_bins, 2, 2, height, width)  # [B, K, re/im, x/y, H, W]
    return slices.transpose(2, 3).reshape(batch, num_bins, 4, height, width).float()
