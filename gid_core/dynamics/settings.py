"""The settings that pokes, wind and audio have in common, checked in one place."""

from __future__ import annotations

from typing import NamedTuple

from ..spectral_volume import SpectralVolume
from ..validation import check_choice, check_frame_count, check_instance, check_number, check_rate
from .oscillators import INTEGRATORS, Damping

# Strengths above this only overflow.
MAX_STRENGTH = 1e6


class Settings(NamedTuple):
    """The checked settings of a force; see `check_settings`."""

    num_frames: int
    fps: float
    speed: float
    strength: float
    max_displacement: float
    direction_degrees: float


def check_settings(
    volume: SpectralVolume,
    *,
    num_frames: int,
    fps: float | None,
    damping: Damping,
    speed: float,
    strength: float,
    max_displacement: float,
    integrator: str,
    direction_degrees: float = 0.0,
) -> Settings:
    """Check the settings of a force.

    Args:
        volume: its frame rate is the default.
        num_frames: frames to make, 1 to 100,000.
        fps: frames per second, > 0; None takes the volume's.
        damping: of the modes.
        speed: of the modes, > 0.
        strength: factor of the force, >= 0.
        max_displacement: soft limit of the displacement as a fraction of the width, > 0.
        integrator: one of `oscillators.INTEGRATORS`.
        direction_degrees: direction of the force, finite.

    Raises:
        ValueError: if a setting is out of range or of another type; the message names it.
    """
    check_instance("volume", volume, SpectralVolume, "a spectral volume")
    check_instance("damping", damping, Damping, "a Damping, such as Damping(ratio=0.05)")
    check_choice("integrator", integrator, INTEGRATORS)
    return Settings(
        check_frame_count("num_frames", num_frames),
        volume.fps if fps is None else check_rate("fps", fps, "frames per second"),
        check_rate("speed", speed, "1 is natural, 0.5 is half as fast"),
        check_number("strength", strength, 0, MAX_STRENGTH, meaning="1 is the default, 0 is no motion"),
        check_number("max_displacement", max_displacement, above=0, meaning="a fraction of the width"),
        check_number("direction_degrees", direction_degrees, meaning="0 is right, 90 is down"),
    )
