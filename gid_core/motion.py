"""Motion: a spectral volume and the modal coordinates that play it (paper eq. 6)."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .spectral_volume import SpectralVolume, modal_sum


@dataclass(frozen=True)
class Motion:
    """What moves (a volume) and how (modal coordinates over time).

    Frames x H x W displacements are never stored: `displacement` evaluates the frames asked for.

    Attributes:
        volume: the spectral volume.
        coordinates: float32 [frames, K, 2], real and imaginary part of q_k(t).
        fps: frames a second, > 0.
        loops: whether frame 0 follows the last frame without a seam.
    """

    volume: SpectralVolume
    coordinates: Tensor
    fps: float
    loops: bool = False

    def __post_init__(self):
        shape, bins = tuple(self.coordinates.shape), self.volume.num_bins
        if len(shape) != 3 or shape[0] < 1 or shape[1:] != (bins, 2):
            raise ValueError(f"Modal coordinates of a volume with {bins} bins are [frames, {bins}, 2]; got {shape}.")
        if not bool(torch.isfinite(self.coordinates).all()):
            raise ValueError("The modal coordinates hold NaN or infinite values.")
        if not (self.fps > 0 and math.isfinite(self.fps)):
            raise ValueError(f"fps must be > 0; got {self.fps}.")

    def __len__(self) -> int:
        return self.coordinates.shape[0]

    def displacement(self, start: int = 0, stop: int | None = None) -> Tensor:
        """Displacements of frames start..stop-1 on the volume's grid.

        Returns:
            float32 [B, frames, 2, H, W], (dx, dy) in pixels of the volume's grid.

        Raises:
            ValueError: if the range is empty or outside the motion.
        """
        stop = len(self) if stop is None else stop
        if not 0 <= start < stop <= len(self):
            raise ValueError(f"Frames {start}..{stop} are outside this motion of {len(self)} frames.")
        return modal_sum(self.volume.coefficients, self.coordinates[start:stop])

    def magnitude(self, max_samples: int = 48) -> Tensor:
        """Mean length of the displacement over time, W(p) of the paper: float32 [B, H, W] in pixels.

        At most `max_samples` frames spread over the motion are averaged, a few at a time.
        """
        count = min(len(self), max_samples)
        frames = torch.linspace(0, len(self) - 1, count).round().long()
        total = 0
        for some in frames.split(8):
            dx, dy = modal_sum(self.volume.coefficients, self.coordinates[some]).unbind(2)
            total = total + torch.hypot(dx, dy).sum(1)
        return total / count

    def retime(self, speed: float = 1.0, num_frames: int | None = None) -> Motion:
        """Slow motion (speed < 1) or fast motion (> 1): the coordinates resampled in time.

        A looping motion stays a loop: its coordinates are periodic and are resampled exactly, by their Fourier
        series. Another is resampled by cubic interpolation.

        Args:
            speed: factor of speed, > 0.
            num_frames: frames to make, instead of a speed.

        Raises:
            ValueError: if speed or num_frames is not positive, or both are given.
        """
        _check_speed(speed)
        if num_frames is not None and speed != 1:
            raise ValueError(f"Give speed or num_frames, not both; got {speed} and {num_frames}.")
        count = max(1, round(len(self) / speed)) if num_frames is None else num_frames
        if count < 1:
            raise ValueError(f"num_frames must be at least 1; got {num_frames}.")
        resample = _resample_periodic if self.loops else _resample_cubic
        return dataclasses.replace(self, coordinates=resample(self.coordinates, count))


def loop(volume: SpectralVolume, num_frames: int | None = None, speed: float = 1.0, fps: float | None = None) -> Motion:
    """Seamless looping playback of a spectral volume.

    The inverse transform of integer bins repeats after T samples, so frame N is frame 0 whatever the volume
    holds. The constant bin is re-derived so that F_0 = 0 and the first frame is the photo: it enters as q - q(0).

    Args:
        volume: what to play.
        num_frames: length N of the loop; default: one period at this speed and fps. Another length plays the
            nearest whole number of periods (at least one) in N frames, at a speed as near to `speed` as that allows.
        speed: 0.5 is slow motion at half speed, 2 is double speed; > 0.
        fps: frames a second of the result; default: the volume's.

    Returns:
        A looping `Motion` with N frames.

    Raises:
        ValueError: if an argument is out of range.
    """
    _check_speed(speed)
    fps = volume.fps if fps is None else fps
    if not (fps > 0 and math.isfinite(fps)):
        raise ValueError(f"fps must be > 0; got {fps}.")
    period_frames = volume.duration * fps / speed
    count = max(2, round(period_frames)) if num_frames is None else num_frames
    if count < 1:
        raise ValueError(f"num_frames must be at least 1; got {num_frames}.")
    cycles = max(1, round(count / period_frames))
    time = torch.arange(count, dtype=torch.float64) * (cycles * volume.period / count)
    return Motion(volume, playback_coordinates(volume, time), float(fps), loops=True)


def playback(volume: SpectralVolume) -> Motion:
    """A volume played once, as it was measured: every bin as stored, the constant one too, so F_0 is near 0 only.

    With `detrend="none"` this is the low-passed motion of the clip; frames are the window's T samples.
    """
    time = torch.arange(volume.period, dtype=torch.float64)
    return Motion(volume, playback_coordinates(volume, time, pin=False), volume.fps)


def playback_coordinates(volume: SpectralVolume, time: Tensor, pin: bool = True) -> Tensor:
    """Modal coordinates of the inverse transform at given times.

    Args:
        volume: gives T and K.
        time: float [frames], in samples of the volume's window.
        pin: re-derive the constant bin so that F_0 = 0 (default), or play it as it is stored.

    Returns:
        float32 [frames, K, 2].
    """
    bins = torch.arange(volume.num_bins, dtype=torch.float64)
    angle = time.double()[:, None] * bins * (2 * math.pi / volume.period)
    weight = torch.full((volume.num_bins,), 2.0 / volume.period, dtype=torch.float64)
    weight[0] /= 2  # bin 0 has no mirror image in the full spectrum
    if volume.period == 2 * (volume.num_bins - 1):
        weight[-1] /= 2  # nor has the Nyquist bin
    q = torch.stack([torch.cos(angle), torch.sin(angle)], -1)
    if pin:
        q[..., 0] -= 1
    return (q * weight[:, None]).float()


def limit_displacement(volume: SpectralVolume, max_fraction: float) -> SpectralVolume:
    """Scale motion down, pixel by pixel, so that no displacement of its loop exceeds a share of the width.

    Small motion passes unchanged to second order; large motion approaches the limit smoothly.

    Args:
        volume: the volume to limit.
        max_fraction: largest displacement as a fraction of the grid's width, > 0.
    """
    if not max_fraction > 0:
        raise ValueError(f"max_fraction must be > 0; got {max_fraction}.")
    motion = loop(volume)
    peak = torch.zeros_like(volume.coefficients[:, 0, 0])
    for frame in range(len(motion)):
        peak = torch.maximum(peak, torch.hypot(*motion.displacement(frame, frame + 1)[:, 0].unbind(1)))
    ratio = peak / (max_fraction * volume.size[1])
    scale = torch.where(ratio > 1e-4, torch.tanh(ratio) / ratio.clamp(min=1e-4), 1.0)
    return volume.replace(coefficients=volume.coefficients * scale[:, None, None])


def _check_speed(speed: float) -> None:
    if not (speed > 0 and math.isfinite(speed)):
        raise ValueError(f"speed must be a number > 0 (1 = as it is, 0.5 = half speed); got {speed}.")


def _resample_periodic(coordinates: Tensor, count: int) -> Tensor:
    """Trigonometric interpolation of [frames, K, 2] periodic samples at `count` even points, exact by the DFT."""
    frames = coordinates.shape[0]
    spectrum = torch.fft.rfft(coordinates.double().cpu(), dim=0) / frames
    bins = torch.arange(spectrum.shape[0], dtype=torch.float64)
    weight = torch.full_like(bins, 2.0)
    weight[0] = 1
    if frames % 2 == 0:
        weight[-1] = 1
    angle = torch.arange(count, dtype=torch.float64)[:, None] * bins * (2 * math.pi / count)
    basis = torch.polar(weight.expand_as(angle), angle)
    return torch.einsum("nf,fkc->nkc", basis, spectrum).real.to(coordinates)


def _resample_cubic(coordinates: Tensor, count: int) -> Tensor:
    """Cubic interpolation of [frames, K, 2] samples at `count` points from the first to the last."""
    rows = coordinates.permute(1, 2, 0).flatten(0, 1)[None, :, None]
    resampled = F.interpolate(rows, size=(1, count), mode="bicubic", align_corners=True)
    return resampled[0, :, 0].unflatten(0, coordinates.shape[1:]).permute(2, 0, 1).contiguous()
