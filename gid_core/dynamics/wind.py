"""Wind: endless or looping breeze on the modes of a volume. Not in the paper.

Every mode k is driven by turbulence near its own frequency, which comes in gusts w(t), and leans with the wind:

    r_k(t) = (2 / T) A w(t) (n_k s_k(t) + L u_k)

* s_k(t) = sum_j b_j exp(i (2 pi f_j t + phase_j)): twelve turning arrows within half an octave of f_k, heavier near it.
  They turn the way bin k turns in the loop, so places keep their order of motion.
* n_k makes the answer of the mode, an oscillator with the transfer function H_k, as large as in the loop:
  1 / sqrt(sum_f |sum_{f_j = f} b_j exp(i phase_j)|^2 |H_k(f)|^2).
* w(t) = (1 + I g(t))^2 / sqrt(1 + 6 I^2 + 3 I^4), I = 0.35 gustiness: the pressure of a wind whose speed g varies by
  the spectrum of turbulence, S(f) ~ (1 + (f / 0.2 Hz)^2)^(-5/6) (von Karman), over 0.03 .. 0.4 Hz.
* u_k says how far mode k moves along the wind, |u_k| <= 1; L = 0.5 is how far it leans.

A loop is turned so that it begins, and so ends, at its calmest moment: the seam is never where it moves most.

All of chance are phases and jitter from mulberry32, one stream for each mode and one for the gusts, and all sums are
plain, so that the live view in the page (js/wind.js) blows the same wind.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from ..motion import Motion
from ..spectral_volume import SpectralVolume
from .modes import angular_frequencies, bin_motion, check_settings, make_motion, soft_limit
from .oscillators import DEFAULT_DAMPING, Damping, simulate

ARROWS = 12  # turning arrows a mode
OCTAVES = 0.5  # how far from a mode's frequency they reach
BELL = 0.25  # octaves: deviation of their weights
GUSTS = np.geomspace(0.03, 0.4, 8)  # Hz
CORNER = 0.2  # Hz
INTENSITY = 0.35
LEAN = 0.5
FADE_IN = 1.0  # seconds of the result until an endless wind blows fully
CALM = 5  # frames on either side of a loop's seam that are to be calm
LOOKED_AT = 160  # pixels along the longest side, to find it
PEAK = 3.0  # times the rms: how far wind is taken to push at most
MAX_SEED = 2**32


def wind(
    volume: SpectralVolume,
    direction_degrees: float = 0.0,
    strength: float = 1.0,
    gustiness: float = 0.5,
    num_frames: int = 300,
    fps: float | None = None,
    seed: int = 0,
    loops: bool = False,
    damping: Damping = DEFAULT_DAMPING,
    speed: float = 1.0,
    max_displacement: float = 0.25,
    integrator: str = "exact",
) -> Motion:
    """The answer of a volume's modes to wind.

    Args:
        volume: of one or several photos.
        direction_degrees: where the wind blows to: 0 is right, 90 down.
        strength: 1 sways as far as the volume's loop does, >= 0. It is softly limited by `max_displacement`.
        gustiness: 0 (an even breeze) to 1 (gusts and lulls).
        num_frames, fps: frames to make, >= 1, and how many a second; default: the volume's.
        seed: another seed, another wind; a whole number >= 0, of which the low 32 bits count.
        loops: False begins with the photo at rest and never repeats; True makes a seamless loop, which begins and
            ends in motion, where it is calmest.
        damping: of the modes.
        speed: of the wind and of the modes, > 0.
        max_displacement: how far pixels are pushed at most, softly, as a fraction of the width.
        integrator: "exact", or one of `modal.INTEGRATORS`.

    Returns:
        A `Motion`; the same arguments give the same one everywhere.

    Raises:
        ValueError: if an argument is out of range.
    """
    fps = check_settings(volume, num_frames, fps, speed, strength, max_displacement)
    if not math.isfinite(direction_degrees):
        raise ValueError(f"direction_degrees must be a finite number; got {direction_degrees}.")
    if not 0 <= gustiness <= 1:
        raise ValueError(f"gustiness is 0 (even) to 1 (gusts and lulls); got {gustiness}.")
    if seed != int(seed) or seed < 0:
        raise ValueError(f"seed must be a whole number >= 0; got {seed}.")
    omega = angular_frequencies(volume)
    gamma = damping.rates(omega)
    dt = speed / fps
    time = np.arange(num_frames) * dt
    span = num_frames * dt if loops else None
    rest = blow(omega, gamma, time, lean(volume, direction_degrees), gustiness, int(seed), span)
    rest *= strength * reach(volume, strength, max_displacement) * (2 / volume.period)
    if not loops:
        part = np.clip(np.arange(num_frames) / (fps * FADE_IN), 0, 1)
        rest *= (part * part * (3 - 2 * part))[:, None]
    found = simulate(omega, gamma, rest, dt, integrator, periodic=loops)
    if loops:
        found = np.roll(found, -calmest(found, push(volume)), 0)
    return make_motion(volume, found, fps, loops)


def lean(volume: SpectralVolume, direction_degrees: float) -> np.ndarray:
    """u_k, how mode k must turn to move what moves along a direction, and how far it does so, complex [K], |u| <= 1.

    conj(sum_p m(p) d . S_k(p)) / sum_p m(p) |S_k(p)|, m(p) being how much p moves; 0 for modes that do not move.
    """
    angle = math.radians(direction_degrees)
    activity = bin_motion(volume)
    sums = torch.einsum("bkchw,bhw->kc", volume.coefficients, activity).cpu().double().numpy()
    most = [(slice_.square().sum(1).sqrt() * activity).sum() for slice_ in volume.coefficients.unbind(1)]
    most = torch.stack(most).cpu().double().numpy()
    along = math.cos(angle) * sums[:, :2] + math.sin(angle) * sums[:, 2:]  # re and im
    found = np.divide(along @ [1, -1j], most, out=np.zeros(len(most), complex), where=most > 0)
    found[0] = 0
    return found


def push(volume: SpectralVolume) -> np.ndarray:
    """G, how far a step of the modes moves the picture: float64 [2 K, 2 K].

    d G d = sum_p m(p)^2 |F(p)|^2 for the field F of the coordinates d = (re_0, im_0, re_1, ...), m(p) being how much p
    moves. Of large volumes, or those of many bins, only every so many-th row and column of p is looked at.
    """
    every = math.ceil(max(volume.size) / LOOKED_AT * max(1, (volume.num_bins - 1) / 16))
    seen = volume.replace(coefficients=volume.coefficients[..., ::every, ::every])
    found = torch.zeros(2 * volume.num_bins, 2 * volume.num_bins, device=volume.coefficients.device)
    for slices, activity in zip(seen.coefficients, bin_motion(seen), strict=True):
        for axis in slices.unflatten(1, (2, 2)).unbind(1):  # x, y: [K, (re, im), H, W]
            rows = (axis * activity).flatten(2).flatten(0, 1)
            found += rows @ rows.T
    sign = np.tile([1.0, -1.0], volume.num_bins)  # Re(S q) = re S re q - im S im q
    return sign * found.cpu().double().numpy() * sign[:, None]


def calmest(table: np.ndarray, pushed: np.ndarray) -> int:
    """The frame at which a loop had best begin: where the largest step within `CALM` frames of the seam is least.

    Args:
        table: complex [frames, K], modal coordinates.
        pushed: [2 K, 2 K], from `push`.
    """
    step = (np.roll(table, -1, 0) - table).view(np.float64)  # from each frame to the next
    size = ((step @ pushed) * step).sum(1)
    # If frame n came first, the step over the seam would be that from n - 1.
    near = [np.roll(size, 1 + shift) for shift in range(-CALM, CALM + 1)]
    return int(np.max(near, 0).argmin())


def reach(volume: SpectralVolume, strength: float, max_displacement: float) -> float:
    """The factor of the soft limit, from what the volume's loop moves at most, taken as three times its rms."""
    largest = float(bin_motion(volume).max()) * math.sqrt(2) / volume.period
    return float(soft_limit(strength * PEAK * largest, max_displacement * volume.size[1]))


