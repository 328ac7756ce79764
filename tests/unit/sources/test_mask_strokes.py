"""A volume from strokes of the motion brush: soft edges, pins, stiffness, and strokes that cannot sway."""

import pytest
import torch

from gid_core.sources.mask import volume_from_mask
from gid_core.sources.motion_brush import rasterize_strokes
from gid_core.sources.steering import PAINTED
from gid_core.sources.stroke_list import Stroke
from peak_memory import PeakMemory


def swing(volume):
    """Root mean square displacement in pixels [H, W] of photo 0."""
    return (volume.coefficients[0, 1:].square().sum((0, 1)) * (2 / volume.period**2)).sqrt()


def test_hard_strokes_sway_as_the_mask_that_they_paint():
    strokes = [Stroke("move", ((0.5, 0.9), (0.5, 0.2)), 0.08, 0)]
    mask = (rasterize_strokes(strokes, (64, 64)).move > PAINTED).float()
    drawn, masked = volume_from_mask(strokes=strokes, size=(64, 64)), volume_from_mask(mask)
    full = (rasterize_strokes(strokes, (64, 64)).move == 1).float()
    inside = torch.nn.functional.avg_pool2d(full[None], 5, 1, 2)[0] > 0.99  # a hard edge is a little soft
    difference = (drawn.coefficients - masked.coefficients)[..., inside].abs().max()
    assert difference < 0.05 * masked.coefficients.abs().max()
    both = volume_from_mask(mask, strokes=strokes)
    torch.testing.assert_close(both.coefficients, masked.coefficients)


def test_soft_edges_move_less():
    soft = swing(volume_from_mask(strokes=[Stroke("move", ((0.5, 0.9), (0.5, 0.2)), 0.2, 1)], size=(64, 64)))
    row = soft[16]
    assert row[:20].max() < 0.05 * row.max() and (row[21:29].diff() >= 0).all()
    assert row.diff().abs().max() < 0.25 * row.max()


def test_pins_hold_what_they_touch_and_others_stand():
    bars = [Stroke("move", ((x, 0.9), (x, 0.2)), 0.06) for x in (0.25, 0.75)]
    top = Stroke("pin", ((0.2, 0.2), (0.3, 0.2)), 0.1)
    rms = swing(volume_from_mask(strokes=[*bars, top], size=(64, 64)))
    assert rms[13, 16] < 1e-4 < rms[55, 16] and rms[55, 16] > 3 * rms[30, 16]  # hangs from the pin
    assert rms[13, 48] > 3 * rms[45, 48]  # stands


def test_stiff_objects_sway_faster_and_stiff_parts_bend_less():
    bars = [Stroke("move", ((x, 0.9), (x, 0.2)), 0.06, stiffness=s) for x, s in ((0.25, 1), (0.75, 4))]
    volume = volume_from_mask(strokes=bars, size=(64, 64), base_frequency=0.4)
    power = volume.coefficients[0].square().sum(1)
    assert power[:, 13, 16].argmax() == 2 and power[:, 13, 48].argmax() == 4
    assert swing(volume)[13, 48] < 0.8 * swing(volume)[13, 16]
    stem = [
        Stroke("move", ((0.5, 0.9), (0.5, 0.2)), 0.06),
        Stroke("move", ((0.5, 0.9), (0.5, 0.6)), 0.06, stiffness=10),
    ]
    plain, stiffened = (swing(volume_from_mask(strokes=each, size=(64, 64))) for each in (stem[:1], stem))
    assert stiffened[38, 32] / stiffened[13, 32] < 0.85 * plain[38, 32] / plain[13, 32]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Nothing is painted that moves"),
        ({"size": (64, 64)}, "Nothing is painted that moves"),
        ({"strokes": [Stroke("pin", ((0.5, 0.5),))], "size": (64, 64)}, "Nothing is painted that moves"),
        ({"strokes": [Stroke("move", ((-0.9, 0.5),))], "size": (64, 64)}, "Nothing is painted that moves"),
        ({"strokes": [Stroke("move", ((0.5, 0.5),))]}, "need the size of the image.*connect image"),
        ({"strokes": "[]", "size": (64, 64)}, "strokes must be a list of Stroke"),
        ({"strokes": [Stroke("move", ((0.5, 0.5),))], "size": (0, 64)}, "height must be"),
        (
            {"strokes": [Stroke("move", ((0.5, 0.5),), 0.1), Stroke("pin", ((0.5, 0.5),), 0.5)], "size": (64, 64)},
            "The pins hold all of the mask",
        ),
    ],
)
def test_strokes_that_cannot_sway(arguments, message):
    with pytest.raises(ValueError, match=message):
        volume_from_mask(**arguments)


def test_long_arrows_give_a_note():
    strokes = [Stroke("move", ((0.5, 0.9), (0.5, 0.5)), 0.1), Stroke("arrow", ((0.5, 0.5), (1.0, 0.5)))]
    with pytest.warns(UserWarning, match="or draw shorter arrows"):
        volume_from_mask(strokes=strokes, size=(64, 64))


def test_strokes_on_a_huge_picture_take_no_more_memory():
    stroke = Stroke("move", ((0.5, 0.9), (0.5, 0.2)), 0.2)
    with PeakMemory() as memory:
        huge = volume_from_mask(strokes=[stroke], size=(8192, 16384), grid=16)
    assert memory.peak < 2e8
    torch.testing.assert_close(
        huge.coefficients, volume_from_mask(strokes=[stroke], size=(256, 512), grid=16).coefficients
    )


def test_roots_of_another_picture_are_refused_by_the_sizes_that_the_user_knows():
    with pytest.raises(ValueError, match="roots is 300 x 300 and what sways is painted on 4000 x 2000: .* one image"):
        volume_from_mask(
            None, torch.ones(300, 300), strokes=[Stroke("move", ((0.5, 0.9), (0.5, 0.2)), 0.2)], size=(2000, 4000)
        )


def test_a_region_between_its_roots_is_held_and_does_not_stop_the_others():
    """The middle one of three columns of cells has no corner of its own."""
    mask, roots = torch.zeros(2, 32, 32).unbind()
    mask[:, :12], roots[:, [0, 1, 2, 3, 8, 9, 10, 11]] = 1, 1
    with pytest.raises(ValueError, match="The roots hold all of the mask; paint a larger region"):
        volume_from_mask(mask, roots, grid=8)
    mask[:, 20:], roots[28:, 20:] = 1, 1
    rms = swing(volume_from_mask(mask, roots, grid=8))
    assert rms[2, 28] > 10 * rms[:, :12].max()
