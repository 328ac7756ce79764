"""Pokes: a pulled point moves where it is pulled, and after its release its modes oscillate freely."""

import dataclasses

import numpy as np
import pytest
import scipy.integrate
import torch

import gid_core as gid
from dynamics_volumes import smooth_volume
from gid_core.dynamics.modes import Modes
from gid_core.dynamics.oscillators import Damping
from gid_core.dynamics.poke import PokePull, poke
from gid_core.dynamics.poke_list import Poke
from gid_core.spectral_volume import SpectralVolume

H, W = 24, 40


def with_static_left(volume):
    """The left half does not move."""
    mask = torch.zeros(volume.size)
    mask[:, volume.size[1] // 2 :] = 1
    return volume.mask(mask)


def pixel_at(x, y, size=(H, W)):
    """(row, column) of the pixel whose center is at fractions (x, y)."""
    return round(y * size[0] - 0.5), round(x * size[1] - 0.5)


X, Y = (25 + 0.5) / W, (10 + 0.5) / H  # center of a pixel
ROW, COLUMN = pixel_at(X, Y)
PULL = Poke(X, Y, -0.05, 0.0)


# ---- where the point moves ----


@pytest.mark.parametrize("direction", [(-1, 0), (1, 0), (0, -1), (0.6, 0.8)])
@pytest.mark.parametrize("seed", range(4))
def test_the_point_moves_in_the_direction_and_distance_of_the_pull(direction, seed):
    dx, dy = 0.05 * direction[0], 0.05 * direction[1] * W / H
    moved = poke(smooth_volume(seed), [Poke(X, Y, dx, dy)], num_frames=12).displacement()[0, :, :, ROW, COLUMN]
    along = (moved @ torch.tensor(direction, dtype=torch.float32)) / W
    assert moved[0].abs().max() == 0  # the press begins
    assert (along[1:7].diff() > 0).all() and along[1] > 0  # it moves during the six frames of the hold
    assert along[6] == pytest.approx(0.05, rel=0.02)  # at release
    assert along[7] < along[6]  # then it moves back


def test_a_left_pull_moves_left_first():
    moved = poke(smooth_volume(), [PULL], num_frames=7).displacement()[0, :, 0, ROW, COLUMN]
    assert (moved[1:] < 0).all() and moved[6] == pytest.approx(-0.05 * W, rel=0.02)


def test_without_hold_the_point_moves_at_once():
    for frame in (0, 4):
        item = dataclasses.replace(PULL, hold=0.0, time=frame / 30)
        moved = poke(smooth_volume(), [item], num_frames=10).displacement()[0, :, 0, ROW, COLUMN]
        assert moved[:frame].abs().sum() == 0 and moved[frame] == pytest.approx(-0.05 * W, rel=0.02)


def test_a_pull_between_pixels_is_interpolated():
    moved = poke(smooth_volume(), [Poke(26 / W, 11 / H, 0.05, 0)], num_frames=7).displacement()[0, 6, 0]
    assert moved[10:12, 25:27].mean() == pytest.approx(0.05 * W, rel=0.02)


def test_corners_and_edges_can_be_poked():
    for x in (0, 0.5, 1):
        for y in (0, 1):
            moved = poke(smooth_volume(), [Poke(x, y, 0.03, 0)], num_frames=7).displacement()[0, 6, 0]
            assert moved[round(y * (H - 1)), min(int(x * W), W - 1)] == pytest.approx(0.03 * W, rel=0.05)


def test_a_pull_across_the_motion_is_small():
    """A point that can only move vertically does not follow a horizontal pull."""
    volume = smooth_volume()
    only_y = volume.coefficients.clone()
    only_y[:, :, :2] = 0
    motion = poke(volume.replace(coefficients=only_y), [PULL], num_frames=60)
    assert motion.displacement().abs().max() < 1e-4
    only_y[:, :, 0] = 1e-3  # a point that barely moves horizontally barely follows
    assert poke(volume.replace(coefficients=only_y), [PULL], num_frames=60).displacement().abs().max() < 0.05 * W


def test_the_soft_limit_holds_and_lets_small_pulls_pass():
    volume = smooth_volume()
    reduced = volume.coefficients.clone()
    reduced[..., COLUMN - 3 : COLUMN + 4] *= 0.1  # the pulled point moves less than its surroundings
    volume = volume.replace(coefficients=reduced)
    for limit in (0.01, 0.1):
        for pull in (1e-4, 0.05, 1.0):
            item = Poke(X, Y, pull, pull, hold=0)
            peak = poke(volume, [item], num_frames=1, max_displacement=limit).displacement().norm(dim=2).max()
            free = poke(volume, [item], num_frames=1, max_displacement=1e9).displacement().norm(dim=2).max()
            assert peak <= limit * W * (1 + 1e-6)
            expected = free / (1 + (free / (limit * W)) ** 4) ** 0.25
            assert peak == pytest.approx(float(expected), rel=1e-4)
            if free < 0.1 * limit * W:
                assert peak == pytest.approx(float(free), rel=1e-4)


# ---- after the release ----


def two_mode_volume():
    """Only bins 2 and 5; amplitudes and phases differ between the poked side (right) and the far side (left)."""
    volume = smooth_volume(3)
    keep = torch.zeros(16)
    keep[2], keep[5] = 1, 1
    return volume.replace(coefficients=volume.coefficients * keep.view(1, -1, 1, 1, 1))


@pytest.mark.parametrize("damping", [Damping(), Damping(ratio=0.05), Damping(ratio=2.0)])
def test_all_pixels_follow_the_equation_of_their_modes(damping):
    volume, frames = two_mode_volume(), 90
    moved = poke(volume, [PULL], num_frames=frames, damping=damping).displacement()[0].double().numpy()
    slices = volume.coefficients[0].double().numpy()
    modes = slices[:, 0::2] + 1j * slices[:, 1::2]  # [K, 2, H, W]
    pull = -0.05 * W
    along = pull * modes[:, 0, ROW, COLUMN]
    total = pull**2 * (np.abs(modes[1:, :, ROW, COLUMN]) ** 2).sum()
    start = pull**2 * along.conj() / ((np.abs(along[1:]) ** 2).sum() + 0.005 * total)
    limit = 0.25 * W
    free = 6
    field = np.einsum("kchw,k->chw", modes[1:], start[1:]).real
    start = start / (1 + (np.linalg.norm(field, axis=0).max() / limit) ** 4) ** 0.25
    expected = np.zeros((frames - free, 2, H, W))
    for k in (2, 5):
        w = 2 * np.pi * k * 30 / 150
        gamma = float(damping.rates(np.array([w]))[0])

        def derivative(_, state, w=w, gamma=gamma):
            return [state[1], -gamma * state[1] - w * w * state[0]]

        times = np.arange(frames - free) / 30
        unit = scipy.integrate.solve_ivp(derivative, (0, times[-1]), [1, 0], "DOP853", times, rtol=1e-10, atol=1e-12).y[
            0
        ]
        expected += np.einsum("chw,n->nchw", (modes[k] * start[k]).real, unit)
    np.testing.assert_allclose(moved[free:, :, :, :10], expected[..., :10], atol=1e-3)  # far from the poke
    np.testing.assert_allclose(moved[free:], expected, atol=1e-3)
    assert np.abs(expected[..., :10]).max() > 0.1


def test_motion_decays_and_more_slowly_with_less_damping():
    def energy(damping, start):
        motion = poke(smooth_volume(), [PULL], num_frames=150, damping=damping)
        return motion.displacement(start, start + 30).square().mean()

    at_first, later = energy(Damping(), 6), energy(Damping(), 120)
    assert later < 0.02 * at_first
    assert energy(Damping(0.2, 0.02), 120) > 2 * later
    assert energy(Damping(0, 0), 120) > 0.2 * energy(Damping(0, 0), 6)


def test_a_kick_first_swings_as_far_as_a_pull_holds_it():
    volume = smooth_volume()
    held = poke(volume, [dataclasses.replace(PULL, hold=0)], num_frames=1).coordinates[0].norm(dim=1)
    item = Poke(X, Y, -0.05, 0, time=0.5, hold=7.0, kind="kick")
    motion = poke(volume, [item], num_frames=600, fps=300, damping=Damping(0, 0))
    assert motion.coordinates[:151].abs().sum() == 0  # an impulse: at its time nothing has moved yet
    swing = motion.coordinates.norm(dim=2).amax(dim=0)
    torch.testing.assert_close(swing[1:], held[1:], rtol=1e-3, atol=0)
    assert motion.displacement(151, 160)[0, :, 0, ROW, COLUMN].max() < 0


def test_a_drag_is_followed_and_its_velocity_kept_at_release():
    path = ((0.1, 0.0, 0.0), (0.3, 0.06, 0.0), (0.5, 0.06, 0.08))
    item = Poke(X, Y, time=0.2, path=path)
    assert (item.hold, item.dx, item.dy) == (0.5, 0.06, 0.08) and item.release == 0.7
    moved = poke(smooth_volume(), [item], num_frames=40).displacement()[0, :, :, ROW, COLUMN]
    along = moved[12, 0] / (0.03 * W), moved[15, 0] / (0.06 * W)  # 0.4 s and 0.5 s: halfway and at the corner
    assert along == (pytest.approx(1, abs=0.03), pytest.approx(1, abs=0.03))
    assert moved[:10].abs().max() < 1e-6  # the drag does not move at first
    # Released while moving down: the first frame after the release continues in the direction of the drag.
    assert moved[22, 1] > moved[21, 1] > moved[20, 1]
    eased = Poke(X, Y, 0.06, 0.08, time=0.2, hold=0.5)
    after = poke(smooth_volume(), [eased], num_frames=40).displacement()[0, :, :, ROW, COLUMN]
    assert after[22, 1] < after[21, 1]


def test_a_drag_that_stops_before_its_release_is_released_without_velocity():
    moving = Poke(X, Y, path=((0.3, 0.06, 0.0),))
    resting = Poke(X, Y, path=((0.2, 0.06, 0.0), (0.3, 0.06, 0.0)))
    volume = smooth_volume()
    at_rest = poke(volume, [Poke(X, Y, 0.06, 0, time=0.3, hold=0)], num_frames=60).coordinates[9:]
    torch.testing.assert_close(poke(volume, [resting], num_frames=60).coordinates[9:], at_rest, atol=1e-7, rtol=1e-5)
    assert (poke(volume, [moving], num_frames=60).coordinates[9:] - at_rest).abs().max() > 1e-3


def test_the_velocity_at_release_is_limited():
    volume = smooth_volume()
    slow, fast = (Poke(X, Y, path=((0.3, 0, 0), (0.3 + t, 0.05, 0))) for t in (0.2, 1e-4))
    held = poke(volume, [Poke(X, Y, 0.05, 0, hold=0)], num_frames=200, damping=Damping(0, 0)).coordinates.norm(dim=2)[0]
    swings = [
        poke(volume, [item], num_frames=400, damping=Damping(0, 0)).coordinates.norm(dim=2).amax(0)
        for item in (slow, fast)
    ]
    assert (swings[1][1:] <= held[1:] * 10**0.5 * 1.001).all()  # |q|^2 + |v|^2 / w^2 with v = 3 w q
    assert (swings[1][1:4] > swings[0][1:4]).all()


# ---- points where nothing moves ----


def test_a_static_point_is_skipped_with_a_warning():
    volume = with_static_left(smooth_volume())
    moving = Poke(0.8, 0.5, 0.05, 0)
    with pytest.warns(UserWarning, match=r"Poke 2 at \(0.1, 0.25\): nothing moves") as caught:
        motion = poke(volume, [moving, Poke(0.1, 0.25, 0.05, 0)], num_frames=30)
    assert len(caught) == 1
    assert torch.equal(motion.coordinates, poke(volume, [moving], num_frames=30).coordinates)


def test_a_single_moving_pixel_can_be_poked():
    volume = SpectralVolume(torch.zeros(1, 4, 4, H, W))
    volume.coefficients[:, 1:, :, ROW, COLUMN] = 10
    assert poke(volume, [PULL], num_frames=7).displacement()[0, 6, 0, ROW, COLUMN] == pytest.approx(-0.05 * W, rel=0.02)


def test_noise_far_below_the_motion_does_not_count_as_motion():
    volume = with_static_left(smooth_volume())
    noise = volume.replace(coefficients=volume.coefficients + 1e-3)
    with pytest.warns(UserWarning, match="nothing moves"):
        poke(noise, [Poke(0.1, 0.5, 0.05, 0)], num_frames=5)


def test_pokes_after_the_last_frame_are_skipped_with_a_warning():
    volume = smooth_volume()
    with pytest.warns(UserWarning, match="Poke 1 is at 2 s, after the last frame"):
        motion = poke(volume, [dataclasses.replace(PULL, time=2.0)], num_frames=60)
    assert motion.coordinates.abs().sum() == 0


@pytest.mark.filterwarnings("error")
def test_pokes_in_the_last_frame_or_held_beyond_it_are_fine():
    volume = smooth_volume()
    assert (
        poke(volume, [dataclasses.replace(PULL, time=59 / 30, hold=0)], num_frames=60).coordinates[-1].abs().max() > 0
    )
    assert poke(volume, [dataclasses.replace(PULL, hold=50)], num_frames=60).coordinates[-1].abs().max() > 0
    assert len(poke(volume, [PULL], num_frames=1)) == 1


# ---- settings ----


@pytest.mark.parametrize("name", ["fps", "speed", "max_displacement", "strength"])
@pytest.mark.parametrize("bad", [-1, float("nan"), float("inf")])
def test_invalid_settings_are_rejected(name, bad):
    with pytest.raises(ValueError, match=f"{name}.*{bad}"):
        poke(smooth_volume(), [PULL], **{name: bad})


@pytest.mark.parametrize("bad", [0, -3])
def test_invalid_lengths_are_rejected(bad):
    with pytest.raises(ValueError, match=f"num_frames.*{bad}"):
        poke(smooth_volume(), [PULL], num_frames=bad)


def test_several_photos_are_rejected():
    with pytest.raises(ValueError, match="one photo at a time"):
        poke(smooth_volume(batch=2), [PULL])


def test_the_peak_of_a_pull_is_the_peak_of_its_field():
    """The soft limit's shortcut (two fields for all directions) against the field of each direction."""
    volume = smooth_volume()
    pull = PokePull(Modes(volume), (COLUMN, ROW), max_displacement=0.02)
    offsets = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 2))
    q = pull.held_coordinates(offsets)
    field = torch.from_numpy(np.stack([q.real, q.imag], -1)).float()
    motion = gid.Motion(volume, field, 30.0)
    unlimited = gid.Motion(volume, torch.from_numpy(_unlimited(volume, offsets)).float(), 30.0)
    peak, limit = unlimited.displacement().norm(dim=2).amax((2, 3)), 0.02 * W
    expected = peak / (1 + (peak / limit) ** 4) ** 0.25
    torch.testing.assert_close(motion.displacement().norm(dim=2).amax((2, 3)), expected, rtol=1e-3, atol=0)


def _unlimited(volume, offsets):
    """The formula of the pull without a limit, for one offset at a time."""
    slices = volume.coefficients[0, :, :, ROW, COLUMN].double().numpy()
    x, y = slices[:, 0] + 1j * slices[:, 1], slices[:, 2] + 1j * slices[:, 3]
    coordinates = []
    for dx, dy in offsets * [W, H]:
        along = dx * x + dy * y
        along[0] = 0
        length = dx * dx + dy * dy
        total = length * (np.abs(x[1:]) ** 2 + np.abs(y[1:]) ** 2).sum()
        q = length * along.conj() / ((np.abs(along) ** 2).sum() + 0.005 * total)
        coordinates.append(np.stack([q.real, q.imag], -1))
    return np.stack(coordinates)
