"""A long loop: sway that repeats only as a whole, after any number of seconds. Not in the paper.

A volume's loop repeats after T, because all its frequencies are multiples of 1 / T. In a long loop of D seconds mode k
moves by

    q_k(t) = A_k (z_k(t) - z_k(0)),    z_k(t) = a_k(t) exp(i (2 pi n_k t / D + p_k(t)))

* A_k is the amplitude of the mode in the volume's loop, 2 / T.
* n_k is its number of cycles, drawn from the mode's own bin: a window of T seconds does not tell the frequencies within
  a bin apart. The n_k have no common divisor, so that no fraction of D is a period.
* p_k lets the speed of the mode vary: p_k' = (2 pi n_k / D) sum_j R cos(2 pi m_j t / D + phase_j). The swings do not
  keep time, but never turn around. The waves m_j are slow: each is several cycles of the mode long.
* a_k = exp(sum_j B cos(2 pi m_j t / D + phase'_j)) / norm lets its amplitude breathe. It never comes near 0, and the
  mean of a_k^2 is 1: every mode keeps the energy that it has in the volume's loop.

n_k and m_j are whole numbers, so that frame D is frame 0, with all derivatives. The mode's shape, which is where and in
which order pixels move, stays that of the volume.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch

from ..motion import Motion, playback_coordinates
from ..spectral_volume import SpectralVolume
from ..validation import MAX_FRAMES, check_instance, check_integer, check_number, check_rate

# Chosen by eye.
BIN_SPREAD = 0.4  # bins: how far the frequency of a mode lies from the center of its bin, at most
WAVE_CYCLES = np.geomspace(4, 16, 4)  # cycles of a mode in each of the waves of its speed and amplitude
SPEED_VARIATION = 0.15  # R at variation 1: of the mode's speed, each wave
AMPLITUDE_VARIATION = 0.2  # B at variation 1: of the logarithm of the mode's amplitude, each wave


def long_loop(
    volume: SpectralVolume,
    *,
    seconds: float = 60.0,
    variation: float = 0.5,
    speed: float = 1.0,
    fps: float | None = None,
    seed: int = 0,
) -> Motion:
    """A seamless loop of any length, whose motion does not repeat before its end.

    Only the modal coordinates grow with the length, by 8 bytes for each frame and bin: `render_to_video` writes a loop
    of many minutes in the memory of a short one.

    Args:
        volume: the volume to play.
        seconds: length of the loop, at least one period of the volume at this speed; at most 100,000 frames.
        variation: 0 (each frequency swings evenly) to 1 (its speed and amplitude vary most). Without it a volume of a
            single frequency repeats with every swing.
        speed: 0.5 is half speed, 2 is double speed; > 0.
        fps: frames per second of the result; None is the volume's.
        seed: an integer >= 0. Each seed gives another sway.

    Returns:
        A looping `Motion`, the nearest whole number of frames long. Frame 0 is the photo.

    Raises:
        ValueError: if an argument is out of range.
    """
    check_instance("volume", volume, SpectralVolume, "a spectral volume")
    fps = volume.fps if fps is None else check_rate("fps", fps, "frames per second")
    speed = check_rate("speed", speed, "1 is natural, 0.5 is half as fast")
    longest = f"at most {MAX_FRAMES} frames at {fps:g} per second"
    seconds = check_number("seconds", seconds, 0, MAX_FRAMES / fps, meaning=longest)
    variation = check_number("variation", variation, 0, 1, meaning="0 is even, 1 varies most")
    seed = check_integer("seed", seed, 0)
    period = volume.duration / speed
    if seconds < period:
        raise ValueError(
            f"seconds must be at least {period:g}, one period of the volume at this speed; got {seconds:g}. Raise "
            "seconds or speed, or make a loop of one period (loop, Loop Motion)."
        )
    count = max(1, round(seconds * fps))
    position = np.arange(count) / count  # t / D
    random = np.random.default_rng(seed)
    z = np.ones((count, volume.num_bins), np.complex128)
    for k, cycles in enumerate(whole_cycles(volume.num_bins, count / fps / period, random), 1):
        z[:, k] = breathing_phasor(cycles, position, variation, random)
    amplitude = playback_coordinates(volume, torch.zeros(1), start_at_rest=False)[0, :, 0]  # as the loop weighs bins
    coordinates = torch.view_as_real(torch.from_numpy(z - z[0])) * amplitude[:, None]
    return Motion(volume, coordinates, fps, loops=True)


def whole_cycles(num_bins: int, periods: float, random: np.random.Generator) -> np.ndarray:
    """n_k of bins 1 .. K - 1 in a loop of so many periods of the volume: whole numbers >= 1, as float [K - 1]."""
    bins = np.arange(1, num_bins) + random.uniform(-BIN_SPREAD, BIN_SPREAD, num_bins - 1)
    return _without_common_divisor(np.maximum(np.round(bins * periods), 1))


def breathing_phasor(cycles: float, position: np.ndarray, variation: float, random: np.random.Generator) -> np.ndarray:
    """z_k of a mode with so many cycles.

    Args:
        cycles: n_k.
        position: t / D, float [frames]: whole rounds at even steps, which decide the mean of a_k^2.
        variation: 0..1.
        random: gives the phases of the waves.

    Returns:
        complex [frames]; real and positive at position 0.
    """
    waves = _without_common_divisor(np.unique(np.maximum(np.round(cycles / WAVE_CYCLES), 1)))  # m_j
    phase, amplitude_phase = random.uniform(0, 2 * math.pi, (2, len(waves)))
    angle = 2 * math.pi * np.outer(position, waves)
    lead = (np.sin(angle + phase) - np.sin(phase)) @ (variation * SPEED_VARIATION * cycles / waves)
    amplitude = np.exp(variation * AMPLITUDE_VARIATION * np.cos(angle + amplitude_phase).sum(1))
    amplitude /= math.sqrt(np.mean(amplitude**2))
    return amplitude * np.exp(1j * (2 * math.pi * cycles * position + lead))


def _without_common_divisor(numbers: np.ndarray) -> np.ndarray:
    """Whole numbers; of several with a common divisor, the last one is raised until they have none."""
    if len(numbers) > 1:
        *others, last = map(int, numbers)
        divisor = math.gcd(*others)
        numbers[-1] = next(number for number in itertools.count(last) if math.gcd(divisor, number) == 1)
    return numbers
