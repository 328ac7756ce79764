"""Wind: as large as the loop, along its direction, endless or seamless, and reproducible from its seed."""

import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import gid_core as gid
from dynamics_volumes import natural_volume, plants
from gid_core.dynamics.modes import Modes
from gid_core.dynamics.oscillators import INTEGRATORS, simulate
from gid_core.dynamics.wind import (
    GUST_FREQUENCIES,
    find_seam,
    gust_speed,
    mulberry32,
    phasors,
    wind,
    wind_equilibrium,
)
from gid_core.evaluation.motion_metrics import seam_ratio


def rms(motion, skip=0) -> float:
    """Root mean square of the displacement about its mean position, over pixels and time."""
    moves = motion.displacement(skip)
    return float((moves - moves.mean(1, keepdim=True)).square().mean().sqrt())


def mean_x(motion, skip=60) -> float:
    return float(motion.displacement(skip)[:, :, 0].mean())


# ---- random numbers ----


def test_random_numbers_are_those_of_mulberry32():
    """Published numbers of the generator, for seed 0 and stream 0."""
    draw = mulberry32(0, 0)
    assert [round(draw() * 2**32) for _ in range(3)] == [1144304738, 1416247, 958946056]


def test_streams_and_seeds_differ_and_are_uniform():
    tables = {(seed, k): [mulberry32(seed, k)() for _ in range(1)] for seed in range(20) for k in range(20)}
    assert len({value[0] for value in tables.values()}) == 400
    draw = mulberry32(5, 3)
    values = np.array([draw() for _ in range(20_000)])
    assert ((values >= 0) & (values < 1)).all()
    np.testing.assert_allclose(np.histogram(values, 10, (0, 1))[0], 2000, rtol=0.1)
    assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 0.03


def test_equal_seeds_give_equal_winds_and_others_differ():
    volume = natural_volume()
    for loops in (False, True):
        first, again, other = (wind(volume, num_frames=80, seed=seed, loops=loops) for seed in (3, 3, 4))
        assert torch.equal(first.coordinates, again.coordinates)
        assert (first.coordinates - other.coordinates).norm() > 0.5 * first.coordinates.norm()
    low_bits = wind(volume, num_frames=80, seed=2**32 + 3)
    assert torch.equal(low_bits.coordinates, wind(volume, num_frames=80, seed=3).coordinates)


# ---- amplitude ----


@pytest.mark.parametrize("loops", [False, True])
def test_ten_seconds_of_wind_sway_about_as_far_as_the_loop(loops):
    for volume in (natural_volume(), plants()):
        loop_rms = rms(gid.loop(volume))
        for seed in range(10):
            wind_rms = rms(wind(volume, seed=seed, loops=loops, max_displacement=100.0), 0 if loops else 30)
            assert 0.5 < wind_rms / loop_rms < 1.5


@pytest.mark.parametrize("loops", [False, True])
@pytest.mark.parametrize("damping", [gid.Damping(), gid.Damping(ratio=0.03), gid.Damping(ratio=1.0)])
def test_strength_1_sways_as_far_as_the_loop(loops, damping):
    """Over half a minute, whatever the damping."""
    volume = natural_volume()
    loop_rms = rms(gid.loop(volume))
    settings = {"damping": damping, "loops": loops, "max_displacement": 100.0, "num_frames": 900}
    ratios = [rms(wind(volume, seed=seed, **settings), 0 if loops else 100) / loop_rms for seed in range(8)]
    assert 0.5 < min(ratios) and max(ratios) < 1.5
    assert np.mean(ratios) == pytest.approx(1, abs=0.2)


def test_every_mode_has_the_amplitude_of_the_loop():
    """Not only the sum but each single mode, over a long time."""
    volume = natural_volume()
    coordinates = wind(volume, num_frames=9000, gustiness=0.0, max_displacement=100.0).coordinates[300:, 1:].double()
    size = (coordinates - coordinates.mean(0)).square().sum(2).mean(0).sqrt() * (volume.period / 2)
    np.testing.assert_allclose(size, 1, atol=0.25)


