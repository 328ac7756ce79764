"""Presets: what they change, in order."""

from dataclasses import astuple

import pytest

from dynamics_volumes import natural_volume
from gid_core.dynamics.oscillators import DEFAULT_DAMPING, Damping
from gid_core.dynamics.wind import wind
from gid_core.presets import SWAY_PRESETS, WIND_PRESETS


@pytest.mark.parametrize("presets", [WIND_PRESETS, SWAY_PRESETS])
def test_no_two_presets_are_equal(presets):
    assert len({astuple(preset) for preset in presets.values()}) == len(presets) >= 4


def test_winds_get_stronger():
    def reach(preset):
        damping = Damping(preset.damping * DEFAULT_DAMPING.alpha, preset.damping * DEFAULT_DAMPING.beta)
        settings = dict(strength=preset.strength, gustiness=preset.gustiness, speed=preset.speed, damping=damping)
        motion = wind(natural_volume(), num_frames=300, seed=1, loops=True, **settings)
        return float(motion.displacement().square().mean())

    reaches = [reach(WIND_PRESETS[name]) for name in ("gentle", "breeze", "gusty", "storm")]
    assert reaches == sorted(reaches) and reaches[-1] > 4 * reaches[0]