def blow(omega, gamma, time, leaning, gustiness: float, seed: int, span: float | None = None) -> np.ndarray:
    """Where wind of strength 1 would hold the modes, times T / 2.

    Args:
        omega, gamma: [K] of the modes, in rad/s and 1/s.
        time: float [frames], in seconds of the wind.
        leaning: complex [K], u_k.
        span: seconds after which it repeats; None: never.

    Returns:
        complex [frames, K].
    """
    intensity = INTENSITY * gustiness
    pressure = (1 + intensity * gusts(time, seed, span)) ** 2 / math.sqrt(1 + 6 * intensity**2 + 3 * intensity**4)
    rest = np.zeros((len(time), len(omega)), dtype=np.complex128)
    for k in range(1, len(omega)):
        if span is not None and omega[k] * span < math.pi:
            continue  # a loop this short has no room for half a turn of this mode; it only leans
        frequency, weight, phase = arrows(omega[k] / (2 * math.pi), k, seed, span)
        driven = 2 * math.pi * frequency
        arrow = weight * np.exp(1j * phase)
        # Arrows of one frequency, as loops have them, are one arrow.
        together = (driven[:, None] == driven) @ arrow
        with np.errstate(divide="ignore", invalid="ignore"):  # an undamped mode in step; `simulate` refuses it
            answer = omega[k] ** 2 / (omega[k] ** 2 - driven**2 + 1j * gamma[k] * driven)
            mean_square = ((arrow.conj() * together).real * np.abs(answer) ** 2).sum()
            rest[:, k] = np.exp(1j * np.outer(time, driven)) @ (arrow / math.sqrt(max(mean_square, 1e-9)))
    return pressure[:, None] * (rest + LEAN * leaning)


