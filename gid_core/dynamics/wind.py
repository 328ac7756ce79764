"""Wind: an endless or looping breeze on the modes of a volume. Not in the paper.

Turbulence near its own frequency drives every mode k, gusts w(t) modulate it, and the wind deflects the mode:

    r_k(t) = (2 / T) A w(t) (n_k s_k(t) + L u_k)

* r_k(t) is the equilibrium of mode k, T the volume's period in samples, A the strength after the soft limit.
* s_k(t) = sum_j b_j exp(i (2 pi f_j t + phase_j)): twelve phasors within half an octave of f_k, with larger weights
  near f_k. They rotate in the same direction as bin k does in the loop, so pixels keep their order of motion.
* n_k gives the response of the mode, an oscillator with the transfer function H_k, the same amplitude as in the loop:
  1 / sqrt(sum_f |sum_{f_j = f} b_j exp(i phase_j)|^2 |H_k(f)|^2).
* w(t) = (1 + I g(t))^2 / sqrt(1 + 6 I^2 + 3 I^4), I = 0.35 * gustiness: the pressure of a wind of the speed 1 + I g(t).
  The deviation g has rms 1 and the von Karman spectrum of turbulence, S(f) ~ (1 + (f / 0.2 Hz)^2)^(-5/6), over
  0.03 .. 0.4 Hz. The root makes the rms of w equal to 1 for Gaussian g.
* u_k is the alignment of mode k with the wind, |u_k| <= 1; L = 0.5 is the mean deflection.

A loop is rotated in time so that it begins, and so ends, where it moves least: its seam is never at a large step.

The only random numbers are phases and jitter from mulberry32, one stream per mode and one for the gusts. All sums are
written out, so that the live view in the page (js/wind.js) computes the same wind.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..motion import Motion
from ..spectral_volume import SpectralVolume
from ..tensors import smoothstep
from ..validation import check_flag, check_integer, check_number
from .modes import Modes
from .oscillators import DEFAULT_DAMPING, Damping, simulate
from .settings import check_settings

# Chosen by eye unless a source is given. The page uses the same numbers (js/constants.js).
PHASOR_COUNT = 12  # per mode
PHASOR_OCTAVES = 0.5  # how far the phasors extend from the frequency of their mode, to either side
PHASOR_SIGMA = 0.25  # octaves: standard deviation of their Gaussian weights
GUST_FREQUENCIES = np.geomspace(0.03, 0.4, 8)  # Hz
GUST_CORNER = 0.2  # Hz: corner frequency of the von Karman spectrum
TURBULENCE_INTENSITY = 0.35  # rms over mean of the wind's speed at gustiness 1
MEAN_DEFLECTION = 0.5  # deflection along the wind over the amplitude of the loop, for full alignment
FADE_IN = 1.0  # until an endless wind has full strength; seconds of the result, so `speed` does not change the fade
SEAM_FRAMES = 5  # frames on either side of a loop's seam that should have small steps
MIN_MEAN_SQUARE = 1e-9  # of a mode's response, below which it is not amplified further
MAX_SEED = 2**32  # seeds count modulo this number


def wind(
    volume: SpectralVolume,
    *,
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
    """The response of a volume's modes to wind.

    Args:
        volume: of one or several photos.
        direction_degrees: where the wind blows to: 0 is right, 90 is down.
        strength: >= 0; 1 moves as far as the volume's loop. It is softly limited by `max_displacement`.
        gustiness: 0 (an even breeze) to 1 (gusts and lulls).
        num_frames: frames to make, 1 to 100,000.
        fps: frames per second; None takes the volume's.
        seed: an integer >= 0, of which the low 32 bits count. Equal seeds give equal winds.
        loops: False begins with the photo at rest and never repeats. True makes a seamless loop, which begins and ends
            in motion, where its steps are smallest.
        damping: of the modes.
        speed: of the wind and of the modes, > 0.
        max_displacement: soft limit of the displacement, as a fraction of the width, > 0.
        integrator: one of `oscillators.INTEGRATORS`.

    Returns:
        A `Motion`; equal arguments give an equal motion on every machine.

    Raises:
        ValueError: if an argument is out of range.
    """
    settings = check_settings(
        volume,
        num_frames=num_frames,
        fps=fps,
        damping=damping,
        speed=speed,
        strength=strength,
        max_displacement=max_displacement,
        integrator=integrator,
        direction_degrees=direction_degrees,
    )
    num_frames, fps, speed, strength, max_displacement, direction_degrees = settings
    gustiness = check_number("gustiness", gustiness, 0, 1, meaning="0 is even, 1 has gusts and lulls")
    seed = check_integer("seed", seed, 0)
    loops = check_flag("loops", loops)
    modes = Modes(volume)
    gamma = damping.rates(modes.omega)
    dt = speed / fps
    time = np.arange(num_frames) * dt
    loop_seconds = num_frames * dt if loops else None
    alignment = modes.alignment(direction_degrees)
    equilibrium = wind_equilibrium(modes.omega, gamma, time, alignment, gustiness, seed, loop_seconds)
    equilibrium *= strength * modes.limit_factor(strength, max_displacement) * modes.loop_magnitude
    if not loops:
        fade_progress = np.clip(np.arange(num_frames) / (fps * FADE_IN), 0, 1)
        equilibrium *= smoothstep(fade_progress)[:, None]
    coordinates = simulate(modes.omega, gamma, equilibrium, dt, integrator, periodic=loops)
    if loops:
        coordinates = np.roll(coordinates, -find_seam(coordinates, modes.step_energy), 0)
    return modes.make_motion(coordinates, fps, loops=loops)


def find_seam(coordinates: np.ndarray, step_energy: np.ndarray) -> int:
    """The frame at which a loop should begin: the largest step within SEAM_FRAMES of the seam is smallest there.

    Args:
        coordinates: complex [frames, K], modal coordinates.
        step_energy: [2 K, 2 K], from `Modes.step_energy`.
    """
    step = np.roll(coordinates, -1, 0) - coordinates  # from each frame to the next
    step = np.ascontiguousarray(step).view(np.float64)  # NumPy keeps the strides of `coordinates`
    energy = ((step @ step_energy) * step).sum(1)
    # If frame n came first, the step across the seam would be the one from n - 1.
    nearby = [np.roll(energy, 1 + shift) for shift in range(-SEAM_FRAMES, SEAM_FRAMES + 1)]
    return int(np.max(nearby, 0).argmin())


def wind_equilibrium(
    omega: np.ndarray,
    gamma: np.ndarray,
    time: np.ndarray,
    alignment: np.ndarray,
    gustiness: float,
    seed: int,
    loop_seconds: float | None = None,
) -> np.ndarray:
    """Equilibrium r of the modes in wind of strength 1, in units of 2 / T.

    Args:
        omega, gamma: [K] of the modes, in rad/s and 1/s.
        time: float [frames], in seconds of the wind.
        alignment: complex [K], u_k.
        gustiness: 0..1.
        seed: >= 0.
        loop_seconds: after which the wind repeats; None never repeats.

    Returns:
        complex [frames, K].
    """
    intensity = TURBULENCE_INTENSITY * gustiness
    wind_speed = 1 + intensity * gust_speed(time, seed, loop_seconds)
    # The root makes the rms of the pressure equal to 1 for a Gaussian `gust_speed`.
    pressure = wind_speed**2 / math.sqrt(1 + 6 * intensity**2 + 3 * intensity**4)
    turbulence = np.zeros((len(time), len(omega)), dtype=np.complex128)
    for k in range(1, len(omega)):
        if loop_seconds is not None and omega[k] * loop_seconds < math.pi:
            continue  # the loop is shorter than half a period of this mode, which is only deflected
        frequency, weight, phase = phasors(omega[k] / (2 * math.pi), k, seed, loop_seconds)
        driving = 2 * math.pi * frequency
        phasor = weight * np.exp(1j * phase)
        # Phasors of equal frequency, which loops have, add up to one.
        combined = (driving[:, None] == driving) @ phasor
        with np.errstate(divide="ignore", invalid="ignore"):  # an undamped mode at resonance; `simulate` refuses it
            transfer = omega[k] ** 2 / (omega[k] ** 2 - driving**2 + 1j * gamma[k] * driving)
            mean_square = ((phasor.conj() * combined).real * np.abs(transfer) ** 2).sum()
            normalized = phasor / math.sqrt(max(mean_square, MIN_MEAN_SQUARE))
            turbulence[:, k] = np.exp(1j * np.outer(time, driving)) @ normalized
    return pressure[:, None] * (turbulence + MEAN_DEFLECTION * alignment)


def gust_speed(time: np.ndarray, seed: int, loop_seconds: float | None = None) -> np.ndarray:
    """g(t), the deviation of the wind's speed from its mean, with rms 1: float [frames]."""
    draw = mulberry32(seed, 0)
    phase = np.array([2 * math.pi * draw() for _ in GUST_FREQUENCIES])
    # sqrt(f S(f)): the spectrum times f, because the frequencies are spaced evenly in log f.
    weight = np.sqrt(GUST_FREQUENCIES * (1 + (GUST_FREQUENCIES / GUST_CORNER) ** 2) ** (-5 / 6))
    weight /= math.sqrt((weight**2).sum() / 2)
    frequency = round_to_whole_cycles(GUST_FREQUENCIES, loop_seconds)
    return np.cos(2 * math.pi * np.outer(time, frequency) + phase) @ weight


