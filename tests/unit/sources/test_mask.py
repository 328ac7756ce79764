"""A volume from a mask: its regions, supports, modes and amplitudes, and invalid input."""

import math
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gid_core.motion import loop
from gid_core.sources.mask import mode_response, volume_from_mask
from gid_core.sources.mask_regions import support_cells


def bar(height=64, width=64, left=30, thick=4, top=8, bottom=60):
    """A mask [height, width] of one upright bar."""
    mask = torch.zeros(height, width)
    mask[top:bottom, left : left + thick] = 1
    return mask


def plant():
    """A mask [64, 64] with no symmetry: a stem, a head to its right, a leaf to its left."""
    mask = bar(left=26, thick=3, top=16)
    mask[8:22, 22:40] = 1
    mask[36:40, 16:27] = 1
    return mask


def swing(volume):
    """Root mean square displacement in pixels [H, W] of photo 0."""
    return (volume.coefficients[0, 1:].square().sum((0, 1)) * (2 / volume.period**2)).sqrt()


def test_a_bar_is_fixed_at_its_base_and_moves_most_at_its_tip_sideways():
    volume = volume_from_mask(bar())
    rms = swing(volume)
    assert rms[58:60, 30:34].abs().max() == 0
    column = rms[8:60, 31]
    assert column.argmax() == 0 and (column.diff() <= 1e-6).all()
    sideways, along = volume.coefficients[0, 1:, :2].norm(), volume.coefficients[0, 1:, 2:].norm()
    assert along < 0.25 * sideways


def test_motion_fades_out_over_a_rim_around_the_mask():
    rms = swing(volume_from_mask(bar(), amplitude=0.02))  # a rim of 8 % of 64 pixels
    row = rms[10]
    assert (row[:24] == 0).all() and (row[40:] == 0).all()
    assert (row[26:30].diff() > 0).all() and row[29] < row[30]
    assert row[26] < 0.5 * row[30]


def test_the_amplitude_is_as_requested():
    for amplitude in (0.004, 0.02):
        volume = volume_from_mask(torch.stack([bar(), plant()]), amplitude=amplitude)
        torch.testing.assert_close(volume.amplitude, torch.full((2,), amplitude), rtol=1e-4, atol=0)
    assert volume_from_mask(bar(), amplitude=0).coefficients.abs().max() == 0


def test_a_loop_begins_at_rest_and_sways_to_both_sides_of_the_photo():
    volume = volume_from_mask(plant())
    motion = loop(volume).displacement()[0]
    assert motion[0].abs().max() == 0
    start = volume.coefficients[0, 0, ::2] + 2 * volume.coefficients[0, 1:, ::2].sum(0)
    assert start.abs().max() < 1e-3 * volume.coefficients.abs().max()  # of the volume itself, before it is looped
    assert volume.metadata["source"] == "sway from mask" and volume.detrend == "ramp"
    tip = motion[:, 0, 10, 38]
    assert tip.max() > 0.2 * tip.abs().max() and tip.min() < -0.2 * tip.abs().max()


def test_the_bin_of_the_slowest_mode_has_the_most_energy():
    for base, own in ((0.4, 2), (0.6, 3), (1.0, 5)):
        loudness = volume_from_mask(bar(), base_frequency=base).coefficients[0, 1:].square().sum((1, 2, 3))
        assert int(loudness.argmax()) + 1 == own
        assert (loudness > 0).all()


def test_a_slender_plant_moves_in_several_shapes():
    for mask in (bar(thick=2), plant()):
        slices = volume_from_mask(mask).coefficients[0, 1:]
        shapes = torch.linalg.svdvals(torch.complex(slices[:, ::2], slices[:, 1::2]).flatten(1))
        assert shapes[1] > 0.1 * shapes[0] and shapes[2] > 0.03 * shapes[0]


