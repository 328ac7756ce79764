"""The live widget of Wind Force in the page: it equals the library, and pointer and keys set the wind."""

import numpy as np
import pytest
import torch

from browser.live_page import (
    HINT,
    build,
    displacement_at,
    displacements_at,
    drag,
    run,
    set_value,
    settle,
    swaying_volume,
    value,
    view,
    wait_equal,
)
from gid_core.dynamics.wind import wind


def test_wind_is_live(page, tmp_path):
    selector = build(
        page, "GID_Wind", photo="flowers.jpg", num_frames=60, seed=7, gustiness=0.6, control_after_generate="fixed"
    )
    settle(page, ".gid-live")
    assert page.get_by_text(HINT).is_visible()
    run(page, selector)
    settle(page, selector)
    page.screenshot(path=tmp_path / f"wind_{page.renderer}_{page.frontend}.png")
    assert view(page, "playing", selector)

    samples = [(row, column, n) for row, column in [(72, 128), (50, 90), (100, 180)] for n in range(0, 60, 3)]
    points = [((column + 0.5) / 256, (row + 0.5) / 144, n / 30) for row, column, n in samples]

    def wait_until_as_gid_core(**settings):
        motion = wind(swaying_volume(), num_frames=60, fps=30.0, seed=7, gustiness=0.6, **settings)
        true = motion.displacement()[0] / torch.tensor([256.0, 144.0]).view(2, 1, 1)
        expected, largest = np.stack([true[n, :, row, column] for row, column, n in samples]), float(true.abs().max())
        wait_equal(
            lambda: np.abs(displacements_at(page, points, selector) - expected).max() / largest, lambda d: d < 0.03
        )

    wait_until_as_gid_core()
    set_value(page, "strength", 2, "GID_Wind")
    set_value(page, "direction", 90, "GID_Wind")
    wait_until_as_gid_core(strength=2.0, direction_degrees=90.0)
    set_value(page, "loop", True, "GID_Wind")
    wait_until_as_gid_core(strength=2.0, direction_degrees=90.0, loops=True)
    set_value(page, "strength", 0, "GID_Wind")
    wait_equal(lambda: np.abs(displacement_at(page, 0.5, 0.5, 1.0, selector)).max(), 0)

    # Pointer and keys set the direction of the wind.
    drag(page, (0.5, 0.5), (0.5, 0.2), selector)
    page.mouse.up()
    assert value(page, "direction", "GID_Wind") % 360 == pytest.approx(270, abs=2)
    assert 1 < value(page, "strength", "GID_Wind") < 2
    page.locator(selector).focus()
    page.keyboard.press("ArrowRight")
    assert value(page, "direction", "GID_Wind") % 360 == pytest.approx(275, abs=2)
