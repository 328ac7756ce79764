"""The synthetic corpus without Blender: its motion, projection, judgment and format."""

import numpy as np
import pytest
import torch

from gid_core import spectral_volume
from gid_core.training.motion_samples import find_samples, load_sample
from scripts.corpus import geometry, hangings, motion, photo, plants, projection, quality
from scripts.corpus.__main__ import Corpus, to_sample

CALM = motion.Wind(np.array([1.0, 0, 0]), 3.0, 0.2, 0.5, 0.1)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def chain(bend=1.0):
    """A stem of 1 m, a twig at its tip, a leaf at the twig's tip."""
    bones = motion.Skeleton()
    stem = bones.add([0, 0, 0], [0, 0, 1], 1, frequency=0.7, swing=0.1, bend=bend)
    twig = bones.add([0, 0, 1], [1, 0, 0], 0.5, stem, frequency=1.2, swing=0.1)
    bones.add([0.5, 0, 1], [1, 0, 0], 0.1, twig, frequency=2.0, swing=0.2)
    return bones.joints()


def moved(joints, omega, index, points):
    return motion.displacement(joints, omega, np.asarray(index), np.asarray(points, float))


def random_volume(rng, size=(12, 20)):
    return motion.with_rest(motion.noise(rng, *size, 2) * 20)


def test_conventions_are_the_librarys():
    assert motion.PERIOD == spectral_volume.DEFAULT_PERIOD
    assert motion.FPS == spectral_volume.DEFAULT_FPS
    assert motion.BINS == spectral_volume.DEFAULT_BINS


def test_motion_starts_at_rest_and_repeats(rng):
    volume = random_volume(rng)
    path = motion.trajectory(volume, np.array([0, 3, motion.PERIOD, motion.PERIOD + 3]))
    assert np.abs(path[..., 0]).max() < 1e-5
    assert np.allclose(path[..., :2], path[..., 2:], atol=1e-4)
    assert np.abs(path[..., 1]).max() > 0.1


def test_trajectory_is_the_transform_that_the_library_inverts(rng):
    volume = random_volume(rng, (3, 4))
    path = torch.from_numpy(motion.trajectory(volume, np.arange(motion.PERIOD))).permute(3, 2, 0, 1)[None]
    back = spectral_volume.rfft_bins(path.float(), motion.BINS)
    _, expected = to_sample(np.zeros((4, 4, 3), np.uint8), volume)
    assert torch.allclose(back, expected.coefficients, atol=1e-3)


def test_delay_shifts_in_time(rng):
    bins = motion.noise(rng, 1)
    late = bins * motion.delay(np.array([12 / motion.FPS]))
    first, then = (motion.trajectory(np.concatenate([0 * b[..., :1], b], -1), np.arange(150)) for b in (bins, late))
    assert np.allclose(np.roll(first, 12, axis=-1), then, atol=1e-5)


def test_response_has_unit_rms(rng):
    weight = motion.response(CALM, np.array([0.3, 1.0, 2.5]))
    assert np.allclose(np.sqrt(2 * (np.abs(weight) ** 2).sum(1)) / motion.PERIOD, 1, atol=1e-5)
    fast = motion.FREQUENCIES > 1.5  # below, the gusts are stronger than the resonance
    assert motion.FREQUENCIES[fast][np.abs(weight[2, fast]).argmax()] == pytest.approx(2.5, abs=0.11)


def test_cantilever_root_stands_still(rng):
    joints = chain()
    omega = motion.rotations(joints, CALM, rng)
    root, near, middle, tip = np.abs(moved(joints, omega, [0] * 4, [[0, 0, z] for z in (0, 0.01, 0.5, 1)])).max((1, 2))
    assert root == 0
    assert near < 2e-4 * tip  # no slope at the root either
    assert middle == pytest.approx(tip / 4, rel=1e-4)


def test_parts_stay_attached(rng):
    joints = chain()
    omega = motion.rotations(joints, CALM, rng)
    for child in (1, 2):
        pivot = joints.pivot[[child]]
        assert np.allclose(moved(joints, omega, [child], pivot), moved(joints, omega, [child - 1], pivot), atol=1e-5)


