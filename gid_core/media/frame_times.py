"""Which decoded frame a clip of an even frame rate shows at each of its times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Frames count as evenly spaced while none is further from its even time than this fraction of a frame. A dropped frame
# moves all later ones by 0.5 from the middle; time stamps rounded to milliseconds move frames by 0.03 at 60 Hz. A mean
# rate that no file states fits a few uneven frames by chance, and has to fit better.
MAX_JITTER, MAX_JITTER_OF_MEAN = 0.4, 0.25
# Of a variable rate, the spacing that this share of the frames stays below becomes the even one. A recording that slows
# down in the dark keeps the rate it has in the light, and a few frames that follow at once do not raise it.
SPACING_QUANTILE = 0.25
# That spacing is jittered by up to this ratio; within it, the file's own rate or a usual one (Hz) is meant.
SNAP_RATIO = 1.12
USUAL_RATES = (12.0, 15.0, 24000 / 1001, 24.0, 25.0, 30000 / 1001, 30.0, 48.0, 50.0, 60000 / 1001, 60.0, 120.0, 240.0)

# Most even steps of a variable rate, four days at 30 Hz: more come of times that jump, as in damaged files.
MAX_STEPS = 10_000_000


def even_frames(times: np.ndarray, last_duration: float, stated_rates: Sequence[float]) -> tuple[float, np.ndarray]:
    """The frame rate of a clip, and the frame that is nearest in time to each of its even steps.

    Args:
        times: float64 [n], presentation times in seconds, increasing.
        last_duration: seconds for which the last frame is shown; 0 if the file does not say.
        stated_rates: frame rates in Hz that the file states, the most trusted one first. They may be wrong.

    Returns:
        fps: frames per second; 0 for a single frame without a stated rate.
        shown: int64 [T], indices into `times`. It is 0 ... n - 1 if the frames are evenly spaced.

    Raises:
        ValueError: if the times jump so far that a clip of an even rate would have more than `MAX_STEPS` frames.
    """
    count = len(times)
    stated = [rate for rate in stated_rates if rate > 0]
    if count == 1:
        return (stated[0] if stated else 0.0), np.zeros(1, np.int64)
    times = times - times[0]
    jitters = [_jitter(times, rate) for rate in stated]
    if stated and min(jitters) <= MAX_JITTER:
        return stated[int(np.argmin(jitters))], np.arange(count)
    mean_rate = (count - 1) / float(times[-1])
    if _jitter(times, mean_rate) <= MAX_JITTER_OF_MEAN:
        return mean_rate, np.arange(count)
    fps = _common_rate(np.diff(times), stated)
    if last_duration * fps < 0.5:  # files often leave it out
        last_duration = float(times[-1] - times[-2])
    seconds = float(times[-1]) + last_duration
    if seconds * fps > MAX_STEPS:
        raise ValueError(
            f"The times of the video's {count} frames jump: they are spread over {seconds:.3g} seconds. Convert it to "
            "a constant frame rate."
        )
    steps = np.arange(max(1, round(seconds * fps))) / fps
    return fps, np.searchsorted((times[1:] + times[:-1]) / 2, steps)


def _jitter(times: np.ndarray, rate: float) -> float:
    """Largest distance of a frame from its even time, in frames, for the best position of the even times."""
    return float(np.ptp(times * rate - np.arange(len(times)))) / 2


def _common_rate(spacings: np.ndarray, stated: Sequence[float]) -> float:
    """The even rate in Hz for frames of different spacings (seconds)."""
    rate = min(1 / float(np.quantile(spacings, SPACING_QUANTILE)), USUAL_RATES[-1])
    for candidates in (stated, USUAL_RATES):
        ratios = [max(rate / candidate, candidate / rate) for candidate in candidates]
        if ratios and min(ratios) <= SNAP_RATIO:
            return candidates[int(np.argmin(ratios))]
    return rate