@pytest.mark.parametrize(
    ("modes", "base", "bins"),
    [
        ([1, 6.27, 17.5, 34], 0.5, [3, 8, 15]),  # drawn together, the fourth is left out
        ([1, 1.5, 2.2, 3], 0.5, [3, 4, 6, 8]),  # all have room as they are
        ([1, 6.27, 17.5], 3.0, [15, 15, 15]),
        ([1.0], 0.5, [3]),
        ([1, 1, 1.0], 0.4, [2, 2, 2]),
    ],
)
def test_modes_peak_in_separate_bins_with_their_own_amplitudes(modes, base, bins):
    mixed = np.abs(mode_response(np.array(modes, float), base, np.arange(16) * 0.2, (0, 0)))
    heard = mixed[:, mixed.any(0)]
    assert (mixed[0] == 0).all() and heard.shape[1] == len(bins)
    np.testing.assert_array_equal(heard.argmax(0), bins)
    np.testing.assert_allclose(heard.max(0), 1 / (base * np.array(modes[: len(bins)])), rtol=1e-6)


def test_a_short_region_is_faster_and_moves_less():
    mask = bar(top=8, bottom=60, left=10)
    mask[34:60, 50:54] = 1
    coefficients = volume_from_mask(mask).coefficients[0, 1:].square().sum(1)
    tall, short = coefficients[..., :30].sum((1, 2)), coefficients[..., 40:].sum((1, 2))
    assert tall.argmax() + 1 == 3 and short.argmax() + 1 == 5  # 0.5 and 1 Hz
    rms = swing(volume_from_mask(mask))
    assert 0.3 < rms[:, 40:].max() / rms[:, :30].max() < 0.75


def test_the_frequency_of_a_tiny_region_is_limited_and_it_moves_little():
    mask = bar(top=4, left=10)
    mask[55:60, 50:53] = 1
    volume = volume_from_mask(mask)
    coefficients = volume.coefficients[0, 1:, :, :, 40:].square().sum((1, 2, 3))
    assert coefficients.argmax() + 1 in (7, 8)  # half of 3 Hz
    rms = swing(volume)
    assert 0 < rms[:, 40:].max() < 0.2 * rms[:, :30].max()


def test_the_seed_determines_the_motion():
    first = volume_from_mask(plant(), seed=3).coefficients
    assert torch.equal(first, volume_from_mask(plant(), seed=3).coefficients)
    assert not torch.allclose(first, volume_from_mask(plant(), seed=4).coefficients)


def turned(coefficients):
    """Slices of an image rotated by 90 degrees counterclockwise: (x, y) becomes (y, -x)."""
    spun = coefficients.rot90(1, (-2, -1))
    return torch.cat([spun[:, :, 2:], -spun[:, :, :2]], 2)


@pytest.mark.parametrize("with_roots", [False, True])
def test_rotating_image_and_gravity_rotates_the_motion(with_roots):
    roots = F.pad(torch.ones(4, 64), (0, 0, 60, 0)) if with_roots else None
    plain = volume_from_mask(plant(), roots)
    other = volume_from_mask(plant().rot90(), None if roots is None else roots.rot90(), gravity_degrees=0)
    torch.testing.assert_close(other.coefficients, turned(plain.coefficients), atol=2e-3, rtol=1e-3)


def test_mirroring_the_image_mirrors_the_motion():
    plain = volume_from_mask(plant())
    mirrored = plain.coefficients.flip(-1) * torch.tensor([-1.0, -1, 1, 1]).view(1, 1, 4, 1, 1)
    other = volume_from_mask(plant().flip(-1)).coefficients
    torch.testing.assert_close(other, -mirrored, atol=2e-3, rtol=1e-3)


def test_with_gravity_up_a_region_is_held_at_its_top():
    standing, hanging = volume_from_mask(bar()), volume_from_mask(bar(), gravity_degrees=-90)
    assert swing(standing)[58, 31] == 0 and swing(standing)[9, 31] > 0
    assert swing(hanging)[9, 31] == 0 and swing(hanging)[58, 31] > 0


def polygon(*points):
    import cv2

    return cv2.fillPoly(np.zeros((96, 96), np.uint8), [np.array(points, np.int32)], 1) > 0


def ball(x, y, across, up):
    rows, columns = np.mgrid[:96, :96]
    return ((columns - x) / across) ** 2 + ((rows - y) / up) ** 2 < 1


def on_a_slope(left, right, top, bottom, degrees):
    rise = round((right - left) * math.tan(math.radians(degrees)))
    return polygon((left, top), (right, top - rise), (right, bottom - rise), (left, bottom))


