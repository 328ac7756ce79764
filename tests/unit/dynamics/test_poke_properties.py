"""Properties of the response to pokes: additivity, symmetry, and independence of size, time and frame rate."""

import dataclasses

import pytest
import torch

import gid_core as gid
from dynamics_volumes import smooth_volume
from gid_core.dynamics.oscillators import Damping
from gid_core.dynamics.poke import poke
from gid_core.dynamics.poke_list import Poke, parse_pokes

H, W = 24, 40
X, Y = 25.5 / 40, 10.5 / 24  # center of a pixel
PULL = Poke(X, Y, -0.05, 0.0)


def test_pokes_add_up():
    volume = smooth_volume()
    pokes = [PULL, Poke(0.2, 0.7, 0.02, 0.1, 0.7), Poke(0.8, 0.3, 0, 0.05, 0.3, kind="kick")]
    combined = poke(volume, pokes, num_frames=60).coordinates
    separate = sum(poke(volume, [item], num_frames=60).coordinates for item in pokes)
    torch.testing.assert_close(combined, separate, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(poke(volume, pokes[::-1], num_frames=60).coordinates, combined, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("kind", ["pull", "jump", "kick", "path"])
@pytest.mark.parametrize("fps", [30, 24, 12.5, 29.97])
def test_shifting_times_shifts_the_motion(kind, fps):
    item = {
        "pull": PULL,
        "jump": dataclasses.replace(PULL, hold=0),
        "kick": dataclasses.replace(PULL, kind="kick"),
        "path": Poke(X, Y, path=((0.1, 0.02, 0), (0.33, 0.05, 0.05))),
    }[kind]
    volume = smooth_volume()
    first = poke(volume, [item], num_frames=60, fps=fps).coordinates
    for frames in (1, 7, 22):
        later = poke(
            volume, [dataclasses.replace(item, time=frames / fps)], num_frames=60 + frames, fps=fps
        ).coordinates
        assert later[:frames].abs().sum() == 0
        torch.testing.assert_close(later[frames:], first, atol=1e-6, rtol=1e-5)


def test_a_mirrored_poke_of_a_mirrored_photo_moves_mirrored():
    volume = smooth_volume()
    sign = torch.tensor([-1, -1, 1, 1]).view(1, 1, 4, 1, 1)
    mirrored = volume.replace(coefficients=volume.coefficients.flip(-1) * sign)
    for x in (0.413, 0.99, 0.0):
        original = poke(volume, [Poke(x, 0.3, 0.04, 0.03)], num_frames=40).displacement()
        flipped = poke(mirrored, [Poke(1 - x, 0.3, -0.04, 0.03)], num_frames=40).displacement()
        expected = original.flip(-1) * torch.tensor([-1, 1]).view(1, 1, 2, 1, 1)
        torch.testing.assert_close(flipped, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("factor", [2, 4, 0.5])
def test_the_motion_is_the_same_fraction_of_the_image_at_any_size(factor):
    volume = smooth_volume(size=(48, 80))
    resized = volume.resize((round(48 * factor), round(80 * factor)))
    pokes = [Poke(0.6, 0.4, -0.05, 0.02), Poke(0.3, 0.7, 0.2, 0.3, 0.5)]
    small, large = (poke(v, pokes, num_frames=60).coordinates for v in (volume, resized))
    assert (small - large).abs().max() < 0.03 * small.abs().max()  # the grids differ


def test_every_second_frame_at_60_fps_equals_the_frame_at_30():
    volume = smooth_volume()
    pokes = [PULL, Poke(X, Y, time=0.5, path=((0.1, 0.02, 0), (0.3, 0.05, 0.05)))]
    slow, fast = poke(volume, pokes, num_frames=60, fps=30), poke(volume, pokes, num_frames=120, fps=60)
    torch.testing.assert_close(fast.coordinates[::2], slow.coordinates, atol=1e-6, rtol=1e-5)


def test_speed_changes_the_modes_and_not_the_pull():
    volume = smooth_volume()
    item = dataclasses.replace(PULL, time=0.2)
    plain, double = poke(volume, [item], num_frames=80), poke(volume, [item], num_frames=46, speed=2.0)
    torch.testing.assert_close(double.coordinates[:12], plain.coordinates[:12])
    torch.testing.assert_close(double.coordinates[12:], plain.coordinates[12::2], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("integrator", ["explicit_euler", "semi_implicit_euler"])
def test_euler_approaches_the_exact_motion(integrator):
    volume = smooth_volume()
    pokes = [dataclasses.replace(PULL, time=0.013), Poke(0.2, 0.7, 0.02, 0.1, 0.7, kind="kick")]
    errors = []
    for fps in (120, 480):
        exact = poke(volume, pokes, num_frames=2 * fps, fps=fps).coordinates
        errors.append(
            (poke(volume, pokes, num_frames=2 * fps, fps=fps, integrator=integrator).coordinates - exact).abs().max()
        )
    assert 0 < errors[1] < 0.4 * errors[0]
    with pytest.raises(ValueError, match=f"{integrator}.*Hz"):
        poke(volume, [], num_frames=10, fps=10, integrator=integrator)


def test_strength_is_a_factor_of_every_pull():
    volume = smooth_volume()
    once, twice = (poke(volume, [PULL], num_frames=40, strength=s, max_displacement=1e6).coordinates for s in (1, 2))
    torch.testing.assert_close(twice, 2 * once)


def test_no_force_gives_exactly_no_motion():
    volume = smooth_volume()
    for pokes, settings in [([], {}), ([Poke(X, Y, 0, 0)], {}), ([PULL], {"strength": 0})]:
        for integrator in ("exact", "semi_implicit_euler"):
            motion = poke(volume, pokes, num_frames=20, integrator=integrator, **settings)
            assert torch.equal(motion.coordinates, torch.zeros(20, 16, 2))
            assert torch.equal(motion.displacement(), torch.zeros(1, 20, 2, H, W))


def test_the_constant_bin_has_no_effect():
    volume = smooth_volume()
    other = volume.coefficients.clone()
    other[:, 0] *= 100
    motion = poke(volume.replace(coefficients=other), [PULL], num_frames=20)
    assert motion.coordinates[:, 0].abs().sum() == 0
    torch.testing.assert_close(motion.displacement(), poke(volume, [PULL], num_frames=20).displacement())


def test_the_result_is_a_motion_of_the_volume():
    volume = smooth_volume(fps=24.0, period=100)
    motion = poke(volume, [PULL], num_frames=33)
    assert (len(motion), motion.fps, motion.loops, motion.volume) == (33, 24.0, False, volume)
    assert poke(volume, [PULL], fps=12).fps == 12.0
    assert gid.poke is poke and gid.Poke is Poke and gid.parse_pokes is parse_pokes and gid.Damping is Damping


def test_a_volume_with_only_the_constant_bin_does_not_move():
    with pytest.warns(UserWarning, match="nothing moves"):
        assert poke(smooth_volume(bins=1), [PULL], num_frames=5).coordinates.abs().sum() == 0