@pytest.mark.parametrize("frames", [40, 90, 300])
def test_every_mode_of_a_loop_has_the_exact_amplitude(frames):
    """This includes phasors of equal frequency, which loops have; a mode without half a cycle is only deflected."""
    volume = natural_volume()
    has_half_a_cycle = np.arange(1, 16) * 0.2 * frames / 30 >= 0.5
    for seed in range(4):
        motion = wind(volume, gustiness=0.0, num_frames=frames, seed=seed, loops=True, max_displacement=100.0)
        q = motion.coordinates[:, 1:].double()
        size = (q - q.mean(0)).square().sum(2).mean(0).sqrt() * (volume.period / 2)
        np.testing.assert_allclose(
            size, has_half_a_cycle, atol=0.05
        )  # forces are constant during a frame: a little weaker


def test_strength_0_gives_exactly_no_motion():
    for loops in (False, True):
        motion = wind(natural_volume(), strength=0.0, num_frames=30, loops=loops)
        assert (motion.displacement() == 0).all() and not (motion.coordinates.signbit()).any()
    static = gid.SpectralVolume(torch.zeros(1, 4, 4, 5, 6))
    assert (wind(static, num_frames=30).displacement() == 0).all()


def test_strength_is_a_factor_until_the_limit():
    volume = natural_volume()
    single, double = (wind(volume, strength=s, num_frames=60, max_displacement=1e4).coordinates for s in (1.0, 2.0))
    torch.testing.assert_close(double, 2 * single)
    strong = wind(volume, strength=1000.0, num_frames=600, max_displacement=0.1)
    assert torch.hypot(*strong.displacement()[0].unbind(1)).max() < 1.7 * 0.1 * 32  # soft, as it is a random sum
    modes = Modes(volume)
    assert modes.limit_factor(0.0, 0.25) == 1.0
    assert 1000 * modes.limit_factor(1000.0, 0.1) == pytest.approx(
        2 * 1000 * modes.limit_factor(1000.0, 0.05), rel=1e-3
    )


def test_ten_minutes_of_wind_stay_bounded():
    volume = natural_volume()
    loop_rms, motion = rms(gid.loop(volume)), wind(volume, num_frames=18_000, max_displacement=100.0)
    blocks = motion.coordinates.norm(dim=(1, 2)).unflatten(0, (10, 1800)).square().mean(1).sqrt()
    assert (blocks[1:] / blocks[1:].mean() - 1).abs().max() < 0.5  # neither grows nor decays
    samples = [motion.displacement(n, n + 20).square().mean().sqrt() for n in range(1000, 18_000, 500)]
    assert max(samples) < 5 * loop_rms


@pytest.mark.parametrize("damping", [gid.Damping(0, 0), gid.Damping(ratio=0), gid.Damping(0.4, 0)])
def test_wind_with_little_damping_is_finite(damping):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        motion = wind(natural_volume(), num_frames=600, damping=damping, max_displacement=100.0)
    assert torch.isfinite(motion.coordinates).all() and motion.coordinates.abs().max() < 10


# ---- gusts ----


def test_gusts_have_the_spectrum_of_turbulence():
    """A least-squares fit of the known frequencies has amplitudes sqrt(f S(f)), S ~ (1 + (f / 0.2)^2)^(-5/6)."""
    time = np.arange(20_000) * 0.05
    g = gust_speed(time, 11, None)
    assert g.mean() == pytest.approx(0, abs=0.1) and g.std() == pytest.approx(1, abs=0.05)
    angle = 2 * math.pi * np.outer(time, GUST_FREQUENCIES)
    fit = np.linalg.lstsq(np.concatenate([np.cos(angle), np.sin(angle)], 1), g, rcond=None)[0]
    amplitude = np.hypot(*fit.reshape(2, -1))
    expected = np.sqrt(GUST_FREQUENCIES * (1 + (GUST_FREQUENCIES / 0.2) ** 2) ** (-5 / 6))
    np.testing.assert_allclose(amplitude / amplitude.max(), expected / expected.max(), rtol=0.02)


