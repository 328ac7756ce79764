"""The synthetic corpus without Blender: motion, projection, quality checks and format."""

import numpy as np
import pytest
import torch

from gid_core import spectral_volume
from gid_core.training.motion_samples import find_motion_samples, load_motion_sample
from scripts.corpus import blossoms, geometry, hanging_objects, joint_motion, photo, plants, projection, quality
from scripts.corpus.__main__ import Corpus, to_sample

LIGHT_WIND = joint_motion.Wind(np.array([1.0, 0, 0]), 3.0, 0.2, 0.5, 0.1)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def chain(bend_exponent=1.0):
    """A stem of 1 m, a twig at its tip, a leaf at the twig's tip."""
    skeleton = joint_motion.Skeleton()
    stem = skeleton.add([0, 0, 0], [0, 0, 1], 1, frequency=0.7, amplitude=0.1, bend_exponent=bend_exponent)
    twig = skeleton.add([0, 0, 1], [1, 0, 0], 0.5, stem, frequency=1.2, amplitude=0.1)
    skeleton.add([0.5, 0, 1], [1, 0, 0], 0.1, twig, frequency=2.0, amplitude=0.2)
    return skeleton.joints()


def displacement(joints, omega, index, points):
    return joint_motion.joint_displacement(joints, omega, np.asarray(index), np.asarray(points, float))


def random_volume(rng, size=(12, 20)):
    return joint_motion.add_rest_bin(joint_motion.complex_noise(rng, *size, 2) * 20)


def test_conventions_equal_the_librarys():
    assert joint_motion.PERIOD == spectral_volume.DEFAULT_PERIOD
    assert joint_motion.FPS == spectral_volume.DEFAULT_FPS
    assert joint_motion.BINS == spectral_volume.DEFAULT_BINS


def test_motion_starts_at_rest_and_repeats(rng):
    volume = random_volume(rng)
    path = joint_motion.trajectory(volume, np.array([0, 3, joint_motion.PERIOD, joint_motion.PERIOD + 3]))
    assert np.abs(path[..., 0]).max() < 1e-5
    assert np.allclose(path[..., :2], path[..., 2:], atol=1e-4)
    assert np.abs(path[..., 1]).max() > 0.1


def test_trajectory_is_the_transform_that_the_library_inverts(rng):
    volume = random_volume(rng, (3, 4))
    path = torch.from_numpy(joint_motion.trajectory(volume, np.arange(joint_motion.PERIOD))).permute(3, 2, 0, 1)[None]
    back = spectral_volume.temporal_dft(path.float(), joint_motion.BINS)
    _, expected = to_sample(np.zeros((4, 4, 3), np.uint8), volume)
    assert torch.allclose(back, expected.coefficients, atol=1e-3)


def test_delay_shifts_motion_in_time(rng):
    bins = joint_motion.complex_noise(rng, 1)
    delayed = bins * joint_motion.delay_phasors(np.array([12 / joint_motion.FPS]))
    original, shifted = (
        joint_motion.trajectory(np.concatenate([0 * b[..., :1], b], -1), np.arange(150)) for b in (bins, delayed)
    )
    assert np.allclose(np.roll(original, 12, axis=-1), shifted, atol=1e-5)


def test_response_has_unit_rms(rng):
    weight = joint_motion.resonance_response(LIGHT_WIND, np.array([0.3, 1.0, 2.5]))
    assert np.allclose(np.sqrt(2 * (np.abs(weight) ** 2).sum(1)) / joint_motion.PERIOD, 1, atol=1e-5)
    fast = joint_motion.FREQUENCIES > 1.5  # at lower frequencies gusts are stronger than the resonance
    assert joint_motion.FREQUENCIES[fast][np.abs(weight[2, fast]).argmax()] == pytest.approx(2.5, abs=0.11)


def test_cantilever_root_is_static(rng):
    joints = chain()
    omega = joint_motion.joint_rotations(joints, LIGHT_WIND, rng)
    root, base, middle, tip = np.abs(displacement(joints, omega, [0] * 4, [[0, 0, z] for z in (0, 0.01, 0.5, 1)])).max(
        (1, 2)
    )
    assert root == 0
    assert base < 2e-4 * tip  # the slope is zero at the root as well
    assert middle == pytest.approx(tip / 4, rel=1e-4)


