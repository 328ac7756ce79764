"""Presets of wind and of what sways: names for values that go together.

A preset is no input of a node and is not stored: the values are the truth. Choosing a preset in the page fills the
node's widgets, so what is seen is what runs, a user's changes are saved as they are, and the API, old workflows and
Python need no second way of saying the same. The page shows the preset that the values equal, or "custom".
`gid wind --preset` sets the options of the same names.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WindPreset:
    """Values of Wind Force, chosen by eye."""

    strength: float  # 1 moves as far as the volume's loop
    gustiness: float  # 0 .. 1
    speed: float  # of the wind and of the modes
    damping: float  # factor for alpha and beta


@dataclass(frozen=True)
class SwayPreset:
    """Values of Sway From Mask, chosen by eye."""

    gravity: str  # which end is fixed
    amplitude: float  # percent of the image's width
    base_frequency: float  # Hz, of the longest region


WIND_PRESETS = {
    "gentle": WindPreset(strength=0.5, gustiness=0.2, speed=0.8, damping=1.0),
    "breeze": WindPreset(strength=1.0, gustiness=0.5, speed=1.0, damping=1.0),  # the defaults
    "gusty": WindPreset(strength=1.4, gustiness=1.0, speed=1.1, damping=0.8),
    "storm": WindPreset(strength=2.0, gustiness=0.8, speed=1.6, damping=0.6),
}
SWAY_PRESETS = {
    "flower": SwayPreset(gravity="down", amplitude=1.0, base_frequency=0.5),  # the defaults
    "hanging": SwayPreset(gravity="up", amplitude=1.5, base_frequency=0.7),
    "grass": SwayPreset(gravity="down", amplitude=0.8, base_frequency=1.0),
    "tree": SwayPreset(gravity="down", amplitude=0.6, base_frequency=0.3),
    "water plant": SwayPreset(gravity="down", amplitude=2.5, base_frequency=0.25),
}