def test_rigid_parts_keep_their_lengths(rng):
    joints = chain(bend=0)
    omega = motion.rotations(joints, CALM, rng)
    points = rng.normal(0, 0.2, (6, 3)) + [0.6, 0, 1]
    motions = moved(joints, omega, [2] * 6, points)
    for one in range(1, 6):  # to first order, relative motion stands at right angles to the distance
        stretch = np.einsum("i,ik->k", points[one] - points[0], motions[one] - motions[0])
        assert np.abs(stretch).max() < 1e-4 * np.abs(motions).max()


def test_a_turn_about_z_is_a_turn_about_z():
    joints = chain(bend=0)
    omega = np.zeros((3, 3, motion.BINS - 1), np.complex64)
    omega[0, 2] = 1
    assert np.allclose(moved(joints, omega, [2], [[0.5, 0.25, 3]])[0, :, 0], [-0.25, 0.5, 0])


def test_unneeded_joints_change_nothing(rng):
    joints = motion.Joints.stack([chain(), chain(0.5), chain()])
    omega = motion.rotations(joints, CALM, rng)
    points = rng.normal(0, 1, (4, 3))
    index = np.array([5, 5, 4, 1])
    few, renumbered = joints.needed(index)
    kept = [0, 1, 3, 4, 5]
    assert len(few) == 5
    assert np.allclose(
        motion.displacement(few, omega[kept], renumbered, points), motion.displacement(joints, omega, index, points)
    )


def test_joints_move_with_their_body(rng):
    joints, turn = chain(), np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = 2 * turn, [3, 4, 5]
    placed = joints.moved(matrix)
    omega = motion.rotations(joints, CALM, rng)
    point = np.array([[0.55, 0.02, 1.0]])
    before = moved(joints, omega, [2], point)
    after = moved(placed, np.einsum("ij,njk->nik", turn, omega), [2], point @ matrix[:3, :3].T + matrix[:3, 3])
    assert np.allclose(after, 2 * np.einsum("ij,njk->nik", turn, before), rtol=1e-3, atol=1e-3)


def test_cloth_is_fixed_at_its_edge(rng):
    sheet = hangings.cloth(rng, 0.6, 0.8, None).sheet
    u = np.linspace(0, 1, 5)
    still, free = (motion.sheet_displacement(sheet, np.stack([u, 0 * u + v], 1), CALM, rng) for v in (0, 1))
    assert np.abs(still).max() == 0
    assert np.abs(free).max() > 0


def test_rest_points_project_to_pixel_centers(rng):
    camera = projection.Camera(np.array([1.0, -2, 0.5]), np.linalg.qr(rng.normal(0, 1, (3, 3)))[0], 1.4)
    height, width, depth = 9, 16, rng.uniform(1, 5, (9, 16))
    y, x = np.mgrid[0:height, 0:width]
    ray = np.stack([(x + 0.5 - width / 2), -(y + 0.5 - height / 2), np.full(x.shape, -1.4 * width)], axis=-1)
    points = camera.location + (ray / (1.4 * width) * depth[..., None]) @ camera.rotation.T
    found = camera.project(points.reshape(-1, 3), (height, width))
    assert np.allclose(found, np.stack([x, y], axis=-1).reshape(-1, 2), atol=1e-9)


def test_projected_motion_is_the_projections_derivative(rng):
    camera = projection.Camera(np.array([0, -3.0, 1]), np.linalg.qr(rng.normal(0, 1, (3, 3)))[0], 1.2)
    points = camera.location - camera.rotation[:, 2] * 4 + rng.normal(0, 0.5, (5, 3))
    step = rng.normal(0, 1e-5, (5, 3))
    expected = camera.project(points + step, (72, 128)) - camera.project(points, (72, 128))
    assert np.allclose(
        camera.project_motion(points, step[..., None], (72, 128))[..., 0], expected, rtol=2e-3, atol=1e-7
    )


def test_pooling_does_not_mix_objects():
    objects = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [1, 2, 0, 2], [2, 0, 0, 0]])
    values = np.array([[4.0, 6, 0, 0], [0, 0, 0, 0], [9, 2, 0, 7], [4, 0, 0, 0]])
    assert np.array_equal(projection.pool(values, objects, 2), [[5, 0], [3, 0]])


