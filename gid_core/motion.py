"""Motion over time: a spectral volume and the modal coordinates that play it (paper eq. 6)."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .spectral_volume import SpectralVolume, modal_sum
from .tensors import to_tensor
from .validation import (
    MAX_FRAMES,
    check_flag,
    check_frame_count,
    check_instance,
    check_integer,
    check_number,
    check_rate,
)

# Frames whose displacements `Motion.magnitude` holds at a time.
MAGNITUDE_CHUNK = 8
# `limit_displacement` keeps motion below this multiple of the limit exactly as it is.
NEGLIGIBLE_RATIO = 1e-4


@dataclass(frozen=True, eq=False)
class Motion:
    """A spectral volume and its modal coordinates over time.

    The displacements of all frames are never stored: `displacement` computes the requested frames. Two motions are
    equal only if they are the same object.

    Attributes:
        volume: the spectral volume.
        coordinates: float32 [frames, K, 2], real and imaginary part of q_k(t).
        fps: frames per second, > 0.
        loops: whether frame 0 follows the last frame without a seam.
    """

    volume: SpectralVolume
    coordinates: Tensor
    fps: float
    loops: bool = False

    def __post_init__(self) -> None:
        check_instance("volume", self.volume, SpectralVolume, "a spectral volume")
        coordinates = to_tensor(self.coordinates, "coordinates", "[frames, K, 2]")
        shape, bins = tuple(coordinates.shape), self.volume.num_bins
        if len(shape) != 3 or shape[0] < 1 or shape[1:] != (bins, 2):
            raise ValueError(f"Modal coordinates of a volume with {bins} bins are [frames, {bins}, 2]; got {shape}.")
        check_frame_count("The number of frames of a motion", shape[0])
        if not bool(torch.isfinite(coordinates).all()):
            raise ValueError("The modal coordinates hold NaN or infinite values.")
        object.__setattr__(self, "coordinates", coordinates.float())
        object.__setattr__(self, "fps", check_rate("fps", self.fps, "frames per second"))
        object.__setattr__(self, "loops", check_flag("loops", self.loops))

    def __len__(self) -> int:
        return self.coordinates.shape[0]

    def displacement(self, start: int = 0, stop: int | None = None) -> Tensor:
        """Displacements of frames start..stop-1 on the volume's grid.

        Returns:
            float32 [B, frames, 2, H, W], (dx, dy) in pixels of the volume's grid.

        Raises:
            ValueError: if the range is empty or outside the motion.
        """
        start = check_integer("start", start)
        stop = len(self) if stop is None else check_integer("stop", stop)
        if not 0 <= start < stop <= len(self):
            raise ValueError(f"Frames {start}..{stop} are outside this motion of {len(self)} frames.")
        return modal_sum(self.volume.coefficients, self.coordinates[start:stop])

    def magnitude(self, max_samples: int = 48) -> Tensor:
        """Mean length of the displacement over time, W(p) of the paper: float32 [B, H, W] in pixels.

        At most `max_samples` frames are averaged; they are spaced evenly over the motion.
        """
        count = min(len(self), check_integer("max_samples", max_samples, 1))
        frames = torch.linspace(0, len(self) - 1, count).round().long()
        total = torch.zeros_like(self.volume.coefficients[:, 0, 0])
        for chunk in frames.split(MAGNITUDE_CHUNK):
            dx, dy = modal_sum(self.volume.coefficients, self.coordinates[chunk]).unbind(2)
            total = total + torch.hypot(dx, dy).sum(1)
        return total / count

    def retime(self, speed: float = 1.0, *, num_frames: int | None = None) -> Motion:
        """Slow motion (speed < 1) or fast motion (speed > 1): the coordinates resampled in time.

        A looping motion stays a loop: its coordinates are periodic, and their Fourier series is resampled exactly.
        Any other motion is resampled by cubic interpolation.

        Args:
            speed: relative speed, > 0.
            num_frames: number of frames of the result, a whole number; give either this or a speed.

        Raises:
            ValueError: if speed or num_frames is not positive, both are given, or more than 100,000 frames come out.
        """
        speed = _check_speed(speed)
        if num_frames is not None and speed != 1:
            raise ValueError(f"Give speed or num_frames, not both; got {speed} and {num_frames}.")
        count = _frame_count(num_frames, max(1, round(len(self) / speed)))
        resample = _resample_periodic if self.loops else _resample_cubic
        return dataclasses.replace(self, coordinates=resample(self.coordinates, count))


def loop(
    volume: SpectralVolume, num_frames: int | None = None, *, speed: float = 1.0, fps: float | None = None
) -> Motion:
    """Seamless looping playback of a spectral volume.

    The inverse transform of whole bins repeats after T samples, so that frame N equals frame 0 for every volume. The
    constant bin is replaced so that F_0 = 0 and the first frame is the photo: the coordinates are q(t) - q(0).

    Args:
        volume: the volume to play.
        num_frames: length N of the loop; None is one period at this speed and fps. Any other length plays the
            nearest whole number of periods (at least one) in N frames, at a speed as close to `speed` as possible.
        speed: 0.5 is half speed, 2 is double speed; > 0.
        fps: frames per second of the result; None is the volume's.

    Returns:
        A looping `Motion` with N frames.

    Raises:
        ValueError: if an argument is out of range.
    """
    check_instance("volume", volume, SpectralVolume, "a spectral volume")
    speed = _check_speed(speed)
    fps = volume.fps if fps is None else check_rate("fps", fps, "frames per second")
    period_frames = volume.duration * fps / speed
    count = _frame_count(num_frames, max(2, round(period_frames)))
    cycles = max(1, round(count / period_frames))
    time = torch.arange(count, dtype=torch.float64) * (cycles * volume.period / count)
    return Motion(volume, playback_coordinates(volume, time), fps, loops=True)


def playback(volume: SpectralVolume) -> Motion:
    """A volume played once as it was measured. The constant bin is used as stored, so that F_0 is only near 0.

    With `detrend="none"` this is the low-pass filtered motion of the clip; the frames are the T samples of the window.

    Raises:
        ValueError: if `volume` is something else.
    """
    check_instance("volume", volume, SpectralVolume, "a spectral volume")
    time = torch.arange(volume.period, dtype=torch.float64)
    return Motion(volume, playback_coordinates(volume, time, start_at_rest=False), volume.fps)


def playback_coordinates(volume: SpectralVolume, time: Tensor, *, start_at_rest: bool = True) -> Tensor:
    """Modal coordinates of the inverse transform at given times.

    Args:
        volume: the volume to play; gives T and K.
        time: float [frames], in samples of the volume's window.
        start_at_rest: replace the constant bin so that F_0 = 0, or else use it as stored.

    Returns:
        float32 [frames, K, 2].
    """
    bins = torch.arange(volume.num_bins, dtype=torch.float64)
    angle = time.double()[:, None] * bins * (2 * math.pi / volume.period)
    weight = torch.full((volume.num_bins,), 2.0 / volume.period, dtype=torch.float64)
    # Bin 0 and the Nyquist bin have no conjugate in the full spectrum.
    weight[0] /= 2
    if volume.period == 2 * (volume.num_bins - 1):
        weight[-1] /= 2
    q = torch.stack([torch.cos(angle), torch.sin(angle)], -1)
    if start_at_rest:
        q[..., 0] -= 1
    return (q * weight[:, None]).float()


def limit_displacement(volume: SpectralVolume, max_fraction: float) -> SpectralVolume:
    """Reduce the motion of each pixel so that no displacement of its loop exceeds a fraction of the width.

    Small motion is unchanged to second order; large motion approaches the limit smoothly (tanh).

    Args:
        volume: the volume to limit.
        max_fraction: largest displacement as a fraction of the grid's width, > 0.

    Raises:
        ValueError: if `max_fraction` is not a finite number > 0.
    """
    check_instance("volume", volume, SpectralVolume, "a spectral volume")
    max_fraction = check_number("max_fraction", max_fraction, above=0, meaning="a fraction of the width")
    motion = loop(volume)
    peak = torch.zeros_like(volume.coefficients[:, 0, 0])
    for frame in range(len(motion)):
        peak = torch.maximum(peak, torch.hypot(*motion.displacement(frame, frame + 1)[:, 0].unbind(1)))
    ratio = peak / (max_fraction * volume.size[1])
    scale = torch.where(ratio > NEGLIGIBLE_RATIO, torch.tanh(ratio) / ratio.clamp(min=NEGLIGIBLE_RATIO), 1.0)
    return volume.replace(coefficients=volume.coefficients * scale[:, None, None])


def check_motion(motion: Motion) -> Motion:
    """The motion.

    Raises:
        ValueError: if it is something else.
    """
    return check_instance("motion", motion, Motion, "a Motion, which loop, playback, poke, wind and from_audio make")


def _check_speed(speed: float) -> float:
    return check_rate("speed", speed, "1 = unchanged, 0.5 = half speed")


def _frame_count(num_frames: int | None, natural_count: int) -> int:
    """The number of frames that was asked for, or else that the speed and the frame rate give."""
    if num_frames is not None:
        return check_frame_count("num_frames", num_frames)
    if natural_count > MAX_FRAMES:
        raise ValueError(
            f"This speed and fps give {natural_count} frames; at most {MAX_FRAMES} are allowed. Raise the speed, lower "
            "fps, or give num_frames."
        )
    return natural_count


def _resample_periodic(coordinates: Tensor, count: int) -> Tensor:
    """Trigonometric interpolation of periodic samples [frames, K, 2] at `count` evenly spaced times (exact, by DFT)."""
    frames = coordinates.shape[0]
    spectrum = torch.fft.rfft(coordinates.double().cpu(), dim=0, norm="forward")
    spectrum[1 : (frames + 1) // 2] *= 2
    # At `count` times, frequencies that differ by `count` are one.
    aliases = torch.arange(len(spectrum)) % count
    folded = spectrum.new_zeros(count, *spectrum.shape[1:]).index_add_(0, aliases, spectrum)
    return torch.fft.ifft(folded, dim=0, norm="forward").real.to(coordinates)


def _resample_cubic(coordinates: Tensor, count: int) -> Tensor:
    """Cubic interpolation of samples [frames, K, 2] at `count` evenly spaced times from the first to the last."""
    rows = coordinates.permute(1, 2, 0).flatten(0, 1)[None, :, None]
    resampled = F.interpolate(rows, size=(1, count), mode="bicubic", align_corners=True)
    return resampled[0, :, 0].unflatten(0, coordinates.shape[1:]).permute(2, 0, 1).contiguous()