TRUNK = polygon((44, 50), (52, 50), (52, 90), (44, 90))
ARCH = ball(48, 60, 40, 40) & ~ball(48, 60, 28, 28)
ARCH[60:] = False
ARCH[60:90, 8:20] = ARCH[60:90, 77:89] = True


def edge_of(solid):
    """The lowest cell of every column."""
    return solid & ~np.flip(np.flip(solid, 0).cumsum(0) > 1, 0)


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("slope", [0, 8, 20])
def test_a_tall_region_is_held_along_its_whole_underside(slope, turn):
    solid = on_a_slope(10, 80, 50, 88, slope)
    foot = np.rot90(support_cells(np.rot90(solid, turn), 90.0 - 90 * turn), -turn)
    assert foot[edge_of(solid)].all() and foot.sum() < 0.12 * solid.sum()


def test_a_rough_underside_is_held_completely():
    solid = on_a_slope(10, 80, 50, 88, 15)
    rough = solid & ~(edge_of(solid) & (np.arange(96) % 3 == 0))
    assert support_cells(rough, 90.0)[edge_of(rough)].all()


@pytest.mark.parametrize(
    ("solid", "expected"),
    [
        (polygon((46, 8), (50, 8), (50, 90), (46, 90)), [(86, 46, 50)]),
        (TRUNK | ball(48, 34, 26, 26), [(86, 44, 52)]),
        (TRUNK | ball(48, 34, 26, 26) | polygon((23, 34), (26, 34), (26, 80), (23, 80)), [(86, 44, 52)]),  # a willow
        (TRUNK | (ball(48, 40, 40, 26) & (np.arange(96)[:, None] < 44)), [(86, 44, 52)]),  # a mushroom
        (ARCH, [(85, 8, 20), (85, 76, 88)]),
        (on_a_slope(8, 88, 60, 66, 20), [(65, 8, 15)]),  # a branch
        (ball(48, 48, 38, 38), [(76, 24, 72)]),
    ],
)
def test_an_overhanging_or_leaning_region_is_held_at_its_low_end(solid, expected):
    """Held cells lie only within the given areas (top row, first and last column), and some lie in each."""
    foot = support_cells(solid, 90.0)
    inside = np.zeros_like(foot)
    for top, first, last in expected:
        assert foot[top:, first : last + 1].any()
        inside[top:, first : last + 1] = True
    assert not (foot & ~inside).any() and not (foot & ~solid).any()


def test_roots_hold_and_may_adjoin_the_mask():
    mask, roots = bar(), torch.zeros(64, 64)
    roots[:14] = 1
    rms = swing(volume_from_mask(mask, roots))
    assert rms[:14].max() == 0 and rms[59].max() == rms.max() > 0
    pot = torch.zeros(64, 64)
    pot[60:, 20:44] = 1  # below the bar, without overlap
    rms = swing(volume_from_mask(mask, pot))
    assert rms[60:].max() == 0 and rms[59, 30:34].max() == 0 and rms[8, 31] > 0


def test_distant_regions_do_not_influence_each_other():
    mask = torch.zeros(64, 128)
    mask[:, :64] = plant()
    alone = volume_from_mask(mask).coefficients
    mask[40:60, 100:103] = 1
    both = volume_from_mask(mask).coefficients
    left = both[..., :64]
    scale = left.norm() / alone.norm()
    torch.testing.assert_close(left[:, 1:], alone[:, 1:, ..., :64] * scale, atol=1e-3, rtol=1e-3)
    assert both[..., 90:].abs().max() > 0 and both[..., 64:90].abs().max() == 0


def test_a_region_without_roots_stays_still_with_a_warning():
    mask = torch.zeros(64, 128)
    mask[8:60, 20:24] = mask[8:50, 30:34] = 1  # within the first bar's rim
    roots = torch.zeros(64, 128)
    roots[56:] = 1
    with pytest.warns(UserWarning, match="touch 1 of the 2 regions"):
        rms = swing(volume_from_mask(mask, roots, amplitude=0.02))
    assert rms[8:50, 30:34].max() == 0 and rms[10, 28] > 0 and rms[10, 22] > 0


