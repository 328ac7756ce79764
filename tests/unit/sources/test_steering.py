"""Motion along arrows: direction, reach, energy, and objects without an arrow."""

import math

import pytest
import torch

from gid_core.motion import loop
from gid_core.sources.mask import volume_from_mask
from gid_core.sources.steering import steer
from gid_core.sources.stroke_list import Stroke
from gid_core.spectral_volume import SpectralVolume

SIZE = (60, 100)
LEFT, RIGHT = (Stroke("move", ((x, 0.8), (x, 0.2)), 0.06) for x in (0.25, 0.75))


def arrow(x, y, dx, dy):
    return Stroke("arrow", ((x, y), (x + dx, y + dy)))


def paths(volume):
    """Displacements [T, 2, H, W] in the loop of photo 0."""
    return loop(volume).displacement()[0]


def random_volume():
    coarse = torch.randn(8, 4, 3, 4, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(coarse, SIZE, mode="bicubic", align_corners=True)
    return SpectralVolume(smooth[None] * 40).at_rest()


def energy(volume, axis):
    return volume.coefficients[0, 1:, 2 * axis : 2 * axis + 2].square().sum((0, 1))


def test_an_object_sways_along_its_arrow_as_far_as_it_is_long():
    free = volume_from_mask(strokes=[LEFT, RIGHT], size=SIZE, grid=32)
    steered = volume_from_mask(strokes=[LEFT, RIGHT, arrow(0.25, 0.3, 0, -0.1)], size=SIZE, grid=32)
    moved = paths(steered)[..., :50]
    assert float(moved.norm(dim=1).max()) == pytest.approx(0.1 * 60, rel=1e-3)
    flat = int(moved.norm(dim=1).argmax())
    time, pixel = divmod(flat, 60 * 50)
    extreme = moved[time].flatten(1)[:, pixel]
    assert extreme[1] < 0 and abs(extreme[0]) < 0.3 * abs(extreme[1])  # toward the head of the arrow
    assert energy(free, 0)[:, :50].sum() > 5 * energy(free, 1)[:, :50].sum()
    assert energy(steered, 1)[:, :50].sum() > 5 * energy(steered, 0)[:, :50].sum()
    assert paths(steered)[0].abs().max() < 1e-4  # it begins with the photo
    assert energy(steered, 0)[:, 70:].sum() > 5 * energy(steered, 1)[:, 70:].sum()  # the other one


def test_two_arrows_of_one_object_blend():
    wide = Stroke("move", ((0.15, 0.6), (0.85, 0.6)), 0.2)
    volume = volume_from_mask(strokes=[wide, arrow(0.2, 0.4, 0.05, 0), arrow(0.8, 0.4, 0, 0.05)], size=SIZE, grid=32)
    left, right = (math.sqrt(energy(volume, 1)[15:25, x].sum() / energy(volume, 0)[15:25, x].sum()) for x in (20, 80))
    assert left < 0.6 and right > 1.7
    assert torch.isfinite(volume.coefficients).all()


def test_opposite_arrows_do_not_tear():
    wide = Stroke("move", ((0.15, 0.6), (0.85, 0.6)), 0.2)
    volume = volume_from_mask(strokes=[wide, arrow(0.2, 0.4, 0.05, 0), arrow(0.8, 0.4, -0.05, 0)], size=SIZE, grid=32)
    moved = paths(volume)[:, 0, 15:30, 15:85]
    assert moved.diff(dim=2).abs().max() < 0.15 * moved.abs().max()


def test_predicted_motion_keeps_its_energy_and_turns():
    volume = random_volume()
    steered = steer(volume, [arrow(0.5, 0.5, 0.2, 0)])
    assert energy(steered, 0).sum() > 4 * energy(steered, 1).sum()
    before, after = (energy(each, 0).sum() + energy(each, 1).sum() for each in (volume, steered))
    assert float(after) == pytest.approx(float(before), rel=1e-4)
    assert paths(steered)[0].abs().max() < 1e-4


def test_only_the_object_under_an_arrow_turns_and_stiff_parts_move_less():
    volume = random_volume()
    stiff = Stroke("move", RIGHT.points, 0.06, stiffness=4)
    steered = steer(volume, [LEFT, stiff, arrow(0.25, 0.5, 0, 0.1)])
    turned = energy(steered, 1)[15:45, 22:28].sum() / energy(steered, 0)[15:45, 22:28].sum()
    assert turned > 2
    torch.testing.assert_close(steered.coefficients[..., 30, 75], volume.coefficients[..., 30, 75] / 2)
    assert torch.equal(steer(volume, []).coefficients, volume.coefficients)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="volume must be"):
        steer(None, [])
    with pytest.raises(ValueError, match="strokes must be"):
        steer(random_volume(), "[]")


def test_the_shortest_arrows_still_have_a_direction():
    tiny = Stroke("arrow", ((0.0, 0.5), (1e-300, 0.5)))
    assert not volume_from_mask(strokes=[LEFT, tiny], size=SIZE, grid=32).coefficients.any()  # it goes nowhere
    steered, long = (steer(random_volume(), [each]) for each in (tiny, Stroke("arrow", ((0.0, 0.5), (0.3, 0.5)))))
    torch.testing.assert_close(steered.coefficients, long.coefficients)