def test_parts_stay_attached(rng):
    joints = chain()
    omega = joint_motion.joint_rotations(joints, LIGHT_WIND, rng)
    for child in (1, 2):
        pivot = joints.pivot[[child]]
        assert np.allclose(
            displacement(joints, omega, [child], pivot), displacement(joints, omega, [child - 1], pivot), atol=1e-5
        )


def test_rigid_parts_keep_their_lengths(rng):
    joints = chain(bend_exponent=0)
    omega = joint_motion.joint_rotations(joints, LIGHT_WIND, rng)
    points = rng.normal(0, 0.2, (6, 3)) + [0.6, 0, 1]
    motions = displacement(joints, omega, [2] * 6, points)
    for i in range(1, 6):  # to first order, relative motion is perpendicular to the distance
        stretch = np.einsum("i,ik->k", points[i] - points[0], motions[i] - motions[0])
        assert np.abs(stretch).max() < 1e-4 * np.abs(motions).max()


def test_rotation_about_z_moves_points_about_z():
    joints = chain(bend_exponent=0)
    omega = np.zeros((3, 3, joint_motion.BINS - 1), np.complex64)
    omega[0, 2] = 1
    assert np.allclose(displacement(joints, omega, [2], [[0.5, 0.25, 3]])[0, :, 0], [-0.25, 0.5, 0])


def test_subset_of_joints_gives_the_same_motion(rng):
    joints = joint_motion.Joints.concatenate([chain(), chain(0.5), chain()])
    omega = joint_motion.joint_rotations(joints, LIGHT_WIND, rng)
    points = rng.normal(0, 1, (4, 3))
    index = np.array([5, 5, 4, 1])
    subset, renumbered = joints.subset(index)
    kept = [0, 1, 3, 4, 5]
    assert len(subset) == 5
    assert np.allclose(
        joint_motion.joint_displacement(subset, omega[kept], renumbered, points),
        joint_motion.joint_displacement(joints, omega, index, points),
    )


def test_joints_are_transformed_with_their_body(rng):
    joints, rotation = chain(), np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = 2 * rotation, [3, 4, 5]
    placed = joints.transformed(matrix)
    omega = joint_motion.joint_rotations(joints, LIGHT_WIND, rng)
    point = np.array([[0.55, 0.02, 1.0]])
    before = displacement(joints, omega, [2], point)
    after = displacement(
        placed, np.einsum("ij,njk->nik", rotation, omega), [2], point @ matrix[:3, :3].T + matrix[:3, 3]
    )
    assert np.allclose(after, 2 * np.einsum("ij,njk->nik", rotation, before), rtol=1e-3, atol=1e-3)


def test_cloth_is_fixed_at_one_edge(rng):
    sheet = hanging_objects.cloth(rng, 0.6, 0.8, None).sheet
    u = np.linspace(0, 1, 5)
    fixed, free = (joint_motion.sheet_displacement(sheet, np.stack([u, 0 * u + v], 1), LIGHT_WIND, rng) for v in (0, 1))
    assert np.abs(fixed).max() == 0
    assert np.abs(free).max() > 0


def test_rest_points_project_to_pixel_centers(rng):
    camera = projection.Camera(np.array([1.0, -2, 0.5]), np.linalg.qr(rng.normal(0, 1, (3, 3)))[0], 1.4)
    height, width, depth = 9, 16, rng.uniform(1, 5, (9, 16))
    y, x = np.mgrid[0:height, 0:width]
    ray = np.stack([(x + 0.5 - width / 2), -(y + 0.5 - height / 2), np.full(x.shape, -1.4 * width)], axis=-1)
    points = camera.location + (ray / (1.4 * width) * depth[..., None]) @ camera.rotation.T
    projected = camera.project(points.reshape(-1, 3), (height, width))
    assert np.allclose(projected, np.stack([x, y], axis=-1).reshape(-1, 2), atol=1e-9)


def test_projected_motion_is_the_derivative_of_the_projection(rng):
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
    assert np.array_equal(projection.pool_by_object(values, objects, 2), [[5, 0], [3, 0]])


