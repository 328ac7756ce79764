"""A gust that travels over a synthetic scene and drives damped oscillators (paper section 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FPS = 30.0  # frames per second of scenes
PERIOD = 150  # frames
CORNER_FREQUENCY = 0.15  # Hz; the gust's amplitude is flat below and falls as 1/f above


@dataclass
class Gust:
    """A gust front with a red spectrum that travels along x.

    Attributes:
        frequencies: [N] Hz.
        spectrum: complex [N].
        direction: +1 or -1 along x.
        speed: pixels per second.
    """

    frequencies: np.ndarray
    spectrum: np.ndarray
    direction: float
    speed: float

    def oscillator_weights(
        self,
        rng: np.random.Generator,
        natural_frequency: float,
        damping: float,
        x: float = 0.0,
        coherence: float = 0.8,
    ) -> np.ndarray:
        """Weights [N] of an oscillator driven at x, scaled to unit rms displacement.

        Args:
            rng: draws the turbulence.
            natural_frequency: Hz.
            damping: relative to critical damping.
            x: pixels; the gust arrives after x / speed seconds.
            coherence: share of the force that follows the gust. The share sqrt(1 − coherence²) is turbulence that is
                independent for each oscillator.
        """
        f = self.frequencies
        turbulence = _complex_normal(rng, len(f)) * _red_spectrum(f)
        force = coherence * self.spectrum * np.exp(-2j * np.pi * f * self.direction * x / self.speed)
        force = force + np.sqrt(1 - coherence**2) * turbulence
        weights = force / (natural_frequency**2 - f**2 + 2j * damping * natural_frequency * f)
        return self.direction * weights / np.sqrt((np.abs(weights) ** 2).sum() / 2)


def random_gust(rng: np.random.Generator, width: int, periodic: bool, max_bin: int = 15) -> Gust:
    """A random gust at bins 1..max_bin of the period, or (not periodic) at 48 irregular frequencies up to 3.2 Hz."""
    if periodic:
        frequencies = np.arange(1, max_bin + 1) * FPS / PERIOD
    else:
        frequencies = np.sort(np.linspace(0.06, 3.15, 48) + rng.uniform(-0.02, 0.02, 48))
    spectrum = _complex_normal(rng, len(frequencies)) * _red_spectrum(frequencies)
    return Gust(frequencies, spectrum, float(rng.choice([-1, 1])), width * rng.uniform(0.5, 2.0))


def _red_spectrum(f: np.ndarray) -> np.ndarray:
    """Amplitude of gusts at f [N] Hz: flat below CORNER_FREQUENCY, proportional to 1/f above."""
    return 1 / np.hypot(f, CORNER_FREQUENCY)


def _complex_normal(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.standard_normal(n) + 1j * rng.standard_normal(n)