@pytest.mark.parametrize("loops", [False, True])
def test_gusty_wind_is_less_steady(loops):
    """Relative variation over time of the rms of each second, mean of several seeds."""

    def unsteadiness(gustiness):
        variations = []
        for seed in range(6):
            motion = wind(natural_volume(), gustiness=gustiness, seed=seed, num_frames=1800, loops=loops)
            size = motion.coordinates[60:, 1:].square().sum((1, 2)).unfold(0, 30, 30).mean(1).sqrt()
            variations.append(float(size.std() / size.mean()))
        return np.mean(variations)

    assert unsteadiness(1.0) > 1.3 * unsteadiness(0.0)


# ---- direction ----


@pytest.mark.parametrize("seed", range(4))
def test_objects_are_deflected_along_the_wind(seed):
    volume, settings = plants(), {"num_frames": 1800, "seed": seed}
    right, left = (
        mean_x(wind(volume, direction_degrees=0.0, **settings)),
        mean_x(wind(volume, direction_degrees=180.0, **settings)),
    )
    assert right > 0 > left
    sway = float(wind(volume, direction_degrees=0.0, **settings).displacement(60)[:, :, 0].std(1).mean())
    assert 0.2 * sway < right < 3 * sway and 0.2 * sway < -left < 3 * sway
    down = wind(
        volume.replace(coefficients=volume.coefficients[:, :, [2, 3, 0, 1]]), direction_degrees=90.0, **settings
    )
    assert float(down.displacement(60)[:, :, 1].mean()) == pytest.approx(right, rel=1e-4)


def test_a_mirrored_photo_in_a_mirrored_wind_moves_mirrored():
    volume = natural_volume()
    mirror = volume.replace(coefficients=volume.coefficients.flip(-1) * torch.tensor([-1.0, -1, 1, 1]).view(4, 1, 1))
    np.testing.assert_allclose(Modes(mirror).alignment(180 - 30.0), Modes(volume).alignment(30.0), atol=1e-6)
    plain, other = (
        wind(volume, direction_degrees=30.0, num_frames=60),
        wind(mirror, direction_degrees=150.0, num_frames=60),
    )
    flipped = plain.displacement().flip(-1) * torch.tensor([-1.0, 1]).view(2, 1, 1)
    torch.testing.assert_close(other.displacement(), flipped, atol=1e-4, rtol=1e-4)


def test_several_photos_share_the_wind():
    first, second = natural_volume(seed=0), natural_volume(seed=1)
    both = gid.SpectralVolume(torch.cat([first.coefficients, second.coefficients]))
    motion = wind(both, num_frames=60)
    assert motion.displacement().shape == (2, 60, 2, 20, 32)
    assert rms(motion) > 0
    twice = gid.SpectralVolume(first.coefficients.repeat(2, 1, 1, 1, 1))
    torch.testing.assert_close(wind(twice, num_frames=60).coordinates, wind(first, num_frames=60).coordinates)


def test_a_resized_volume_moves_the_image_by_the_same_fraction():
    volume = natural_volume()
    small, large = (
        wind(v, direction_degrees=20.0, num_frames=120).displacement()[0] for v in (volume, volume.resize((80, 128)))
    )
    reduced = torch.nn.functional.interpolate(large / 4, (20, 32), mode="area")
    assert small.abs().max() > 0.5
    torch.testing.assert_close(reduced, small, atol=0.06 * float(small.abs().max()), rtol=0)


# ---- endless ----


