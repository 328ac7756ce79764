"""Wind: as large as the loop, with the wind, never the same twice or seamless, and the same for the same seed."""

import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import gid_core as gid
from gid_core.dynamics.modes import angular_frequencies, bin_motion
from gid_core.dynamics.oscillators import INTEGRATORS, simulate
from gid_core.dynamics.wind import GUSTS, arrows, blow, calmest, gusts, lean, mulberry32, push, reach, wind
from gid_core.evaluation.motion_metrics import seam_ratio


def volume_of(size=(20, 32), bins=16, seed=0, scale=120.0, **settings) -> gid.SpectralVolume:
    """Smooth random motion with the falling spectrum of natural sway; the part at the left is still."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.randn(bins, 4, 4, 5, generator=random)
    smooth = torch.nn.functional.interpolate(coarse, size, mode="bicubic", align_corners=True)
    smooth *= (scale / torch.arange(1, bins + 1)).view(-1, 1, 1, 1) * torch.linspace(-0.3, 1, size[1]).clamp(min=0)
    return gid.SpectralVolume(smooth[None], **settings)


def plants(size=(20, 32), **settings) -> gid.SpectralVolume:
    """Things that sway together, mostly to the sides, each mode in its own phase."""
    turn = torch.polar(torch.ones(8), torch.linspace(0, 5, 8))
    one = torch.stack([turn.real, turn.imag, 0.2 * turn.real, 0.2 * turn.imag], 1)
    shape = torch.linspace(0, 1, size[0]).view(-1, 1).expand(size)
    return gid.SpectralVolume(60 * one[None, ..., None, None] * shape, **settings)


def rms(motion, skip=0) -> float:
    """Root mean square of displacement about its mean place, over pixels and time."""
    moves = motion.displacement(skip)
    return float((moves - moves.mean(1, keepdim=True)).square().mean().sqrt())


def mean_x(motion, skip=60) -> float:
    return float(motion.displacement(skip)[:, :, 0].mean())


# ---- chance ----


def test_chance_is_mulberry32():
    """Numbers of the generator as published, seed 0 and stream 0."""
    draw = mulberry32(0, 0)
    assert [round(draw() * 2**32) for _ in range(3)] == [1144304738, 1416247, 958946056]


def test_streams_and_seeds_differ_and_are_even():
    tables = {(seed, k): [mulberry32(seed, k)() for _ in range(1)] for seed in range(20) for k in range(20)}
    assert len({value[0] for value in tables.values()}) == 400
    draw = mulberry32(5, 3)
    values = np.array([draw() for _ in range(20_000)])
    assert ((values >= 0) & (values < 1)).all()
    np.testing.assert_allclose(np.histogram(values, 10, (0, 1))[0], 2000, rtol=0.1)
    assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 0.03


def test_the_same_seed_is_the_same_wind_and_another_is_another():
    volume = volume_of()
    for loops in (False, True):
        one, again, other = (wind(volume, num_frames=80, seed=seed, loops=loops) for seed in (3, 3, 4))
        assert torch.equal(one.coordinates, again.coordinates)
        assert (one.coordinates - other.coordinates).norm() > 0.5 * one.coordinates.norm()
    low_bits = wind(volume, num_frames=80, seed=2**32 + 3)
    assert torch.equal(low_bits.coordinates, wind(volume, num_frames=80, seed=3).coordinates)


# ---- how far ----


@pytest.mark.parametrize("loops", [False, True])
def test_ten_seconds_of_wind_sway_about_as_far_as_the_loop(loops):
    for volume in (volume_of(), plants()):
        usual = rms(gid.loop(volume))
        for seed in range(10):
            found = rms(wind(volume, seed=seed, loops=loops, max_displacement=100.0), 0 if loops else 30)
            assert 0.5 < found / usual < 1.5


@pytest.mark.parametrize("loops", [False, True])
@pytest.mark.parametrize("damping", [gid.Damping(), gid.Damping(ratio=0.03), gid.Damping(ratio=1.0)])
def test_strength_1_sways_as_far_as_the_loop(loops, damping):
    """Over half a minute, whatever the damping."""
    volume = volume_of()
    usual = rms(gid.loop(volume))
    settings = {"damping": damping, "loops": loops, "max_displacement": 100.0, "num_frames": 900}
    found = [rms(wind(volume, seed=seed, **settings), 0 if loops else 100) / usual for seed in range(8)]
    assert 0.5 < min(found) and max(found) < 1.5
    assert np.mean(found) == pytest.approx(1, abs=0.2)


def test_every_mode_takes_its_part():
    """Not only the sum is as large as in the loop: each mode is, over a long time."""
    volume = volume_of()
    still_air = wind(volume, num_frames=9000, gustiness=0.0, max_displacement=100.0).coordinates[300:, 1:].double()
    size = (still_air - still_air.mean(0)).square().sum(2).mean(0).sqrt() * (volume.period / 2)
    np.testing.assert_allclose(size, 1, atol=0.25)


@pytest.mark.parametrize("frames", [40, 90, 300])
def test_every_mode_of_a_loop_takes_its_exact_part(frames):
    """Several arrows of one frequency, as loops have them, are allowed for; a mode without half a turn only leans."""
    volume = volume_of()
    has_room = np.arange(1, 16) * 0.2 * frames / 30 >= 0.5
    for seed in range(4):
        motion = wind(volume, gustiness=0.0, num_frames=frames, seed=seed, loops=True, max_displacement=100.0)
        q = motion.coordinates[:, 1:].double()
        size = (q - q.mean(0)).square().sum(2).mean(0).sqrt() * (volume.period / 2)
        np.testing.assert_allclose(size, has_room, atol=0.05)  # forces are held for a frame, and so a little weaker


def test_strength_0_is_bit_exact_stillness():
    for loops in (False, True):
        motion = wind(volume_of(), strength=0.0, num_frames=30, loops=loops)
        assert (motion.displacement() == 0).all() and not (motion.coordinates.signbit()).any()
    still = gid.SpectralVolume(torch.zeros(1, 4, 4, 5, 6))
    assert (wind(still, num_frames=30).displacement() == 0).all()


def test_strength_is_a_factor_until_the_limit():
    volume = volume_of()
    one, two = (wind(volume, strength=s, num_frames=60, max_displacement=1e4).coordinates for s in (1.0, 2.0))
    torch.testing.assert_close(two, 2 * one)
    hard = wind(volume, strength=1000.0, num_frames=600, max_displacement=0.1)
    assert torch.hypot(*hard.displacement()[0].unbind(1)).max() < 1.7 * 0.1 * 32  # softly: it is a random sum
    assert reach(volume, 0.0, 0.25) == 1.0
    assert 1000 * reach(volume, 1000.0, 0.1) == pytest.approx(2 * 1000 * reach(volume, 1000.0, 0.05), rel=1e-3)


def test_ten_minutes_of_wind_stay_bounded():
    volume = volume_of()
    usual, motion = rms(gid.loop(volume)), wind(volume, num_frames=18_000, max_displacement=100.0)
    blocks = motion.coordinates.norm(dim=(1, 2)).unflatten(0, (10, 1800)).square().mean(1).sqrt()
    assert (blocks[1:] / blocks[1:].mean() - 1).abs().max() < 0.5  # neither grows nor dies
    some = [motion.displacement(n, n + 20).square().mean().sqrt() for n in range(1000, 18_000, 500)]
    assert max(some) < 5 * usual


@pytest.mark.parametrize("damping", [gid.Damping(0, 0), gid.Damping(ratio=0), gid.Damping(0.4, 0)])
def test_hardly_damped_wind_is_finite(damping):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        motion = wind(volume_of(), num_frames=600, damping=damping, max_displacement=100.0)
    assert torch.isfinite(motion.coordinates).all() and motion.coordinates.abs().max() < 10


# ---- gusts ----


def test_gusts_have_the_spectrum_of_turbulence():
    """Least squares on the known frequencies finds amplitudes sqrt(f S(f)), S ~ (1 + (f / 0.2)^2)^(-5/6)."""
    time = np.arange(20_000) * 0.05
    g = gusts(time, 11, None)
    assert g.mean() == pytest.approx(0, abs=0.1) and g.std() == pytest.approx(1, abs=0.05)
    angle = 2 * math.pi * np.outer(time, GUSTS)
    fit = np.linalg.lstsq(np.concatenate([np.cos(angle), np.sin(angle)], 1), g, rcond=None)[0]
    found = np.hypot(*fit.reshape(2, -1))
    expected = np.sqrt(GUSTS * (1 + (GUSTS / 0.2) ** 2) ** (-5 / 6))
    np.testing.assert_allclose(found / found.max(), expected / expected.max(), rtol=0.02)


@pytest.mark.parametrize("loops", [False, True])
def test_gusty_wind_is_less_steady(loops):
    """How the second-long rms varies over time, over several seeds."""

    def unsteadiness(gustiness):
        found = []
        for seed in range(6):
            motion = wind(volume_of(), gustiness=gustiness, seed=seed, num_frames=1800, loops=loops)
            size = motion.coordinates[60:, 1:].square().sum((1, 2)).unfold(0, 30, 30).mean(1).sqrt()
            found.append(float(size.std() / size.mean()))
        return np.mean(found)

    assert unsteadiness(1.0) > 1.3 * unsteadiness(0.0)


# ---- which way ----


@pytest.mark.parametrize("seed", range(4))
def test_things_lean_with_the_wind(seed):
    volume, settings = plants(), {"num_frames": 1800, "seed": seed}
    right, left = mean_x(wind(volume, 0.0, **settings)), mean_x(wind(volume, 180.0, **settings))
    assert right > 0 > left
    sway = float(wind(volume, 0.0, **settings).displacement(60)[:, :, 0].std(1).mean())
    assert 0.2 * sway < right < 3 * sway and 0.2 * sway < -left < 3 * sway
    down = wind(volume.replace(coefficients=volume.coefficients[:, :, [2, 3, 0, 1]]), 90.0, **settings)
    assert float(down.displacement(60)[:, :, 1].mean()) == pytest.approx(right, rel=1e-4)


def test_a_mirrored_photo_in_a_mirrored_wind_moves_mirrored():
    volume = volume_of()
    mirror = volume.replace(coefficients=volume.coefficients.flip(-1) * torch.tensor([-1.0, -1, 1, 1]).view(4, 1, 1))
    np.testing.assert_allclose(lean(mirror, 180 - 30.0), lean(volume, 30.0), atol=1e-6)
    plain, other = wind(volume, 30.0, num_frames=60), wind(mirror, 150.0, num_frames=60)
    flipped = plain.displacement().flip(-1) * torch.tensor([-1.0, 1]).view(2, 1, 1)
    torch.testing.assert_close(other.displacement(), flipped, atol=1e-4, rtol=1e-4)


def test_lean_says_which_way_a_mode_must_turn_and_how_well_it_can():
    found = lean(plants(), 0.0)
    assert found[0] == 0
    turned = found * np.exp(1j * np.linspace(0, 5, 8))  # along x, as the modes turn
    np.testing.assert_allclose(turned[1:], 1 / math.hypot(1, 0.2), atol=1e-4)
    np.testing.assert_allclose(lean(plants(), 90.0)[1:] / found[1:], 0.2, atol=1e-4)
    opposite = torch.ones(1, 3, 4, 4, 8)
    opposite[..., :4] = -1  # halves that swing against each other cannot both lean with the wind
    np.testing.assert_allclose(lean(gid.SpectralVolume(opposite), 0.0), 0, atol=1e-6)


def test_several_photos_share_the_wind():
    one, two = volume_of(seed=0), volume_of(seed=1)
    both = gid.SpectralVolume(torch.cat([one.coefficients, two.coefficients]))
    motion = wind(both, num_frames=60)
    assert motion.displacement().shape == (2, 60, 2, 20, 32)
    assert rms(motion) > 0
    twice = gid.SpectralVolume(one.coefficients.repeat(2, 1, 1, 1, 1))
    torch.testing.assert_close(wind(twice, num_frames=60).coordinates, wind(one, num_frames=60).coordinates)


def test_a_resized_volume_moves_the_picture_alike():
    volume = volume_of()
    small, large = (wind(v, 20.0, num_frames=120).displacement()[0] for v in (volume, volume.resize((80, 128))))
    reduced = torch.nn.functional.interpolate(large / 4, (20, 32), mode="area")
    assert small.abs().max() > 0.5
    torch.testing.assert_close(reduced, small, atol=0.06 * float(small.abs().max()), rtol=0)


# ---- endless ----


def test_endless_wind_begins_with_the_photo_at_rest():
    volume = volume_of()
    motion = wind(volume, num_frames=90)
    assert not motion.loops and motion.fps == 30.0 and len(motion) == 90
    assert (motion.displacement(0, 1) == 0).all()
    steps = motion.displacement().diff(dim=1).square().mean((0, 2, 3, 4)).sqrt()
    assert steps[:3].max() < 0.1 * steps[45:].mean()


def test_a_longer_endless_wind_begins_the_same():
    volume = volume_of()
    short, long = (wind(volume, num_frames=n).coordinates for n in (60, 200))
    torch.testing.assert_close(long[:60], short, atol=1e-8, rtol=1e-5)


def test_the_frame_rate_hardly_matters():
    """Forces are held for a frame, so the same wind at other rates is near, not equal."""
    volume = volume_of()
    slow, quick = (wind(volume, num_frames=n, fps=fps).coordinates for n, fps in ((150, 30.0), (600, 120.0)))
    assert (quick[::4] - slow).norm() < 0.2 * slow.norm()


def test_speed_is_the_speed_of_wind_and_modes():
    volume = volume_of()
    plain, half = wind(volume, num_frames=300).coordinates, wind(volume, num_frames=600, speed=0.5).coordinates
    settled = slice(200, 300)  # the fade-in is not slowed down
    assert (half[::2][settled] - plain[settled]).norm() < 0.25 * plain[settled].norm()


def test_the_wind_fades_in_within_a_second():
    volume = volume_of()
    faded = wind(volume, num_frames=600, max_displacement=100.0).coordinates.double().numpy() @ [1, 1j]
    omega = angular_frequencies(volume)
    gamma = gid.Damping().rates(omega)
    rest = blow(omega, gamma, np.arange(600) / 30, lean(volume, 0.0), 0.5, 0) * (2 / volume.period)
    full = simulate(omega, gamma, rest, 1 / 30)
    assert np.abs(faded - full)[15].max() > 0.1 * np.abs(full).max()
    np.testing.assert_allclose(faded[500:], full[500:], atol=0.02 * np.abs(full).max())


# ---- loops ----


@pytest.mark.parametrize("frames", [60, 90, 120, 150, 299, 300, 451])
def test_looping_wind_has_no_seam(frames):
    """Nor a chance that its wildest moment lies there."""
    smooth, upright = volume_of(size=(10, 16)), plants(size=(10, 16))
    cut = []
    for seed in range(12):
        settings = {"gustiness": (0.0, 0.5, 1.0)[seed % 3], "num_frames": frames, "seed": seed}
        for volume in (smooth, upright):
            looping = wind(volume, 40.0 * seed, loops=True, **settings)
            assert looping.loops and seam_ratio(looping) <= 1.1
        cut.append(seam_ratio(wind(smooth, **settings)))
    assert np.median(cut) > 1.15


def test_push_is_how_far_a_step_moves_the_picture():
    volume = gid.SpectralVolume(torch.cat([volume_of(bins=4).coefficients, volume_of(bins=4, seed=1).coefficients]))
    step = np.random.default_rng(0).normal(size=(1, 4, 2))
    field = gid.Motion(volume, torch.from_numpy(step).float(), 30.0).displacement()[:, 0]
    expected = (field.square().sum(1) * bin_motion(volume).square()).sum()
    assert step.ravel() @ push(volume) @ step.ravel() == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize(("size", "bins", "every"), [((20, 160), 17, 1), ((20, 320), 17, 2), ((20, 160), 33, 2)])
def test_push_looks_at_part_of_what_is_large(size, bins, every):
    volume = volume_of(size, bins)
    rows = volume.coefficients[..., ::every, ::every].unflatten(2, (2, 2)) * bin_motion(volume)[..., ::every, ::every]
    rows = (rows[0] * torch.tensor([1.0, -1]).view(2, 1, 1)).transpose(1, 2).flatten(2).flatten(0, 1).double().numpy()
    np.testing.assert_allclose(push(volume), rows @ rows.T, rtol=1e-3, atol=1e-5 * (rows**2).sum())


def test_a_loop_begins_where_it_is_calmest():
    for frames in (1, 2, 7, 12, 40):
        random = np.random.default_rng(frames)
        table = random.normal(size=(frames, 3)) + 1j * random.normal(size=(frames, 3))
        root = random.normal(size=(6, 6))

        def largest(start, table=table, root=root):
            turned = np.roll(table, -start, 0)
            near = turned[np.arange(-6, 6) % len(table)]  # eleven steps about the one from the last to the first
            return np.linalg.norm(np.diff(near, axis=0).view(np.float64) @ root, axis=1).max().round(9)

        assert calmest(table, root @ root.T) == min(range(frames), key=largest)
    assert calmest(np.ones((20, 3), complex), np.eye(6)) == 0


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_frame_n_of_a_loop_is_frame_0(integrator):
    """The same wind for two rounds: its second is its first, so the frame after the last is the first."""
    volume = volume_of()
    omega = angular_frequencies(volume)
    gamma = gid.Damping().rates(omega)
    span = 90 / 30
    rest = blow(omega, gamma, np.arange(180) / 30, lean(volume, 30.0), 0.5, 4, span)
    np.testing.assert_allclose(rest[90:], rest[:90], atol=1e-9)  # the wind itself repeats
    once = simulate(omega, gamma, rest[:90], 1 / 30, integrator, periodic=True)
    twice = simulate(omega, gamma, rest, 1 / 30, integrator, periodic=True)
    np.testing.assert_allclose(twice[90], once[0], atol=1e-9)
    found = wind(volume, 30.0, num_frames=90, seed=4, loops=True, integrator=integrator, max_displacement=1e4)
    found = found.coordinates.numpy() @ [1, 1j] / (2 / volume.period)
    turned = min((np.roll(once, -n, 0) for n in range(90)), key=lambda table: np.abs(table - found).max())
    np.testing.assert_allclose(found, turned, atol=1e-4)


def test_a_loop_turns_whole_times():
    for k in range(1, 8):
        frequency, _, _ = arrows(0.2 * k, k, 9, 7.3)
        turns = frequency * 7.3
        np.testing.assert_allclose(turns, turns.round(), atol=1e-9)
        assert (turns > 0.5).all()
        free, weight, phase = arrows(0.2 * k, k, 9)
        assert (np.abs(np.log2(free / (0.2 * k))) <= 0.5).all() and (np.diff(free) > 0).all()
        assert ((weight > 0) & (weight <= 1)).all() and ((phase >= 0) & (phase < 2 * math.pi)).all()


def test_an_undamped_looping_wind_is_refused_in_words():
    with warnings.catch_warnings(), pytest.raises(ValueError, match="more damping"):
        warnings.simplefilter("error")
        wind(volume_of(), num_frames=150, loops=True, damping=gid.Damping(0, 0))


# ---- the name ----


def test_no_module_has_the_name_of_a_public_function():
    """Importing a module gid_core.wind would put it in the place of gid.wind."""
    modules = {path.stem for path in Path(gid.__file__).parent.iterdir()}
    assert "dynamics" in modules and not modules & set(gid.__all__)
    assert callable(gid.wind) and gid.wind is wind


# ---- refused ----


@pytest.mark.parametrize(
    ("setting", "bad"),
    [("num_frames", 0), ("fps", -1), ("speed", 0), ("strength", -1), ("max_displacement", 0), ("gustiness", 1.1)]
    + [("gustiness", -0.1), ("gustiness", math.nan), ("direction_degrees", math.inf), ("direction_degrees", math.nan)]
    + [("seed", -1), ("seed", 0.5), ("integrator", "rk4")],
)
def test_impossible_settings_are_refused(setting, bad):
    with pytest.raises(ValueError, match=f"{setting}.*{bad}"):
        wind(volume_of(), **{setting: bad})


@pytest.mark.parametrize("integrator", INTEGRATORS[1:])
def test_unstable_integrators_are_refused(integrator):
    with pytest.raises(ValueError, match="blows up"):
        wind(volume_of(bins=60), num_frames=30, integrator=integrator)


@pytest.mark.parametrize("frames", [1, 6, 13, 24, 45])
def test_a_short_loop_does_not_stand_far_off_the_photo(frames):
    """Modes that are slower than the loop beat with the gusts, at frequency zero, unless they are left out."""
    natural = rms(gid.loop(volume_of()))
    for seed in range(3):
        offset = wind(volume_of(), num_frames=frames, seed=seed, loops=True).displacement().mean(1)
        assert float(offset.square().mean().sqrt()) < natural
