"""Pokes: a pulled point goes where it is pulled, and what is let go swings as its modes do."""

import dataclasses
import json

import numpy as np
import pytest
import scipy.integrate
import torch
import torch.nn.functional as F

import gid_core as gid
from gid_core.dynamics.oscillators import Damping
from gid_core.dynamics.poke import Poke, Pull, find_point, format_pokes, parse_pokes, poke
from gid_core.spectral_volume import SpectralVolume

H, W = 24, 40


def smooth_volume(seed=0, batch=1, bins=16, size=(H, W), **settings):
    """Random motion that varies slowly over the picture, slow bins larger."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(batch * bins, 4, 4, 6, generator=generator)
    fine = F.interpolate(coarse, size, mode="bicubic", align_corners=False).unflatten(0, (batch, bins))
    scale = 60 / torch.arange(1, bins + 1)
    return SpectralVolume(fine * scale.view(1, -1, 1, 1, 1), **settings)


def with_still_left(volume):
    """The left half does not move."""
    mask = torch.zeros(volume.size)
    mask[:, volume.size[1] // 2 :] = 1
    return volume.mask(mask)


def place(x, y, size=(H, W)):
    """The pixel at fractions (x, y) of its center."""
    return round(y * size[0] - 0.5), round(x * size[1] - 0.5)


X, Y = (25 + 0.5) / W, (10 + 0.5) / H  # center of a pixel
ROW, COLUMN = place(X, Y)
PULL = Poke(X, Y, -0.05, 0.0)


# ---- where the point goes ----


@pytest.mark.parametrize("direction", [(-1, 0), (1, 0), (0, -1), (0.6, 0.8)])
@pytest.mark.parametrize("seed", range(4))
def test_the_point_moves_the_way_it_is_pulled_and_as_far(direction, seed):
    dx, dy = 0.05 * direction[0], 0.05 * direction[1] * W / H
    moved = poke(smooth_volume(seed), [Poke(X, Y, dx, dy)], 12).displacement()[0, :, :, ROW, COLUMN]
    along = (moved @ torch.tensor(direction, dtype=torch.float32)) / W
    assert moved[0].abs().max() == 0  # the press begins
    assert (along[1:7].diff() > 0).all() and along[1] > 0  # on its way in the six frames of the hold
    assert along[6] == pytest.approx(0.05, rel=0.02)  # at release
    assert along[7] < along[6]  # and back


def test_a_left_pull_moves_left_first():
    moved = poke(smooth_volume(), [PULL], 7).displacement()[0, :, 0, ROW, COLUMN]
    assert (moved[1:] < 0).all() and moved[6] == pytest.approx(-0.05 * W, rel=0.02)


def test_without_hold_the_point_is_there_at_once():
    for frame in (0, 4):
        one = dataclasses.replace(PULL, hold=0.0, time=frame / 30)
        moved = poke(smooth_volume(), [one], 10).displacement()[0, :, 0, ROW, COLUMN]
        assert moved[:frame].abs().sum() == 0 and moved[frame] == pytest.approx(-0.05 * W, rel=0.02)


def test_the_pull_between_pixels_is_that_of_the_interpolated_place():
    moved = poke(smooth_volume(), [Poke(26 / W, 11 / H, 0.05, 0)], 7).displacement()[0, 6, 0]
    assert moved[10:12, 25:27].mean() == pytest.approx(0.05 * W, rel=0.02)


def test_corners_and_edges_can_be_poked():
    for x in (0, 0.5, 1):
        for y in (0, 1):
            moved = poke(smooth_volume(), [Poke(x, y, 0.03, 0)], 7).displacement()[0, 6, 0]
            assert moved[round(y * (H - 1)), min(int(x * W), W - 1)] == pytest.approx(0.03 * W, rel=0.05)


def test_a_pull_across_the_motion_is_small():
    """A point that can only go up and down does not let itself be torn aside."""
    volume = smooth_volume()
    only_y = volume.coefficients.clone()
    only_y[:, :, :2] = 0
    motion = poke(volume.replace(coefficients=only_y), [PULL], 60)
    assert motion.displacement().abs().max() < 1e-4
    only_y[:, :, 0] = 1e-3  # and one that hardly can, hardly
    assert poke(volume.replace(coefficients=only_y), [PULL], 60).displacement().abs().max() < 0.05 * W


def test_the_soft_limit_holds_and_lets_small_pulls_pass():
    volume = smooth_volume()
    still = volume.coefficients.clone()
    still[..., COLUMN - 3 : COLUMN + 4] *= 0.1  # the point pulled moves less than its surroundings
    volume = volume.replace(coefficients=still)
    for limit in (0.01, 0.1):
        for pull in (1e-4, 0.05, 1.0):
            one = Poke(X, Y, pull, pull, hold=0)
            peak = poke(volume, [one], 1, max_displacement=limit).displacement().norm(dim=2).max()
            free = poke(volume, [one], 1, max_displacement=1e9).displacement().norm(dim=2).max()
            assert peak <= limit * W * (1 + 1e-6)
            expected = free / (1 + (free / (limit * W)) ** 4) ** 0.25
            assert peak == pytest.approx(float(expected), rel=1e-4)
            if free < 0.1 * limit * W:
                assert peak == pytest.approx(float(free), rel=1e-4)


# ---- what is let go ----


def two_mode_volume():
    """Bins 2 and 5 only; the poked side (right) and the far side (left) in other shares and phases."""
    volume = smooth_volume(3)
    keep = torch.zeros(16)
    keep[2], keep[5] = 1, 1
    return volume.replace(coefficients=volume.coefficients * keep.view(1, -1, 1, 1, 1))


@pytest.mark.parametrize("damping", [Damping(), Damping(ratio=0.05), Damping(ratio=2.0)])
def test_far_pixels_follow_their_modes_as_the_equation_says(damping):
    volume, frames = two_mode_volume(), 90
    found = poke(volume, [PULL], frames, damping=damping).displacement()[0].double().numpy()
    slices = volume.coefficients[0].double().numpy()
    modes = slices[:, 0::2] + 1j * slices[:, 1::2]  # [K, 2, H, W]
    reach = -0.05 * W
    at = reach * modes[:, 0, ROW, COLUMN]
    total = reach**2 * (np.abs(modes[1:, :, ROW, COLUMN]) ** 2).sum()
    start = reach**2 * at.conj() / ((np.abs(at[1:]) ** 2).sum() + 0.005 * total)
    limit = 0.25 * W
    free = 6
    field = np.einsum("kchw,k->chw", modes[1:], start[1:]).real
    start = start / (1 + (np.linalg.norm(field, axis=0).max() / limit) ** 4) ** 0.25
    expected = np.zeros((frames - free, 2, H, W))
    for k in (2, 5):
        w = 2 * np.pi * k * 30 / 150
        gamma = float(damping.rates(np.array([w]))[0])

        def change(_, state, w=w, gamma=gamma):
            return [state[1], -gamma * state[1] - w * w * state[0]]

        times = np.arange(frames - free) / 30
        unit = scipy.integrate.solve_ivp(change, (0, times[-1]), [1, 0], "DOP853", times, rtol=1e-10, atol=1e-12).y[0]
        expected += np.einsum("chw,n->nchw", (modes[k] * start[k]).real, unit)
    np.testing.assert_allclose(found[free:, :, :, :10], expected[..., :10], atol=1e-3)  # far from the poke
    np.testing.assert_allclose(found[free:], expected, atol=1e-3)
    assert np.abs(expected[..., :10]).max() > 0.1


def test_motion_dies_away_and_more_slowly_with_less_damping():
    def loudness(damping, start):
        motion = poke(smooth_volume(), [PULL], 150, damping=damping)
        return motion.displacement(start, start + 30).square().mean()

    at_first, later = loudness(Damping(), 6), loudness(Damping(), 120)
    assert later < 0.02 * at_first
    assert loudness(Damping(0.2, 0.02), 120) > 2 * later
    assert loudness(Damping(0, 0), 120) > 0.2 * loudness(Damping(0, 0), 6)


def test_a_kick_first_swings_as_far_as_a_pull_holds():
    volume = smooth_volume()
    held = poke(volume, [dataclasses.replace(PULL, hold=0)], 1).coordinates[0].norm(dim=1)
    one = Poke(X, Y, -0.05, 0, time=0.5, hold=7.0, kind="kick")
    motion = poke(volume, [one], 600, fps=300, damping=Damping(0, 0))
    assert motion.coordinates[:151].abs().sum() == 0  # it is an impulse: at its time nothing has moved yet
    swing = motion.coordinates.norm(dim=2).amax(dim=0)
    torch.testing.assert_close(swing[1:], held[1:], rtol=1e-3, atol=0)
    assert motion.displacement(151, 160)[0, :, 0, ROW, COLUMN].max() < 0


def test_a_drag_is_followed_and_thrown():
    path = ((0.1, 0.0, 0.0), (0.3, 0.06, 0.0), (0.5, 0.06, 0.08))
    one = Poke(X, Y, time=0.2, path=path)
    assert (one.hold, one.dx, one.dy) == (0.5, 0.06, 0.08) and one.release == 0.7
    moved = poke(smooth_volume(), [one], 40).displacement()[0, :, :, ROW, COLUMN]
    along = moved[12, 0] / (0.03 * W), moved[15, 0] / (0.06 * W)  # 0.4 s and 0.5 s: half way and at the corner
    assert along == (pytest.approx(1, abs=0.03), pytest.approx(1, abs=0.03))
    assert moved[:10].abs().max() < 1e-6  # the drag stands still at first
    # Thrown down: in the first frame after the release it still goes the way of the drag.
    assert moved[22, 1] > moved[21, 1] > moved[20, 1]
    eased = Poke(X, Y, 0.06, 0.08, time=0.2, hold=0.5)
    after = poke(smooth_volume(), [eased], 40).displacement()[0, :, :, ROW, COLUMN]
    assert after[22, 1] < after[21, 1]


def test_a_drag_that_rests_before_its_release_is_let_go_at_rest():
    moving = Poke(X, Y, path=((0.3, 0.06, 0.0),))
    resting = Poke(X, Y, path=((0.2, 0.06, 0.0), (0.3, 0.06, 0.0)))
    volume = smooth_volume()
    still = poke(volume, [Poke(X, Y, 0.06, 0, time=0.3, hold=0)], 60).coordinates[9:]
    torch.testing.assert_close(poke(volume, [resting], 60).coordinates[9:], still, atol=1e-7, rtol=1e-5)
    assert (poke(volume, [moving], 60).coordinates[9:] - still).abs().max() > 1e-3


def test_the_velocity_of_a_throw_is_limited():
    volume = smooth_volume()
    gentle, wild = (Poke(X, Y, path=((0.3, 0, 0), (0.3 + t, 0.05, 0))) for t in (0.2, 1e-4))
    rest = poke(volume, [Poke(X, Y, 0.05, 0, hold=0)], 200, damping=Damping(0, 0)).coordinates.norm(dim=2)[0]
    swings = [poke(volume, [one], 400, damping=Damping(0, 0)).coordinates.norm(dim=2).amax(0) for one in (gentle, wild)]
    assert (swings[1][1:] <= rest[1:] * 10**0.5 * 1.001).all()  # |q|^2 + |v|^2 / w^2 with v = 3 w q
    assert (swings[1][1:4] > swings[0][1:4]).all()


# ---- properties ----


def test_pokes_add_up():
    volume = smooth_volume()
    pokes = [PULL, Poke(0.2, 0.7, 0.02, 0.1, 0.7), Poke(0.8, 0.3, 0, 0.05, 0.3, kind="kick")]
    together = poke(volume, pokes, 60).coordinates
    apart = sum(poke(volume, [one], 60).coordinates for one in pokes)
    torch.testing.assert_close(together, apart, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(poke(volume, pokes[::-1], 60).coordinates, together, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("kind", ["pull", "jump", "kick", "path"])
@pytest.mark.parametrize("fps", [30, 24, 12.5, 29.97])
def test_shifting_times_shifts_the_motion(kind, fps):
    one = {
        "pull": PULL,
        "jump": dataclasses.replace(PULL, hold=0),
        "kick": dataclasses.replace(PULL, kind="kick"),
        "path": Poke(X, Y, path=((0.1, 0.02, 0), (0.33, 0.05, 0.05))),
    }[kind]
    volume = smooth_volume()
    first = poke(volume, [one], 60, fps).coordinates
    for frames in (1, 7, 22):
        later = poke(volume, [dataclasses.replace(one, time=frames / fps)], 60 + frames, fps).coordinates
        assert later[:frames].abs().sum() == 0
        torch.testing.assert_close(later[frames:], first, atol=1e-6, rtol=1e-5)


def test_a_mirrored_poke_of_a_mirrored_photo_moves_mirrored():
    volume = smooth_volume()
    sign = torch.tensor([-1, -1, 1, 1]).view(1, 1, 4, 1, 1)
    mirrored = volume.replace(coefficients=volume.coefficients.flip(-1) * sign)
    for x in (0.413, 0.99, 0.0):
        straight = poke(volume, [Poke(x, 0.3, 0.04, 0.03)], 40).displacement()
        turned = poke(mirrored, [Poke(1 - x, 0.3, -0.04, 0.03)], 40).displacement()
        expected = straight.flip(-1) * torch.tensor([-1, 1]).view(1, 1, 2, 1, 1)
        torch.testing.assert_close(turned, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("factor", [2, 4, 0.5])
def test_the_motion_is_the_same_share_of_the_picture_at_any_size(factor):
    volume = smooth_volume(size=(48, 80))
    resized = volume.resize((round(48 * factor), round(80 * factor)))
    pokes = [Poke(0.6, 0.4, -0.05, 0.02), Poke(0.3, 0.7, 0.2, 0.3, 0.5)]
    small, large = (poke(v, pokes, 60).coordinates for v in (volume, resized))
    assert (small - large).abs().max() < 0.03 * small.abs().max()  # the grids differ


def test_every_second_frame_at_60_fps_is_that_at_30():
    volume = smooth_volume()
    pokes = [PULL, Poke(X, Y, time=0.5, path=((0.1, 0.02, 0), (0.3, 0.05, 0.05)))]
    slow, fast = poke(volume, pokes, 60, 30), poke(volume, pokes, 120, 60)
    torch.testing.assert_close(fast.coordinates[::2], slow.coordinates, atol=1e-6, rtol=1e-5)


def test_speed_is_that_of_the_modes_and_not_of_the_hand():
    volume = smooth_volume()
    one = dataclasses.replace(PULL, time=0.2)
    plain, double = poke(volume, [one], 80), poke(volume, [one], 46, speed=2.0)
    torch.testing.assert_close(double.coordinates[:12], plain.coordinates[:12])
    torch.testing.assert_close(double.coordinates[12:], plain.coordinates[12::2], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("integrator", ["explicit_euler", "semi_implicit_euler"])
def test_euler_approaches_the_exact_motion(integrator):
    volume = smooth_volume()
    pokes = [dataclasses.replace(PULL, time=0.013), Poke(0.2, 0.7, 0.02, 0.1, 0.7, kind="kick")]
    errors = []
    for fps in (120, 480):
        exact = poke(volume, pokes, 2 * fps, fps).coordinates
        errors.append((poke(volume, pokes, 2 * fps, fps, integrator=integrator).coordinates - exact).abs().max())
    assert 0 < errors[1] < 0.4 * errors[0]
    with pytest.raises(ValueError, match=f"{integrator}.*Hz"):
        poke(volume, [], 10, 10, integrator=integrator)


def test_strength_is_a_factor_of_every_pull():
    volume = smooth_volume()
    once, twice = (poke(volume, [PULL], 40, strength=s, max_displacement=1e6).coordinates for s in (1, 2))
    torch.testing.assert_close(twice, 2 * once)


def test_nothing_is_exact_stillness():
    volume = smooth_volume()
    for pokes, settings in [([], {}), ([Poke(X, Y, 0, 0)], {}), ([PULL], {"strength": 0})]:
        for integrator in ("exact", "semi_implicit_euler"):
            motion = poke(volume, pokes, 20, integrator=integrator, **settings)
            assert torch.equal(motion.coordinates, torch.zeros(20, 16, 2))
            assert torch.equal(motion.displacement(), torch.zeros(1, 20, 2, H, W))


def test_the_constant_bin_has_no_part():
    volume = smooth_volume()
    other = volume.coefficients.clone()
    other[:, 0] *= 100
    motion = poke(volume.replace(coefficients=other), [PULL], 20)
    assert motion.coordinates[:, 0].abs().sum() == 0
    torch.testing.assert_close(motion.displacement(), poke(volume, [PULL], 20).displacement())


def test_the_result_is_a_motion_of_the_volume():
    volume = smooth_volume(fps=24.0, period=100)
    motion = poke(volume, [PULL], 33)
    assert (len(motion), motion.fps, motion.loops, motion.volume) == (33, 24.0, False, volume)
    assert poke(volume, [PULL], fps=12).fps == 12.0
    assert gid.poke is poke and gid.Poke is Poke and gid.parse_pokes is parse_pokes and gid.Damping is Damping


def test_a_volume_of_the_constant_bin_alone_stands_still():
    with pytest.warns(UserWarning, match="nothing moves"):
        assert poke(smooth_volume(bins=1), [PULL], 5).coordinates.abs().sum() == 0


# ---- points where nothing moves ----


def test_a_still_point_is_named_and_left_out():
    volume = with_still_left(smooth_volume())
    moving = Poke(0.8, 0.5, 0.05, 0)
    with pytest.warns(UserWarning, match=r"Poke 2 at \(0.1, 0.25\): nothing moves") as caught:
        motion = poke(volume, [moving, Poke(0.1, 0.25, 0.05, 0)], 30)
    assert len(caught) == 1
    assert torch.equal(motion.coordinates, poke(volume, [moving], 30).coordinates)


def test_near_what_moves_the_nearest_best_point_is_taken():
    activity = torch.zeros(50, 100)
    activity[20:30, 60:] = 1
    activity[25, 60] = 2
    assert find_point(activity, 0.7, 0.5) == (69.5, 24.5)
    assert find_point(activity, 0.595, 0.51) == (60, 25)  # one pixel beside
    assert find_point(activity, 0.55, 0.51) is None  # more than 2 % of the width away
    assert find_point(torch.zeros(50, 100), 0.5, 0.5) is None


def test_one_moving_pixel_can_be_poked():
    volume = SpectralVolume(torch.zeros(1, 4, 4, H, W))
    volume.coefficients[:, 1:, :, ROW, COLUMN] = 10
    assert poke(volume, [PULL], 7).displacement()[0, 6, 0, ROW, COLUMN] == pytest.approx(-0.05 * W, rel=0.02)


def test_noise_far_below_the_motion_does_not_count_as_motion():
    volume = with_still_left(smooth_volume())
    noise = volume.replace(coefficients=volume.coefficients + 1e-3)
    with pytest.warns(UserWarning, match="nothing moves"):
        poke(noise, [Poke(0.1, 0.5, 0.05, 0)], 5)


def test_pokes_after_the_clip_are_named_and_left_out():
    volume = smooth_volume()
    with pytest.warns(UserWarning, match="Poke 1 is at 2 s, after the last frame"):
        motion = poke(volume, [dataclasses.replace(PULL, time=2.0)], 60)
    assert motion.coordinates.abs().sum() == 0


@pytest.mark.filterwarnings("error")
def test_pokes_in_the_last_frame_or_held_beyond_it_are_fine():
    volume = smooth_volume()
    assert poke(volume, [dataclasses.replace(PULL, time=59 / 30, hold=0)], 60).coordinates[-1].abs().max() > 0
    assert poke(volume, [dataclasses.replace(PULL, hold=50)], 60).coordinates[-1].abs().max() > 0
    assert len(poke(volume, [PULL], 1)) == 1


# ---- JSON ----


def test_pokes_survive_json():
    pokes = [
        PULL,
        Poke(0, 1, 0.123456789, -1, 3.5, 0, "kick"),
        Poke(0.5, 0.5, time=2, path=((0, 0.1, 0), (0.25, -0.3, 0.7))),
    ]
    text = format_pokes(pokes)
    assert parse_pokes(text) == pokes and format_pokes(parse_pokes(text)) == text
    assert set(json.loads(text)[0]) == {"x", "y", "dx", "dy", "time"}
    assert parse_pokes(format_pokes([])) == parse_pokes("") == parse_pokes(" \n") == parse_pokes("[]") == []


def test_what_may_be_left_out():
    assert parse_pokes('[{"x": 0.5, "y": 0.4, "dx": 0.1, "dy": 0}]') == [Poke(0.5, 0.4, 0.1, 0, 0, 0.2, "pull")]
    assert parse_pokes('[{"x": 0, "y": 1, "time": 1, "path": [[0.5, 0.1, 0.2]]}]') == [
        Poke(0, 1, 0.1, 0.2, 1, 0.5, path=((0.5, 0.1, 0.2),))
    ]


GOOD = '{"x": 0.5, "y": 0.5, "dx": 0, "dy": 0}'
BAD_JSON = [
    ('[{"x": 0.5', "not valid JSON"),
    ("hello", "not valid JSON"),
    ("[" * 100_000, "not valid JSON"),
    ('{"x": 1}', "must be a list.*dict"),
    ("7", "must be a list.*int"),
    ("null", "must be a list"),
    (f"[{GOOD}, 3]", "Poke 2 must be an object.*3"),
    (f"[{GOOD}, null]", "Poke 2 must be an object"),
]
BAD_POKES = [  # changes to a good poke, what the error says
    ({"x": 1.4}, r"Poke 2: x is 1.4; it must be 0 to 1 \(a fraction of the picture's width\)"),
    ({"y": -0.1}, r"Poke 2: y is -0.1; it must be 0 to 1 \(a fraction of the picture's height\)"),
    ({"dx": 1.5}, "Poke 2: dx is 1.5.* -1 to 1"),
    ({"dy": -2}, "Poke 2: dy is -2.* -1 to 1"),
    ({"time": -1}, "Poke 2: time is -1.*>= 0"),
    ({"hold": -0.5}, "Poke 2: hold is -0.5.*>= 0"),
    ({"x": float("nan")}, "Poke 2: x is nan"),
    ({"dx": float("inf")}, "Poke 2: dx is inf"),
    ({"time": float("inf")}, "Poke 2: time is inf"),
    ({"x": "0.5"}, "Poke 2: x is '0.5'"),
    ({"x": 10**400}, "Poke 2: x is 1000"),  # too large for a float
    ({"x": True}, "Poke 2: x is True"),
    ({"y": None}, "Poke 2: y is None"),
    ({"kind": "push"}, "Poke 2: kind.*pull.*kick.*push"),
    ({"strength": 2}, "Poke 2: 'strength' is not known.*path"),
    ({"path": 3}, r"Poke 2: path must be a list of \(seconds, dx, dy\)"),
    ({"path": [[0, 1]]}, r"Poke 2: path must be a list of \(seconds, dx, dy\)"),
    ({"path": [[0.1, 0, 0], [0.1, 0, 0]]}, r"Poke 2: path\[1\] is at 0.1 s, not after path\[0\]"),
    ({"path": [[-0.1, 0, 0]]}, r"Poke 2: path\[0\] seconds is -0.1"),
    ({"path": [[0, 0, 0], [0.2, float("nan"), 0]]}, r"Poke 2: path\[1\] dx is nan"),
    ({"path": [[0.2, 0.5, 0]]}, "Poke 2: dx is 0, but its path ends at 0.5"),
    ({"path": [[0.2, 0, 0]], "hold": 1}, "Poke 2: hold is 1, but its path ends at 0.2"),
    ({"path": [[0.2, 0, 0]], "kind": "kick"}, "Poke 2: path belongs to a pull"),
]


@pytest.mark.parametrize(("text", "message"), BAD_JSON)
def test_what_is_no_list_of_pokes_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_pokes(text)


@pytest.mark.parametrize(("change", "message"), BAD_POKES)
def test_impossible_pokes_are_refused_by_number_and_name(change, message):
    with pytest.raises(ValueError, match=message):
        parse_pokes(f"[{GOOD}, {json.dumps(json.loads(GOOD) | change)}]")


@pytest.mark.parametrize("key", ["x", "y", "dx", "dy"])
def test_missing_numbers_are_named(key):
    item = {k: v for k, v in json.loads(GOOD).items() if k != key}
    with pytest.raises(ValueError, match=f"Poke 1: {key} is missing"):
        parse_pokes(json.dumps([item]))


def test_pokes_made_in_python_are_checked_too():
    with pytest.raises(ValueError, match="Poke: x is 1.4"):
        Poke(1.4, 0.5)
    with pytest.raises(ValueError, match="Poke: time is nan"):
        Poke(0.4, 0.5, time=float("nan"))


# ---- settings ----


@pytest.mark.parametrize("name", ["fps", "speed", "max_displacement", "strength"])
@pytest.mark.parametrize("bad", [-1, float("nan"), float("inf")])
def test_impossible_settings_are_refused(name, bad):
    with pytest.raises(ValueError, match=f"{name}.*{bad}"):
        poke(smooth_volume(), [PULL], **{name: bad})


@pytest.mark.parametrize("bad", [0, -3])
def test_impossible_lengths_are_refused(bad):
    with pytest.raises(ValueError, match=f"num_frames.*{bad}"):
        poke(smooth_volume(), [PULL], bad)


def test_several_photos_are_refused():
    with pytest.raises(ValueError, match="one photo at a time"):
        poke(smooth_volume(batch=2), [PULL])


def test_the_peak_of_a_pull_is_that_of_its_field():
    """The soft limit's shortcut (two fields for all directions) against the field of each."""
    volume = smooth_volume()
    pull = Pull(volume, (COLUMN, ROW), max_displacement=0.02)
    offsets = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 2))
    q = pull.hold(offsets)
    field = torch.from_numpy(np.stack([q.real, q.imag], -1)).float()
    motion = gid.Motion(volume, field, 30.0)
    free = gid.Motion(volume, torch.from_numpy(_free(volume, offsets)).float(), 30.0)
    peak, limit = free.displacement().norm(dim=2).amax((2, 3)), 0.02 * W
    expected = peak / (1 + (peak / limit) ** 4) ** 0.25
    torch.testing.assert_close(motion.displacement().norm(dim=2).amax((2, 3)), expected, rtol=1e-3, atol=0)


def _free(volume, offsets):
    """The formula of the pull without a limit, pair by pair."""
    slices = volume.coefficients[0, :, :, ROW, COLUMN].double().numpy()
    x, y = slices[:, 0] + 1j * slices[:, 1], slices[:, 2] + 1j * slices[:, 3]
    found = []
    for dx, dy in offsets * [W, H]:
        along = dx * x + dy * y
        along[0] = 0
        length = dx * dx + dy * dy
        total = length * (np.abs(x[1:]) ** 2 + np.abs(y[1:]) ** 2).sum()
        q = length * along.conj() / ((np.abs(along) ** 2).sum() + 0.005 * total)
        found.append(np.stack([q.real, q.imag], -1))
    return np.stack(found)