def test_bodies_only_refer_to_their_own_joints_and_materials(rng):
    blade = geometry.leaf("heart", 0.3)
    bodies = [
        blossoms.flower(rng, blossoms.BLOSSOMS["poppy"], 0.5, 0.05, *"gph"),
        blossoms.spike(rng, 0.5, *"gp"),
        plants.tuft(rng, 20, 0.3, 0.05, 0.01, "g", ear=0.2),
        plants.arching(rng, 9, 0.4, "egg", 0.3, "g", stalk=0.5),
        plants.fronds(rng, 7, 0.5, 12, "g"),
        hanging_objects.hanging_pot(rng, 0.3, 0.1, "c", "o", plants.strands(rng, 5, 0.5, 0.1, blade, 0.05, "b", "g")),
        hanging_objects.lantern(rng, 0.3, 0.2, *"pwc"),
    ]
    for body in bodies:
        mesh = body.mesh
        assert np.isfinite(mesh.points).all() and mesh.faces.max() < len(mesh.points)
        assert 0 <= mesh.joint.min() and mesh.joint.max() < len(body.joints)
        assert mesh.slot.max() < len(body.materials)
        assert (body.joints.parent < np.arange(len(body.joints))).all()


def test_motion_is_scaled_to_the_target(rng):
    volume = random_volume(rng)
    scaled = quality.scale_motion(volume / 50, 0.8)
    assert quality.rms_motion(scaled).mean() == pytest.approx(0.8, rel=1e-3)
    strong = quality.scale_motion(volume / 50, 80)
    assert quality.max_motion(strong) < quality.MAX_MOTION
    assert quality.motion_defect(strong) != ""  # every pixel moves


def test_unsuitable_motion_is_rejected(rng):
    volume = quality.scale_motion(random_volume(rng, (20, 30)), 1)
    volume[:, 15:] = 0
    assert quality.motion_defect(volume) == ""
    assert quality.motion_defect(volume * 0).startswith("0%")
    assert "px" in quality.motion_defect(volume * 30)
    assert "finite" in quality.motion_defect(volume * np.nan)


def test_unsuitable_photos_are_rejected(rng):
    good = rng.integers(60, 190, (36, 64, 3)).astype(np.uint8)
    assert quality.photo_defect(good) == ""
    assert "luminance" in quality.photo_defect(good // 8)
    overexposed = good.copy()
    overexposed[:10] = 255
    assert "white" in quality.photo_defect(overexposed)


def test_development_adapts_the_exposure(rng):
    light = rng.uniform(0.001, 0.02, (36, 64, 3)).astype(np.float32)
    dark, bright = photo.develop(light, np.random.default_rng(1)), photo.develop(light * 900, np.random.default_rng(1))
    assert abs(int(dark.mean()) - int(bright.mean())) < 3
    assert 60 < dark.mean() < 190


def test_scene_is_converted_to_samples_once(rng, tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    image = rng.integers(0, 255, (36, 64, 3)).astype(np.uint8)
    volume = random_volume(rng, (9, 16))
    np.savez(raw / "grass_000004_0.npz", photo=image, volume=volume)
    corpus = Corpus(out, 5, 4)
    assert corpus.next_seed() == 4
    corpus.add_scene(4, raw, {"seconds": 1.0, "views": {"grass_000004_0": "", "grass_000004_1": "too dark"}})
    (path,) = find_motion_samples(out)
    sample = load_motion_sample(path)
    assert (sample.name, sample.group) == ("grass_000004_0", "grass_000004")
    assert torch.equal(sample.photo, torch.from_numpy(image))
    assert sample.volume.size == (9, 16) and sample.volume.detrend == "ramp"
    y_im = sample.volume.coefficients[0, 5, 3].numpy()
    assert np.array_equal(y_im, volume[:, :, 1, 5].imag)
    assert Corpus(out, 5, 4).next_seed() == 5  # another run continues after it
    assert Corpus(out, 1, 4).next_seed() is None


def test_a_stop_file_ends_the_run(tmp_path):
    corpus = Corpus(tmp_path, 5, 0)
    (tmp_path / "stop").touch()
    assert corpus.next_seed() is None