def test_plants_name_joints_that_exist(rng):
    blade = geometry.leaf("heart", 0.3)
    bodies = [
        plants.flower(rng, plants.BLOSSOMS["poppy"], 0.5, 0.05, *"gph"),
        plants.spike(rng, 0.5, *"gp"),
        plants.tuft(rng, 20, 0.3, 0.05, 0.01, "g", ear=0.2),
        plants.arching(rng, 9, 0.4, "egg", 0.3, "g", stalk=0.5),
        plants.fronds(rng, 7, 0.5, 12, "g"),
        hangings.hung_pot(rng, 0.3, 0.1, "c", "o", plants.strands(rng, 5, 0.5, 0.1, blade, 0.05, "b", "g")),
        hangings.lantern(rng, 0.3, 0.2, *"pwc"),
    ]
    for body in bodies:
        shape = body.mesh
        assert np.isfinite(shape.points).all() and shape.faces.max() < len(shape.points)
        assert 0 <= shape.joint.min() and shape.joint.max() < len(body.joints)
        assert shape.slot.max() < len(body.materials)
        assert (body.joints.parent < np.arange(len(body.joints))).all()


def test_amplitude_target_is_met(rng):
    volume = random_volume(rng)
    scaled = quality.scaled(volume / 50, 0.8)
    assert quality.rms_motion(scaled).mean() == pytest.approx(0.8, rel=1e-3)
    strong = quality.scaled(volume / 50, 80)
    assert quality.largest_motion(strong) < quality.STRONGEST
    assert quality.motion_fault(strong) != ""  # all of it moves


def test_unfit_motion_is_refused(rng):
    volume = quality.scaled(random_volume(rng, (20, 30)), 1)
    volume[:, 15:] = 0
    assert quality.motion_fault(volume) == ""
    assert quality.motion_fault(volume * 0).startswith("0%")
    assert "px" in quality.motion_fault(volume * 30)
    assert "finite" in quality.motion_fault(volume * np.nan)


def test_unfit_photos_are_refused(rng):
    good = rng.integers(60, 190, (36, 64, 3)).astype(np.uint8)
    assert quality.photo_fault(good) == ""
    assert "luminance" in quality.photo_fault(good // 8)
    burned = good.copy()
    burned[:10] = 255
    assert "white" in quality.photo_fault(burned)


def test_development_finds_the_exposure(rng):
    light = rng.uniform(0.001, 0.02, (36, 64, 3)).astype(np.float32)
    dark, bright = photo.develop(light, np.random.default_rng(1)), photo.develop(light * 900, np.random.default_rng(1))
    assert abs(int(dark.mean()) - int(bright.mean())) < 3
    assert 60 < dark.mean() < 190


def test_scene_becomes_samples_once(rng, tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    still = rng.integers(0, 255, (36, 64, 3)).astype(np.uint8)
    volume = random_volume(rng, (9, 16))
    np.savez(raw / "grass_000004_0.npz", photo=still, volume=volume)
    corpus = Corpus(out, 5, 4)
    assert corpus.next_seed() == 4
    corpus.take(4, raw, {"seconds": 1.0, "views": {"grass_000004_0": "", "grass_000004_1": "too dark"}})
    (path,) = find_samples(out)
    sample = load_sample(path)
    assert (sample.name, sample.group) == ("grass_000004_0", "grass_000004")
    assert torch.equal(sample.photo, torch.from_numpy(still))
    assert sample.volume.size == (9, 16) and sample.volume.detrend == "ramp"
    y_im = sample.volume.coefficients[0, 5, 3].numpy()
    assert np.array_equal(y_im, volume[:, :, 1, 5].imag)
    assert Corpus(out, 5, 4).next_seed() == 5  # another run goes on behind it
    assert Corpus(out, 1, 4).next_seed() is None


def test_a_stop_file_ends_the_run(tmp_path):
    corpus = Corpus(tmp_path, 5, 0)
    (tmp_path / "stop").touch()
    assert corpus.next_seed() is None