def gusts(time: np.ndarray, seed: int, span: float | None = None) -> np.ndarray:
    """g(t), the wind's speed about its mean, of rms 1: float [frames]."""
    draw = mulberry32(seed, 0)
    phase = np.array([2 * math.pi * draw() for _ in GUSTS])
    weight = np.sqrt(GUSTS * (1 + (GUSTS / CORNER) ** 2) ** (-5 / 6))  # times f: they stand evenly in log f
    weight /= math.sqrt((weight**2).sum() / 2)
    return np.cos(2 * math.pi * np.outer(time, _fitting(GUSTS, span)) + phase) @ weight


def arrows(frequency: float, k: int, seed: int, span: float | None = None):
    """Frequencies in Hz, weights and phases, each [12], of the turning arrows of mode k."""
    draw = mulberry32(seed, k)
    chance = np.array([[draw(), draw()] for _ in range(ARROWS)])
    octave = OCTAVES * (2 * (np.arange(ARROWS) + chance[:, 0]) / ARROWS - 1)
    weight = np.exp(-0.5 * (octave / BELL) ** 2)
    return _fitting(frequency * 2**octave, span), weight, 2 * math.pi * chance[:, 1]


def mulberry32(seed: int, stream: int):
    """A generator of numbers in 0..1 that JavaScript repeats exactly (mulberry32, public domain)."""
    state = (seed + stream * 0x9E3779B9) % MAX_SEED

    def draw() -> float:
        nonlocal state
        state = (state + 0x6D2B79F5) % MAX_SEED
        t = state
        t = ((t ^ (t >> 15)) * (t | 1)) % MAX_SEED
        t ^= (t + (((t ^ (t >> 7)) * (t | 61)) % MAX_SEED)) % MAX_SEED
        return ((t ^ (t >> 14)) % MAX_SEED) / MAX_SEED

    return draw


def _fitting(frequency: np.ndarray, span: float | None) -> np.ndarray:
    """The nearest frequencies with whole turns in `span` seconds, at least one."""
    return frequency if span is None else np.maximum(np.round(frequency * span), 1) / span