def phasors(
    mode_frequency: float, k: int, seed: int, loop_seconds: float | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The phasors that drive mode k.

    Returns:
        Frequencies in Hz, weights, and phases in radians, each float [12].
    """
    draw = mulberry32(seed, k)
    uniform = np.array([[draw(), draw()] for _ in range(PHASOR_COUNT)])  # jitter and phase, in 0..1
    octave = PHASOR_OCTAVES * (2 * (np.arange(PHASOR_COUNT) + uniform[:, 0]) / PHASOR_COUNT - 1)
    weight = np.exp(-0.5 * (octave / PHASOR_SIGMA) ** 2)
    return round_to_whole_cycles(mode_frequency * 2**octave, loop_seconds), weight, 2 * math.pi * uniform[:, 1]


def mulberry32(seed: int, stream: int) -> Callable[[], float]:
    """A generator of random numbers in 0..1 that JavaScript reproduces exactly (mulberry32, public domain)."""
    state = (seed + stream * 0x9E3779B9) % MAX_SEED

    def draw() -> float:
        nonlocal state
        state = (state + 0x6D2B79F5) % MAX_SEED
        t = state
        t = ((t ^ (t >> 15)) * (t | 1)) % MAX_SEED
        t ^= (t + (((t ^ (t >> 7)) * (t | 61)) % MAX_SEED)) % MAX_SEED
        return ((t ^ (t >> 14)) % MAX_SEED) / MAX_SEED

    return draw


def round_to_whole_cycles(frequency: np.ndarray, loop_seconds: float | None) -> np.ndarray:
    """The nearest frequencies with a whole number of cycles, at least one, in a loop; unchanged without a loop."""
    return frequency if loop_seconds is None else np.maximum(np.round(frequency * loop_seconds), 1) / loop_seconds