def test_the_motion_does_not_depend_on_the_image_size():
    big = volume_from_mask(F.interpolate(plant()[None, None], scale_factor=2)[0, 0], grid=64)
    small = volume_from_mask(plant(), grid=64)
    halved = big.resize((64, 64))
    inside = plant() > 0
    difference = (halved.coefficients - small.coefficients)[..., inside]
    assert difference.norm() < 0.02 * small.coefficients[..., inside].norm()
    huge = volume_from_mask(F.interpolate(plant()[None, None], scale_factor=16)[0, 0], grid=64)
    assert huge.size == (512, 512)
    difference = (huge.resize((64, 64)).coefficients - small.coefficients)[..., inside]
    assert difference.norm() < 0.03 * small.coefficients[..., inside].norm()


@pytest.mark.parametrize("slant", [0, 40, 150])
def test_a_stem_one_pixel_wide_moves_together_with_its_head(slant):
    import cv2

    mask = np.zeros((576, 1024), np.float32)
    cv2.circle(mask, (500 + slant, 120), 60, 1.0, -1)
    cv2.line(mask, (500, 560), (500 + slant, 150), 1.0, 1)
    rms = swing(volume_from_mask(torch.from_numpy(mask)))
    head = rms[60, (500 + slant) // 2]
    column = [float(rms[y, round((500 + slant * (560 - 2 * y) / 410) / 2)]) for y in (260, 200, 150, 100)]
    assert 0 < column[0] < column[1] < column[2] < column[3]
    assert column[3] < 1.2 * head < 3 * column[3]


def test_a_completely_white_mask_sways():
    volume = volume_from_mask(torch.ones(36, 64))
    rms = swing(volume)
    assert rms[-1].max() == 0 and rms[0].min() > 0


def test_specks_are_dropped():
    mask = bar()
    mask[20, 50] = 1
    assert torch.equal(volume_from_mask(mask).coefficients[..., 40:], torch.zeros(1, 16, 4, 64, 24))
    mask = torch.zeros(64, 64)
    mask[::9, ::9] = 1
    with pytest.raises(ValueError, match="only specks"):
        volume_from_mask(mask)


def test_bins_frame_rate_and_period_are_as_requested():
    volume = volume_from_mask(bar(), num_bins=8, fps=24, period=96)
    assert (volume.num_bins, volume.fps, volume.period, volume.size) == (8, 24, 96, (64, 64))


def test_a_too_large_amplitude_is_warned_of():
    with pytest.warns(UserWarning, match="Lower the amplitude"):
        volume_from_mask(bar(top=40), amplitude=0.05)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        volume_from_mask(bar())


def roots_at(rows):
    roots = torch.zeros(64, 64)
    roots[rows] = 1
    return roots


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mask": torch.zeros(8, 8)}, "mask is black"),
        ({"mask": torch.stack([bar(), torch.zeros(64, 64)])}, "mask 2 is black"),
        ({"mask": torch.full((8, 8), math.nan)}, "mask holds NaN"),
        ({"mask": torch.zeros(8)}, r"\[H, W\]"),
        ({"roots": torch.full((64, 64), math.nan)}, "roots holds NaN"),
        ({"roots": torch.zeros(64, 64)}, "roots is black"),
        ({"roots": roots_at(slice(0, 3))}, "touch no region"),
        ({"roots": torch.ones(64, 64)}, "roots hold all"),
        ({"roots": torch.ones(64, 20)}, "not of one image"),
        ({"roots": torch.ones(3, 64, 64)}, "roots must be one mask"),
        ({"gravity_degrees": math.nan}, "gravity_degrees"),
        ({"amplitude": -1}, "amplitude"),
        ({"amplitude": math.inf}, "amplitude"),
        ({"base_frequency": 0}, "base_frequency"),
        ({"base_frequency": 3.5}, "at most the last bin's 3 Hz"),
        ({"num_bins": 1}, "num_bins"),
        ({"period": 20}, "num_bins .*period of 20"),
        ({"fps": 0}, "fps"),
        ({"seed": -1}, "seed"),
        ({"grid": 4}, "grid"),
        ({"grid": 1000}, "grid"),
    ],
)
def test_invalid_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        volume_from_mask(**{"mask": bar(), **arguments})