def test_endless_wind_begins_with_the_photo_at_rest():
    volume = natural_volume()
    motion = wind(volume, num_frames=90)
    assert not motion.loops and motion.fps == 30.0 and len(motion) == 90
    assert (motion.displacement(0, 1) == 0).all()
    steps = motion.displacement().diff(dim=1).square().mean((0, 2, 3, 4)).sqrt()
    assert steps[:3].max() < 0.1 * steps[45:].mean()


def test_a_longer_endless_wind_begins_the_same():
    volume = natural_volume()
    short, long = (wind(volume, num_frames=n).coordinates for n in (60, 200))
    torch.testing.assert_close(long[:60], short, atol=1e-8, rtol=1e-5)


def test_the_frame_rate_hardly_matters():
    """Forces are constant during a frame, so the same wind at another frame rate is close but not equal."""
    volume = natural_volume()
    slow, fast = (wind(volume, num_frames=n, fps=fps).coordinates for n, fps in ((150, 30.0), (600, 120.0)))
    assert (fast[::4] - slow).norm() < 0.2 * slow.norm()


def test_speed_is_the_speed_of_wind_and_modes():
    volume = natural_volume()
    plain, half = wind(volume, num_frames=300).coordinates, wind(volume, num_frames=600, speed=0.5).coordinates
    settled = slice(200, 300)  # the fade-in is not slowed down
    assert (half[::2][settled] - plain[settled]).norm() < 0.25 * plain[settled].norm()


def test_the_wind_fades_in_within_a_second():
    volume = natural_volume()
    faded = wind(volume, num_frames=600, max_displacement=100.0).coordinates.double().numpy() @ [1, 1j]
    modes = Modes(volume)
    gamma = gid.Damping().rates(modes.omega)
    equilibrium = wind_equilibrium(modes.omega, gamma, np.arange(600) / 30, modes.alignment(0.0), 0.5, 0)
    full = simulate(modes.omega, gamma, equilibrium * (2 / volume.period), 1 / 30)
    assert np.abs(faded - full)[15].max() > 0.1 * np.abs(full).max()
    np.testing.assert_allclose(faded[500:], full[500:], atol=0.02 * np.abs(full).max())


# ---- loops ----


@pytest.mark.parametrize("frames", [60, 90, 120, 150, 299, 300, 451])
def test_looping_wind_has_no_seam(frames):
    """And the largest step of the loop is never at the seam."""
    smooth, upright = natural_volume(size=(10, 16)), plants(size=(10, 16))
    cut = []
    for seed in range(12):
        settings = {"gustiness": (0.0, 0.5, 1.0)[seed % 3], "num_frames": frames, "seed": seed}
        for volume in (smooth, upright):
            looping = wind(volume, direction_degrees=40.0 * seed, loops=True, **settings)
            assert looping.loops and seam_ratio(looping) <= 1.1
        cut.append(seam_ratio(wind(smooth, **settings)))
    assert np.median(cut) > 1.15


