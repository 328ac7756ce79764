"""Audio on the modes of a volume: low notes move slow modes, high notes fast ones. Not in the paper.

Each mode has a frequency band of the audio; the bands are spaced evenly in octaves. The loudness of the band above its
moving average drives the mode: an envelope follower with a fast attack and a slow release gives its equilibrium along
the direction. So a beat drives the mode and a steady tone does not. The modes are oscillators, so they ring after a
beat. Most modes are slower than music, and a mode slower than the beat would respond only to the first beat. Therefore
modes below MIN_MODE_FREQUENCY respond as if they had that frequency, with their own shape and amplitude.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..motion import Motion
from ..notices import warn
from ..spectral_volume import SpectralVolume
from ..validation import MAX_FRAMES, check_number, refuse
from .modes import Modes
from .oscillators import DEFAULT_DAMPING, Damping, simulate
from .settings import check_settings

# Analysis of the audio. All are chosen by ear and eye.
MIN_FREQUENCY, MAX_FREQUENCY = 60.0, 8000.0  # Hz: the range of the bands
WINDOW_SECONDS = 0.05  # length of the analysis window
SILENCE_THRESHOLD = 1e-4  # largest sample of silent audio, as a fraction of full scale (-80 dB)
REFERENCE_QUANTILE = 0.95  # of the loudness of a band over time; it becomes 1
MIN_BAND_LEVEL = 0.05  # a band quieter than this share of the loudest band is not amplified further
AVERAGE_SECONDS = 2.0  # of the moving average that the loudness is compared with
# Sample rates and time constants beyond these are mistakes.
MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 1.0, 1e7  # Hz
MAX_SECONDS = 1e6
# Response of the modes.
MODE_AMPLITUDE = 0.75  # peak of a mode at strength 1, relative to the loop; below 1 because all modes peak together
BAND_SHARE = 0.5  # weight of a mode's own band in its drive; the rest is the loudest band
MIN_MODE_FREQUENCY = 2.0  # Hz: 120 beats per minute


def from_audio(
    volume: SpectralVolume,
    waveform: Tensor,
    sample_rate: float,
    *,
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
    """The response of a volume's modes to audio.

    Args:
        volume: of one or several photos.
        waveform: float [samples], [channels, samples] or [1, channels, samples], usually in -1..1. The overall
            loudness does not matter, only how it changes.
        sample_rate: samples per second, 1 to 1e7.
        num_frames: frames to make, 1 to 100,000; None makes a motion as long as the audio. After the audio ends, the
            motion decays.
        fps: frames per second; None takes the volume's.
        direction_degrees: direction in which a loud moment moves the photo: 0 is right, 90 is down.
        strength: >= 0; at 1 the loudest moment moves about as far as the volume's loop. It is softly limited by
            `max_displacement`.
        attack, release: time constants in seconds of the envelope follower, >= 0.
        damping: of the modes; less damping rings longer.
        speed: of the modes, not of the audio, > 0.
        max_displacement: soft limit of the displacement, as a fraction of the width, > 0.
        integrator: one of `oscillators.INTEGRATORS`.

    Returns:
        A `Motion` that does not loop and begins with the photo. Silent audio, or a volume without frequencies above 0,
        gives no motion and a warning.

    Raises:
        ValueError: if the audio is empty or not finite, or an argument is out of range.
    """
    mono = _mix_to_mono(waveform)
    sample_rate = check_number(
        "sample_rate", sample_rate, MIN_SAMPLE_RATE, MAX_SAMPLE_RATE, meaning="samples per second"
    )
    attack = check_number("attack", attack, 0, MAX_SECONDS, meaning="seconds")
    release = check_number("release", release, 0, MAX_SECONDS, meaning="seconds")
    settings = check_settings(
        volume,
        num_frames=1 if num_frames is None else num_frames,
        fps=fps,
        damping=damping,
        speed=speed,
        strength=strength,
        max_displacement=max_displacement,
        integrator=integrator,
        direction_degrees=direction_degrees,
    )
    count, fps, speed, strength, max_displacement, direction_degrees = settings
    if num_frames is None:
        seconds = len(mono) / sample_rate
        count = max(1, math.ceil(seconds * fps))
        if count > MAX_FRAMES:
            raise ValueError(
                f"{seconds:.0f} s of audio are {count} frames at {fps:g} fps; at most {MAX_FRAMES} are allowed. Give "
                "num_frames, or shorter audio."
            )
    modes = Modes(volume)
    omega = np.maximum(modes.omega, 2 * math.pi * MIN_MODE_FREQUENCY)
    gamma = damping.rates(omega)
    coordinates = np.zeros((count, modes.num_bins), dtype=np.complex128)
    if modes.num_bins == 1:  # the constant bin alone
        warn("The volume has no frequency above 0, so nothing moves.")
        return modes.make_motion(coordinates, fps)
    if float(mono.abs().max()) < SILENCE_THRESHOLD:
        warn("The audio is silent, so nothing moves.")
        return modes.make_motion(coordinates, fps)
    loudness = band_loudness(mono, sample_rate, count, fps, modes.num_bins - 1)
    loudness = BAND_SHARE * loudness + (1 - BAND_SHARE) * loudness.max(1, keepdims=True)
    alignment = modes.alignment(direction_degrees)
    phase = np.where(np.abs(alignment) > 0, np.exp(1j * np.angle(alignment)), 0)
    envelope = follow_envelope(loudness, fps, attack, release)
    drive = envelope - moving_average(envelope, fps)
    response = simulate(omega[1:], gamma[1:], drive, speed / fps, integrator)
    peak = np.abs(response).max(0)  # every mode is scaled to the same peak, as in the loop
    response = np.divide(response, peak, out=np.zeros_like(response), where=peak > 0) * np.minimum(loudness.max(0), 1)
    limit_factor = modes.limit_factor(MODE_AMPLITUDE * strength, max_displacement)
    scale = MODE_AMPLITUDE * strength * limit_factor * modes.loop_magnitude
    coordinates[:, 1:] = scale * response.real * phase[1:]
    return modes.make_motion(coordinates, fps)


def band_loudness(mono: Tensor, sample_rate: float, num_frames: int, fps: float, num_bands: int) -> np.ndarray:
    """Loudness of each frequency band of the audio around each frame: float [num_frames, num_bands], about 0..1.

    It is the root mean power of the band's frequencies. 1 is the level that a band exceeds in 5 % of the frames. Bands
    much quieter than the loudest one are not amplified to that level.
    """
    length = max(16, 2 ** round(math.log2(WINDOW_SECONDS * sample_rate)))
    window = torch.hann_window(length)
    hop = length // 4
    padded = torch.nn.functional.pad(mono, (length // 2, length))
    power = torch.stft(padded, length, hop, window=window, center=False, return_complex=True).abs().square()
    frequency = torch.arange(len(power), dtype=torch.float64) * (sample_rate / length)
    max_frequency = max(min(MAX_FREQUENCY, sample_rate / 2), MIN_FREQUENCY)
    edges = np.geomspace(MIN_FREQUENCY, max_frequency, num_bands + 1)
    position = np.arange(num_frames) / fps * sample_rate / hop  # of each frame, in windows
    loudness = np.zeros((num_frames, num_bands))
    for band, (low, high) in enumerate(zip(edges, edges[1:], strict=False)):
        center = math.sqrt(low * high)
        inside = (frequency >= low) & (frequency < high)
        inside[int((frequency - center).abs().argmin())] = True  # the lowest bands are narrower than one STFT bin
        level = power[inside].mean(0).sqrt().numpy()
        loudness[:, band] = np.interp(position, np.arange(len(level)), level, right=0.0)
    reference = np.quantile(loudness, REFERENCE_QUANTILE, axis=0)
    reference = np.where(reference > 0, reference, loudness.max(0))  # the quantile of a single click is 0
    return loudness / np.maximum(reference, MIN_BAND_LEVEL * reference.max())


def follow_envelope(loudness: np.ndarray, fps: float, attack: float, release: float) -> np.ndarray:
    """Envelope follower over [frames, bands]: rises with the time constant `attack`, falls with `release`, seconds."""
    attack_decay, release_decay = (
        math.exp(-1 / (fps * seconds)) if seconds > 0 else 0.0 for seconds in (attack, release)
    )
    level = np.zeros(loudness.shape[1])
    envelope = np.empty_like(loudness)
    for frame, target in enumerate(loudness):
        decay = np.where(target > level, attack_decay, release_decay)
        level = target + decay * (level - target)
        envelope[frame] = level
    return envelope


def moving_average(values: np.ndarray, fps: float) -> np.ndarray:
    """Mean of [frames, bands] over the AVERAGE_SECONDS around each frame; shorter at both ends."""
    half = max(1, round(AVERAGE_SECONDS * fps / 2))
    total = np.concatenate([np.zeros((1, values.shape[1])), values.cumsum(0)])
    frame = np.arange(len(values))
    start, stop = np.maximum(frame - half, 0), np.minimum(frame + half + 1, len(values))
    return (total[stop] - total[start]) / (stop - start)[:, None]


def _mix_to_mono(waveform: Tensor) -> Tensor:
    """The mean of the channels, float32 [samples]."""
    shape = tuple(getattr(waveform, "shape", ()))
    if not isinstance(waveform, Tensor):
        refuse("waveform", "a tensor [samples], [channels, samples] or [1, channels, samples]", waveform)
    if waveform.is_complex() or len(shape) not in (1, 2, 3) or (len(shape) == 3 and shape[0] != 1):
        raise ValueError(f"waveform is [samples], [channels, samples] or [1, channels, samples]; got {shape}.")
    if waveform.numel() == 0:
        raise ValueError("The audio is empty; pass audio with at least one sample.")
    mono = waveform.detach().float().cpu().reshape(-1, shape[-1]).mean(0)
    if not bool(torch.isfinite(mono).all()):
        raise ValueError("The audio contains NaN or infinite samples; load or make it again.")
    return mono
