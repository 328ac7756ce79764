"""The spectral volume: the motion of every pixel of a photo in the Fourier domain (paper section 3).

Conventions of the whole library
--------------------------------
* A displacement is (dx, dy) in pixels of the volume's own H x W grid: +x right, +y down, pixel centers at
  integers. Pixel p of the photo is at p + F_t(p) in frame t (paper eq. 1), and F_0 = 0.
* Bin k of the volume is rfft bin k of `period` = T samples that include F_0, taken at `fps`; its frequency is
  k * fps / T Hz. The forward transform has no factor, the inverse has the factor 1/T (paper eq. 2). The paper's
  volume has T = 150, fps = 30 and K = 16 bins.
* One slice holds four real numbers per pixel, in the order x_re, x_im, y_re, y_im. Complex tensors are never moved
  to a device, because complex scatter and FFT fail on some devices.
* Motion is the sum F_t(p) = Re sum_k S_k(p) q_k(t) (`modal_sum`). The modal coordinates q decide whether it loops,
  answers to a poke or moves in the wind (see `motion`).
* Images are [B, H, W, C] in 0..1 in the public functions and [B, C, H, W] inside the library.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import torch
from torch import Tensor

from .media.atomic import atomic_write
from .tensors import check_device, feather_mask, mask_batch, resize_maps, resize_mask, to_tensor
from .validation import (
    MAX_FRAMES,
    check_choice,
    check_instance,
    check_integer,
    check_number,
    check_path,
    check_rate,
    check_size,
    refuse,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

FORMAT = "gid.spectral_volume"
FORMAT_VERSION = "1"
DEFAULT_PERIOD = 150
DEFAULT_FPS = 30.0
DEFAULT_BINS = 16
DETREND_MODES = ("none", "ramp")


class _Attributes(TypedDict, total=False):
    """The attributes that `SpectralVolume.replace` may change."""

    coefficients: Tensor
    fps: float
    period: int
    detrend: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class SpectralVolume:
    """K frequency slices of motion for B photos, and the time base to play them.

    Two volumes are equal only if they are the same object. Compare `coefficients` to compare their motion.

    Attributes:
        coefficients: float32 [B, K, 4, H, W]; pixels x T (unnormalized transform), see the module's header.
        fps: samples per second of the T-sample window, > 0.
        period: T, the window's length in samples, a whole number >= 1 and >= 2 (K - 1), at most 100,000.
        detrend: "none" (as in the paper) or "ramp" (the line from F_0 to F_T was subtracted before the transform).
        metadata: how the volume was made; strings only, saved with it.

    Raises:
        ValueError: for another shape or dtype, values that are not finite, or an fps or period out of range.
    """

    coefficients: Tensor
    fps: float = DEFAULT_FPS
    period: int = DEFAULT_PERIOD
    detrend: str = "none"
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        c = self.coefficients
        if not isinstance(c, Tensor) or c.layout != torch.strided or c.ndim != 5 or c.shape[2] != 4 or min(c.shape) < 1:
            shape = tuple(c.shape) if hasattr(c, "shape") else type(c).__name__
            raise ValueError(f"A spectral volume is a tensor [B, K, 4, H, W]; got {shape}.")
        if not c.is_floating_point():
            raise ValueError(f"Spectral volume coefficients must be floating point; got {c.dtype}.")
        object.__setattr__(self, "coefficients", c.float())
        if not _all_finite(self.coefficients):
            raise ValueError("The spectral volume holds NaN or infinite coefficients; make or load it again.")
        object.__setattr__(self, "fps", check_rate("fps", self.fps, "samples of the volume per second"))
        min_period = max(1, 2 * (c.shape[1] - 1))
        meaning = f"samples; the volume has {c.shape[1]} bins"
        period = check_integer("period", self.period, min_period, MAX_FRAMES, meaning=meaning)
        object.__setattr__(self, "period", period)
        check_choice("detrend", self.detrend, DETREND_MODES)
        _check_metadata(self.metadata)

    def __len__(self) -> int:
        return self.coefficients.shape[0]

    @property
    def num_bins(self) -> int:
        """K, the number of frequency slices, including the constant one (bin 0)."""
        return self.coefficients.shape[1]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the volume's grid in pixels."""
        height, width = self.coefficients.shape[-2:]
        return height, width

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
        """float32 [B]: mean amplitude of the moving pixels, as a fraction of the image's width; 0 without motion.

        sum m^2 / sum m over all pixels, where m is the root mean square over one period of a pixel's distance from
        its mean position, computed from the bins above 0 (Parseval). Pixels are weighted by their own motion, so
        that a static background does not lower the result.
        """
        energy = self.coefficients[:, 1:].square().sum((1, 2)) * (2 / self.period**2)
        rms = energy.sqrt().flatten(1) / self.size[1]
        return rms.square().sum(1) / rms.sum(1).clamp_min(1e-20)

    def replace(self, **changes: Unpack[_Attributes]) -> SpectralVolume:
        """A copy with some attributes changed; it shares the tensors that are not changed."""
        known = "coefficients" not in changes
        if known:  # they were scanned for NaN when they were new
            changes["coefficients"] = self.coefficients[..., :1, :1]
        changed = dataclasses.replace(self, **changes)
        if known:
            object.__setattr__(changed, "coefficients", self.coefficients)
        return changed

    def to(self, device: torch.device | str) -> SpectralVolume:
        """The same volume with its coefficients on another device.

        Raises:
            ValueError: if torch cannot use the device here.
        """
        coefficients = self.coefficients.to(check_device(device))
        return self if coefficients is self.coefficients else self.replace(coefficients=coefficients)

    def resize(self, size: Sequence[int]) -> SpectralVolume:
        """The same motion on an (H, W) grid: interpolated, x scaled by the width ratio, y by the height ratio.

        Raises:
            ValueError: if it is not two whole numbers of pixels, from 1 to 16384.
        """
        height, width = check_size("size", size, meaning="pixels of the volume's grid")
        if (height, width) == self.size:
            return self
        batch, bins = self.coefficients.shape[:2]
        flat = resize_maps(self.coefficients.flatten(0, 1), (height, width))
        ratio = flat.new_tensor([width / self.size[1]] * 2 + [height / self.size[0]] * 2)
        return self.replace(coefficients=(flat * ratio.view(1, 4, 1, 1)).unflatten(0, (batch, bins)))

    def at_rest(self) -> SpectralVolume:
        """The same motion relative to its position at t = 0: bin 0 is real and makes F_0 = 0."""
        coefficients = self.coefficients.clone()
        moving = coefficients[:, 1:, 0::2].sum(1) * 2
        if self.period == 2 * (self.num_bins - 1):
            moving -= coefficients[:, -1, 0::2]  # the Nyquist bin has no mirror image
        coefficients[:, 0, 0::2], coefficients[:, 0, 1::2] = -moving, 0
        return self.replace(coefficients=coefficients)

    def amplify(self, gain: float = 1.0, band_gains: Sequence[float] | None = None) -> SpectralVolume:
        """Motion amplification (gain > 1) or minification (gain < 1), paper section 6.

        Args:
            gain: factor for every bin; 0 removes all motion, negative values reverse its direction.
            band_gains: further factors, spaced evenly from the lowest frequency (bin 1) to the highest and
                interpolated linearly between; (1, 1, 0) fades out the fast half. The constant bin takes the first.

        Raises:
            ValueError: if a gain is not finite or `band_gains` is empty.
        """
        gain = check_number("gain", gain, meaning="1 changes nothing")
        gains = to_tensor([1.0] if band_gains is None else band_gains, "band_gains", "or list").double().cpu().numpy()
        if gains.ndim != 1 or gains.size == 0 or not np.isfinite(gains).all():
            refuse("band_gains", "a list of finite numbers, at least one", band_gains)
        position = np.clip((np.arange(self.num_bins) - 1) / max(self.num_bins - 2, 1), 0, 1)
        per_bin = gain * np.interp(position, np.linspace(0, 1, gains.size), gains)
        scale = torch.as_tensor(per_bin, dtype=torch.float32, device=self.coefficients.device)
        return self.replace(coefficients=self.coefficients * scale.view(1, -1, 1, 1, 1))

    def mask(self, mask: Tensor, feather: float = 0.0) -> SpectralVolume:
        """Keep motion where `mask` is white (1) and remove it where `mask` is black (0).

        Args:
            mask: [H', W'] or [B', H', W'] in 0..1, of any size; B' is 1 or B.
            feather: width of the soft edge in mask pixels; the edge lies inside the white region, so that black
                pixels do not move.

        Raises:
            ValueError: if the mask's shape or batch does not fit, or if it is not finite.
        """
        soft = feather_mask(mask_batch(mask, len(self)), feather)
        soft = resize_mask(soft, self.size).to(self.coefficients.device)
        return self.replace(coefficients=self.coefficients * soft.unsqueeze(1))

    def save(self, path: str | os.PathLike, metadata: Mapping[str, str] | None = None) -> Path:
        """Write the volume and its metadata as a safetensors file, atomically.

        Args:
            path: file to write; the folder must exist.
            metadata: further strings to store, such as a workflow; see the attribute `metadata`.

        Returns:
            The path.
        """
        from safetensors.torch import save

        path = check_path("path", path)
        _check_metadata({} if metadata is None else metadata)
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
        """Read a volume that `save` wrote. Only safetensors files are read; nothing is unpickled.

        Raises:
            FileNotFoundError: if the file does not exist.
            ValueError: if no file can have this path, or it is not safetensors, is truncated, or holds something else.
        """
        from safetensors import SafetensorError, safe_open

        path = check_path("path", path)
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
                time_base = settings["fps"], settings["period"], settings["detrend"]
                coefficients = file.get_tensor("coefficients")
        except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(
                f"{path.name} cannot be read as a spectral volume; it is cut short or damaged ({error})."
            ) from error
        metadata = {key: value for key, value in header.items() if key not in ("format", "version")}
        return cls(coefficients, *time_base, metadata)