def test_a_loop_begins_where_its_steps_are_smallest():
    for frames in (1, 2, 7, 12, 40):
        rng = np.random.default_rng(frames)
        table = rng.normal(size=(frames, 3)) + 1j * rng.normal(size=(frames, 3))
        root = rng.normal(size=(6, 6))

        def largest(start, table=table, root=root):
            rolled = np.roll(table, -start, 0)
            nearby = rolled[np.arange(-6, 6) % len(table)]  # eleven steps around the one from the last to the first
            return np.linalg.norm(np.diff(nearby, axis=0).view(np.float64) @ root, axis=1).max().round(9)

        assert find_seam(table, root @ root.T) == min(range(frames), key=largest)
    assert find_seam(np.ones((20, 3), complex), np.eye(6)) == 0
    turning = np.asfortranarray(np.arange(6.0).reshape(2, 3) + 0j)
    assert find_seam(turning, np.eye(6)) == find_seam(np.ascontiguousarray(turning), np.eye(6))


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_frame_n_of_a_loop_is_frame_0(integrator):
    """Two passes of the same wind are equal, so the frame after the last is the first."""
    volume = natural_volume()
    modes = Modes(volume)
    omega, gamma, loop_seconds = modes.omega, gid.Damping().rates(modes.omega), 90 / 30
    equilibrium = wind_equilibrium(omega, gamma, np.arange(180) / 30, modes.alignment(30.0), 0.5, 4, loop_seconds)
    np.testing.assert_allclose(equilibrium[90:], equilibrium[:90], atol=1e-9)  # the wind itself repeats
    once = simulate(omega, gamma, equilibrium[:90], 1 / 30, integrator, periodic=True)
    twice = simulate(omega, gamma, equilibrium, 1 / 30, integrator, periodic=True)
    np.testing.assert_allclose(twice[90], once[0], atol=1e-9)
    motion = wind(
        volume, direction_degrees=30.0, num_frames=90, seed=4, loops=True, integrator=integrator, max_displacement=1e4
    )
    coordinates = motion.coordinates.numpy() @ [1, 1j] / (2 / volume.period)
    rolled = min((np.roll(once, -n, 0) for n in range(90)), key=lambda table: np.abs(table - coordinates).max())
    np.testing.assert_allclose(coordinates, rolled, atol=1e-4)


def test_the_phasors_of_a_loop_have_whole_cycles():
    for k in range(1, 8):
        frequency, _, _ = phasors(0.2 * k, k, 9, 7.3)
        cycles = frequency * 7.3
        np.testing.assert_allclose(cycles, cycles.round(), atol=1e-9)
        assert (cycles > 0.5).all()
        free, weight, phase = phasors(0.2 * k, k, 9)
        assert (np.abs(np.log2(free / (0.2 * k))) <= 0.5).all() and (np.diff(free) > 0).all()
        assert ((weight > 0) & (weight <= 1)).all() and ((phase >= 0) & (phase < 2 * math.pi)).all()


def test_an_undamped_looping_wind_is_rejected_with_advice():
    with warnings.catch_warnings(), pytest.raises(ValueError, match="more damping"):
        warnings.simplefilter("error")
        wind(natural_volume(), num_frames=150, loops=True, damping=gid.Damping(0, 0))


# ---- names of modules ----


def test_no_module_has_the_name_of_a_public_function():
    """Importing a module gid_core.wind would replace the function gid.wind."""
    modules = {path.stem for path in Path(gid.__file__).parent.iterdir()}
    assert "dynamics" in modules and not modules & set(gid.__all__)
    assert callable(gid.wind) and gid.wind is wind


# ---- rejected settings ----


@pytest.mark.parametrize(
    ("setting", "bad"),
    [("num_frames", 0), ("fps", -1), ("speed", 0), ("strength", -1), ("max_displacement", 0), ("gustiness", 1.1)]
    + [("gustiness", -0.1), ("gustiness", math.nan), ("direction_degrees", math.inf), ("direction_degrees", math.nan)]
    + [("seed", -1), ("seed", 0.5), ("integrator", "rk4")],
)
def test_invalid_settings_are_rejected(setting, bad):
    with pytest.raises(ValueError, match=f"{setting}.*{bad}"):
        wind(natural_volume(), **{setting: bad})


@pytest.mark.parametrize("integrator", INTEGRATORS[1:])
def test_unstable_integrators_are_rejected(integrator):
    with pytest.raises(ValueError, match="blows up"):
        wind(natural_volume(bins=60), num_frames=30, integrator=integrator)


@pytest.mark.parametrize("frames", [1, 6, 13, 24, 45])
def test_a_short_loop_stays_near_the_photo(frames):
    """Modes slower than the loop would beat with the gusts at frequency zero; the wind omits them."""
    loop_rms = rms(gid.loop(natural_volume()))
    for seed in range(3):
        offset = wind(natural_volume(), num_frames=frames, seed=seed, loops=True).displacement().mean(1)
        assert float(offset.square().mean().sqrt()) < loop_rms
