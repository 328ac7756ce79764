"""The settings that pokes, wind and audio have in common, checked in one place."""

from __future__ import annotations

import math

from ..spectral_volume import SpectralVolume


def check_settings(
    volume: SpectralVolume,
    *,
    num_frames: int,
    fps: float | None,
    speed: float,
    strength: float,
    max_displacement: float,
    direction_degrees: float = 0.0,
) -> float:
    """Check the settings of a force.

    Args:
        volume: its frame rate is the default.
        num_frames: frames to make, >= 1.
        fps: frames per second, > 0; None takes the volume's.
        speed: of the modes, > 0.
        strength: factor of the force, >= 0.
        max_displacement: soft limit of the displacement as a fraction of the width, > 0.
        direction_degrees: direction of the force, finite.

    Returns:
        The frame rate of the result, in frames per second.

    Raises:
        ValueError: if a setting is out of range; the message names it.
    """
    if num_frames < 1:
        raise ValueError(f"num_frames must be at least 1; got {num_frames}.")
    fps = volume.fps if fps is None else float(fps)
    for name, value in (("fps", fps), ("speed", speed), ("max_displacement", max_displacement)):
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name} must be a number > 0; got {value}.")
    if not (strength >= 0 and math.isfinite(strength)):
        raise ValueError(f"strength must be a number >= 0 (1 is the default, 0 is no motion); got {strength}.")
    if not math.isfinite(direction_degrees):
        raise ValueError(f"direction_degrees must be a finite number; got {direction_degrees}.")
    return fps