def _all_finite(tensor: Tensor) -> bool:
    """Whether no value is NaN or infinite. A sum that meets one never becomes finite again."""
    return math.isfinite(float(tensor.sum())) or bool(torch.isfinite(tensor).all())


def _check_metadata(metadata: Mapping[str, str]) -> None:
    check_instance("metadata", metadata, Mapping, "a mapping of strings to strings")
    for text in (*metadata.keys(), *metadata.values()):
        check_instance("metadata", text, str, "a mapping of strings to strings")


def temporal_dft(displacement: Tensor, num_bins: int) -> Tensor:
    """First K bins of the temporal DFT of trajectories, unnormalized (paper eq. 2).

    The inverse is `modal_sum` with the coordinates of `motion.playback_coordinates`. It lacks the bins from K on.

    Args:
        displacement: float [B, T, 2, H, W], the T samples of one period, F_0 included.
        num_bins: K, at most T // 2 + 1.

    Returns:
        float32 [B, K, 4, H, W]: x_re, x_im, y_re, y_im.

    Raises:
        ValueError: if T samples do not have so many bins.
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


def modal_sum(coefficients: Tensor, coordinates: Tensor) -> Tensor:
    """Displacements F_t(p) = Re sum_k S_k(p) q_k(t), as one matrix product (paper eq. 6).

    Args:
        coefficients: float [B, K, 4, H, W], x_re, x_im, y_re, y_im.
        coordinates: float [frames, K, 2], real and imaginary part of the modal coordinates q.

    Returns:
        float32 [B, frames, 2, H, W] displacements in pixels.

    Raises:
        ValueError: if the shapes are others, or do not fit together.
    """
    coefficients = to_tensor(coefficients, "coefficients", "[B, K, 4, H, W]")
    coordinates = to_tensor(coordinates, "coordinates", "[frames, K, 2]")
    if coefficients.ndim != 5 or coefficients.shape[2] != 4 or coordinates.shape[1:] != (coefficients.shape[1], 2):
        raise ValueError(
            "modal_sum takes coefficients [B, K, 4, H, W] and coordinates [frames, K, 2] of equally many bins K; got "
            f"{list(coefficients.shape)} and {list(coordinates.shape)}."
        )
    batch, bins, _, height, width = coefficients.shape
    frames = coordinates.shape[0]
    q = coordinates.to(coefficients)
    # One row for x and one for y, each over all four channels: multiplying by zeros is cheaper than a copy of the
    # volume.
    weights = torch.stack([q[..., 0], -q[..., 1]], dim=-1)
    matrix = q.new_zeros(frames, 2, bins, 4)
    matrix[:, 0, :, :2] = weights
    matrix[:, 1, :, 2:] = weights
    product = matrix.view(1, frames * 2, bins * 4) @ coefficients.reshape(batch, bins * 4, height * width)
    return product.view(batch, frames, 2, height, width)
