"""The modes of a spectral volume: everything that pokes, wind and audio need to know about it.

Bin 0 is not a mode: it does not oscillate. For the forces the photo is the rest position, so its modal coordinate
stays 0.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from ..motion import Motion
from ..spectral_volume import SpectralVolume

# The point that a poke moves. The page uses the same numbers (js/constants.js).
STATIC_THRESHOLD = 0.02  # a pixel moves if its activity is above this share of STATIC_QUANTILE of the activity
STATIC_QUANTILE = 0.99  # quantile over the pixels of the photo
SEARCH_RADIUS = 0.02  # how far from a static point a moving one is searched, as a fraction of the width
# Size of the motion of a random force.
PEAK_FACTOR = 3.0  # largest displacement over its rms, which the soft limit assumes
STEP_ENERGY_SIDE = 160  # `Modes.step_energy` samples at most this many pixels along the longest side
STEP_ENERGY_BINS = 16  # with more modes than this, it samples proportionally fewer pixels

Number = TypeVar("Number", float, np.ndarray)


class Modes:
    """The modes of a spectral volume; each property is computed once, when it is first used.

    Attributes:
        volume: the spectral volume, of one or several photos.
    """

    def __init__(self, volume: SpectralVolume) -> None:
        self.volume = volume

    @property
    def num_bins(self) -> int:
        """K, the number of bins, bin 0 included."""
        return self.volume.num_bins

    @cached_property
    def frequencies(self) -> np.ndarray:
        """f_k of each bin in Hz, float64 [K]; 0 for bin 0."""
        return np.arange(self.num_bins) * (self.volume.fps / self.volume.period)

    @cached_property
    def omega(self) -> np.ndarray:
        """w_k = 2 pi f_k of each bin in rad/s, float64 [K]; 0 for bin 0."""
        return np.arange(self.num_bins) * (2 * math.pi * self.volume.fps / self.volume.period)

    @cached_property
    def activity(self) -> Tensor:
        """How much each pixel moves: (sum_{k>0} |S_k(p)|^2)^(1/2), float32 [B, H, W].

        The rms displacement of the loop is 2^(1/2) / T times the activity, in pixels.
        """
        return _activity(self.volume.coefficients)

    @cached_property
    def static_threshold(self) -> float:
        """Activity of the first photo at or below which a pixel counts as static."""
        return STATIC_THRESHOLD * float(np.quantile(self.activity[0].cpu().numpy(), STATIC_QUANTILE))

    @cached_property
    def max_rms_displacement(self) -> float:
        """Rms displacement in the loop of the pixel that moves most, in pixels."""
        return float(self.activity.max()) * math.sqrt(2) / self.volume.period

    @property
    def loop_magnitude(self) -> float:
        """|q_k| of each mode in the volume's loop: 2 / T."""
        return 2 / self.volume.period

    @cached_property
    def step_energy(self) -> np.ndarray:
        """G, the Gram matrix that measures how far a step of the modes moves the photo: float64 [2 K, 2 K].

        d G d = sum_p m(p)^2 |F(p)|^2, where d = (re_0, im_0, re_1, ...) are modal coordinates, F is their displacement
        field and m(p) is the activity. If the volume is large or has many bins, only every n-th row and column counts.
        """
        volume, num_bins = self.volume, self.num_bins
        stride = math.ceil(max(volume.size) / STEP_ENERGY_SIDE * max(1, (num_bins - 1) / STEP_ENERGY_BINS))
        coefficients = volume.coefficients[..., ::stride, ::stride]
        gram = torch.zeros(2 * num_bins, 2 * num_bins, device=coefficients.device)
        for slices, activity in zip(coefficients, self.activity[..., ::stride, ::stride], strict=True):
            for axis in slices.unflatten(1, (2, 2)).unbind(1):  # x, y: [K, (re, im), H, W]
                rows = (axis * activity).flatten(2).flatten(0, 1)
                gram += rows @ rows.T
        sign = np.tile([1.0, -1.0], num_bins)  # Re(S q) = re S re q - im S im q
        return sign * gram.cpu().double().numpy() * sign[:, None]

    @cached_property
    def _alignment_sums(self) -> tuple[np.ndarray, np.ndarray]:
        """Sums over pixels weighted by activity: of each slice, float64 [K, 4], and of its length, float64 [K]."""
        coefficients, activity = self.volume.coefficients, self.activity
        sums = torch.einsum("bkchw,bhw->kc", coefficients, activity).cpu().double().numpy()
        lengths = [(slice_.square().sum(1).sqrt() * activity).sum() for slice_ in coefficients.unbind(1)]
        return sums, torch.stack(lengths).cpu().double().numpy()

    def alignment(self, direction_degrees: float) -> np.ndarray:
        """u_k: the phase in which mode k moves along a direction, and how well it can: complex [K], |u| <= 1.

        conj(sum_p m(p) d . S_k(p)) / sum_p m(p) |S_k(p)| with the activity m(p); 0 for modes that do not move.

        Args:
            direction_degrees: 0 is right, 90 is down.
        """
        angle = math.radians(direction_degrees)
        sums, lengths = self._alignment_sums
        along = math.cos(angle) * sums[:, :2] + math.sin(angle) * sums[:, 2:]  # re and im
        aligned = np.divide(along @ [1, -1j], lengths, out=np.zeros(len(lengths), complex), where=lengths > 0)
        aligned[0] = 0
        return aligned

    def limit_factor(self, strength: float, max_displacement: float) -> float:
        """Factor of the soft limit for a random force that moves `strength` times as far as the loop.

        Args:
            strength: >= 0.
            max_displacement: the limit as a fraction of the width, > 0.
        """
        peak = strength * PEAK_FACTOR * self.max_rms_displacement
        return float(soft_limit(peak, max_displacement * self.volume.size[1]))

    def sample(self, column: float, row: float) -> np.ndarray:
        """S_k of the first photo at a position in pixels, bilinear: float64 [K, 4]."""
        return _bilinear(self.volume.coefficients[0], column, row).cpu().double().numpy()

    def find_point(self, x: float, y: float) -> tuple[float, float] | None:
        """The point of the first photo that a poke at fractions (x, y) moves.

        Returns:
            (column, row) in pixels: the point itself if it moves, else the most active pixel within SEARCH_RADIUS;
            None if nothing moves there.
        """
        activity, threshold = self.activity[0], self.static_threshold
        height, width = activity.shape
        column, row = min(max(x * width - 0.5, 0), width - 1), min(max(y * height - 0.5, 0), height - 1)
        if _bilinear(activity, column, row) > threshold:
            return column, row
        radius = SEARCH_RADIUS * width
        left, top = max(math.ceil(column - radius), 0), max(math.ceil(row - radius), 0)
        window = activity[top : math.floor(row + radius) + 1, left : math.floor(column + radius) + 1]
        if window.numel() == 0:
            return None
        rows = torch.arange(window.shape[0], device=window.device)[:, None] + top - row
        columns = torch.arange(window.shape[1], device=window.device) + left - column
        window = torch.where(rows**2 + columns**2 <= radius**2, window, 0)
        best = int(window.argmax())
        if not float(window.flatten()[best]) > threshold:
            return None
        return float(best % window.shape[1] + left), float(best // window.shape[1] + top)

    def make_motion(self, coordinates: np.ndarray, fps: float, *, loops: bool = False) -> Motion:
        """A motion of the volume from complex modal coordinates [frames, K]."""
        pairs = np.stack([coordinates.real, coordinates.imag], -1) + 0.0  # -0 becomes 0
        return Motion(self.volume, torch.from_numpy(pairs).float(), float(fps), loops)


def soft_limit(peak: Number, limit: float) -> Number:
    """Factor that keeps peak x factor below `limit`: 1 / (1 + (peak / limit)^4)^(1/4), about 1 for small peaks."""
    with np.errstate(over="ignore"):  # the factor of an endless peak is 0
        return (1 + np.float64(peak / limit) ** 4) ** -0.25


def _activity(coefficients: Tensor) -> Tensor:
    """(sum_{k>0} |S_k(p)|^2)^(1/2) of coefficients [B, K, 4, H, W]: float32 [B, H, W]."""
    total = torch.zeros_like(coefficients[:, 0, 0])
    for slice_ in coefficients[:, 1:].unbind(1):  # one at a time: six times as fast as all at once
        total += slice_.square().sum(1)
    return total.sqrt()


def _bilinear(maps: Tensor, column: float, row: float) -> Tensor:
    """Maps [..., H, W] at a position between pixel centers."""
    height, width = maps.shape[-2:]
    left, top = min(int(column), max(width - 2, 0)), min(int(row), max(height - 2, 0))
    patch = maps[..., top : top + 2, left : left + 2]
    u, v = column - left, row - top
    rows = patch[..., 0] * (1 - u) + patch[..., -1] * u
    return rows[..., 0] * (1 - v) + rows[..., -1] * v
