"""Sound on the modes of a volume: low notes move the slow ones, high notes the fast ones. Not in the paper.

Each mode has a band of the sound, spaced evenly in octaves. What its loudness is above its mean of the seconds around,
followed with a quick rise and a slow fall, is where a force along the direction would hold the mode: a beat pushes, a
steady tone does not. The modes are oscillators, so a beat rings on. Sway is slower than music, and a mode slower than
the beat follows its first stroke only; modes below SLOWEST answer as if they were that fast, with their own shape and
size.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch
from torch import Tensor

from ..motion import Motion
from ..spectral_volume import SpectralVolume
from .modes import angular_frequencies, check_settings, make_motion
from .oscillators import DEFAULT_DAMPING, Damping, simulate
from .wind import lean, reach

LOWEST, HIGHEST = 60.0, 8000.0  # Hz of sound
WINDOW = 0.05  # seconds of sound that count as one moment
SILENT = 1e-4  # of full scale, about -80 dB
SWING = 0.75  # a mode's largest swing at strength 1, in those of the loop: all are pushed at once
ALONE = 0.5  # share of its own band in what drives a mode; the rest is the whole sound
SLOWEST = 2.0  # Hz, 120 beats a minute
USUAL = 2.0  # seconds whose mean loudness moves nothing
FAINT = 0.05  # a band this much softer than the loudest is not made louder


def from_audio(
    volume: SpectralVolume,
    waveform: Tensor,
    sample_rate: float,
    num_frames: int | None = None,
    fps: float | None = None,
    direction_degrees: float = 0.0,
    strength: float = 1.0,
    attack: float = 0.02,
    release: float = 0.25,
    damping: Damping = DEFAULT_DAMPING,
    speed: float = 1.0,
    max_displacement: float = 0.25,
    integrator: str = "exact",
) -> Motion:
    """The answer of a volume's modes to a sound.

    Args:
        volume: of one or several photos.
        waveform: float [samples], [channels, samples] or [1, channels, samples], usually in -1..1; how loud it is
            does not matter, only how loudness changes.
        sample_rate: samples a second, > 0.
        num_frames: frames to make, >= 1; default: as long as the sound. After its end the motion rings down.
        fps: frames a second; default: the volume's.
        direction_degrees: where a loud moment pushes: 0 is right, 90 down.
        strength: 1: the loudest moment moves about as far as the volume's loop at most, >= 0. It is softly limited
            by `max_displacement`.
        attack, release: seconds in which loudness is followed up and down, >= 0.
        damping: of the modes; less rings longer.
        speed: of the modes, not of the sound, > 0.
        max_displacement: how far pixels are pushed at most, softly, as a fraction of the width.
        integrator: "exact", or one of `modal.INTEGRATORS`.

    Returns:
        A `Motion` that does not loop and begins with the photo. Silence moves nothing, with a warning.

    Raises:
        ValueError: if the sound is empty or not finite, or an argument is out of range.
    """
    mono = _mono(waveform)
    if not (sample_rate > 0 and math.isfinite(sample_rate)):
        raise ValueError(f"sample_rate must be a number of samples a second > 0; got {sample_rate}.")
    for name, value in (("attack", attack), ("release", release)):
        if not (value >= 0 and math.isfinite(value)):
            raise ValueError(f"{name} must be a number of seconds >= 0; got {value}.")
    if not math.isfinite(direction_degrees):
        raise ValueError(f"direction_degrees must be a finite number; got {direction_degrees}.")
    wanted = 1 if num_frames is None else num_frames
    fps = check_settings(volume, wanted, fps, speed, strength, max_displacement)
    count = max(1, math.ceil(len(mono) / sample_rate * fps)) if num_frames is None else num_frames
    omega = np.maximum(angular_frequencies(volume), 2 * math.pi * SLOWEST)
    gamma = damping.rates(omega)
    coordinates = np.zeros((count, len(omega)), dtype=np.complex128)
    if float(mono.abs().max()) < SILENT:
        warnings.warn("The sound is silent, so nothing moves.", stacklevel=2)
        return make_motion(volume, coordinates, fps)
    loudness = band_loudness(mono, sample_rate, count, fps, len(omega) - 1)
    loudness = ALONE * loudness + (1 - ALONE) * loudness.max(1, keepdims=True)
    pushed = lean(volume, direction_degrees)
    turn = np.where(np.abs(pushed) > 0, np.exp(1j * np.angle(pushed)), 0)
    beat = follow(loudness, fps, attack, release)
    swing = simulate(omega[1:], gamma[1:], beat - _usual(beat, fps), speed / fps, integrator)
    largest = np.abs(swing).max(0)  # each mode swings as far as in the loop
    swing = np.divide(swing, largest, out=np.zeros_like(swing), where=largest > 0) * np.minimum(loudness.max(0), 1)
    scale = SWING * strength * reach(volume, SWING * strength, max_displacement) * (2 / volume.period)
    coordinates[:, 1:] = scale * swing.real * turn[1:]
    return make_motion(volume, coordinates, fps)


def band_loudness(mono: Tensor, sample_rate: float, count: int, fps: float, bands: int) -> np.ndarray:
    """How loud each band of a sound is around each frame: float [count, bands], about 0..1.

    The root of the power of the band's frequencies; 1 is what a band exceeds in a twentieth of the time. Bands much
    softer than the loudest are not raised to it.
    """
    length = max(16, 2 ** round(math.log2(WINDOW * sample_rate)))
    window = torch.hann_window(length)
    hop = length // 4
    padded = torch.nn.functional.pad(mono, (length // 2, length))
    power = torch.stft(padded, length, hop, window=window, center=False, return_complex=True).abs().square()
    frequency = torch.arange(len(power), dtype=torch.float64) * (sample_rate / length)
    edges = np.geomspace(LOWEST, min(HIGHEST, sample_rate / 2), bands + 1)
    at = np.arange(count) / fps * sample_rate / hop  # frames, in windows
    found = np.zeros((count, bands))
    for band, (low, high) in enumerate(zip(edges, edges[1:], strict=False)):
        middle = math.sqrt(low * high)
        inside = (frequency >= low) & (frequency < high)
        inside[int((frequency - middle).abs().argmin())] = True  # the lowest bands are narrower than a line
        track = power[inside].mean(0).sqrt().numpy()
        found[:, band] = np.interp(at, np.arange(len(track)), track, right=0.0)
    usual = np.quantile(found, 0.95, axis=0)
    usual = np.where(usual > 0, usual, found.max(0))  # a single click
    return found / np.maximum(usual, FAINT * usual.max())


def follow(loudness: np.ndarray, fps: float, attack: float, release: float) -> np.ndarray:
    """Loudness [frames, bands] followed with a rise in `attack` and a fall in `release` seconds (to 1 / e)."""
    up, down = (math.exp(-1 / (fps * seconds)) if seconds > 0 else 0.0 for seconds in (attack, release))
    level = np.zeros(loudness.shape[1])
    followed = np.empty_like(loudness)
    for frame, now in enumerate(loudness):
        keep = np.where(now > level, up, down)
        level = now + keep * (level - now)
        followed[frame] = level
    return followed


def _usual(loudness: np.ndarray, fps: float) -> np.ndarray:
    """The mean loudness of the USUAL seconds around each frame, at the ends of those that there are."""
    half = max(1, round(USUAL * fps / 2))
    total = np.concatenate([np.zeros((1, loudness.shape[1])), loudness.cumsum(0)])
    at = np.arange(len(loudness))
    first, last = np.maximum(at - half, 0), np.minimum(at + half + 1, len(loudness))
    return (total[last] - total[first]) / (last - first)[:, None]


def _mono(waveform: Tensor) -> Tensor:
    """The mean of a sound's channels, float32 [samples]."""
    shape = tuple(getattr(waveform, "shape", ()))
    if not isinstance(waveform, Tensor) or len(shape) not in (1, 2, 3) or (len(shape) == 3 and shape[0] != 1):
        raise ValueError(f"waveform is [samples], [channels, samples] or [1, channels, samples]; got {shape}.")
    if waveform.numel() == 0:
        raise ValueError("The sound is empty; give one with at least one sample.")
    mono = waveform.detach().float().cpu().reshape(-1, shape[-1]).mean(0)
    if not bool(torch.isfinite(mono).all()):
        raise ValueError("The sound holds NaN or infinite samples; load or make it again.")
    return mono
