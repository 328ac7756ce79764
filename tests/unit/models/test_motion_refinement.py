"""Motion that follows the photo's objects: one motion per object, expected energy, and exact stillness."""

import pytest
import torch

from gid_core.edge_aware_smoothing import Affinities
from gid_core.evaluation.object_coherence import lattice_share, object_curves
from gid_core.models.motion_model import MotionModel
from gid_core.models.motion_refinement import (
    ENERGY_MATCHING,
    ExpectedMotion,
    expected_displacement,
    match_expected_energy,
    match_expected_spectrum,
    mean_spectrum,
    reach_beyond_outlines,
    refine_motion,
    rms_motion,
    smooth_along_objects,
    stillness_gate,
    suppress_faint_motion,
)
from gid_core.spectral_volume import SpectralVolume
from gid_core.tensors import resize_maps
from random_tensors import random_normal
from tiny_models import BINS, TINY

SIZE = (36, 64)
COLUMN = 32  # where the right object begins


def two_objects(across=0.0):
    affinities = Affinities(torch.ones(1, 1, SIZE[0], SIZE[1] - 1), torch.ones(1, 1, SIZE[0] - 1, SIZE[1]))
    affinities.horizontal[..., COLUMN - 1] = across
    return affinities


def two_motions(seed=0):
    """Each object moves as one; the left one twice as far."""
    left, right = random_normal(2, 1, 16, 4, 1, 1, seed=seed)
    motion = torch.cat([(2 * left).expand(-1, -1, -1, SIZE[0], COLUMN), right.expand(-1, -1, -1, SIZE[0], COLUMN)], -1)
    return motion.clone()


def test_objects_that_move_as_one_are_unchanged():
    motion = two_motions()
    torch.testing.assert_close(smooth_along_objects(motion, two_objects()), motion, atol=0.02, rtol=0.01)


def test_jelly_becomes_rigid_and_the_lattice_disappears():
    lattice = 1 + 0.15 * torch.cos(torch.arange(SIZE[1]) * torch.pi / 2)
    for noise, coherence in ((0.1, 1.0), (2.0, 0.95)):
        jelly = (two_motions() + noise * random_normal(1, 16, 4, *SIZE, seed=3)) * lattice
        before, after = SpectralVolume(jelly), SpectralVolume(smooth_along_objects(jelly, two_objects()))
        if noise == 0.1:
            assert lattice_share(before, 4) > 0.5
        assert lattice_share(after, 4) < 0.1
        before, after = (object_curves(volume, distances=(1, 2)) for volume in (before, after))
        assert (before.coherence < coherence).all() and (after.coherence > 0.97).all()
        assert (after.unevenness < 0.2 * before.unevenness).all()


def test_an_object_moves_evenly_up_to_a_weak_outline_beside_still_background():
    """A hot spot inside an object is evened out, and the background that leaks in does not hold it back."""
    motion = two_motions()[:1]
    motion[..., 8:14] *= 3
    motion[..., COLUMN:] = 0
    rms = rms_motion(smooth_along_objects(motion, two_objects(0.03)))[0, 0, :, :COLUMN]
    assert rms.min() > 0.8 * rms.max()
    assert rms.mean() > rms_motion(motion)[0, 0, :, :COLUMN].mean()
    assert (smooth_along_objects(0 * motion, two_objects()) == 0).all()


def test_smoothing_keeps_how_far_things_move():
    """Opposite phases cancel in a mean; the size of the motion must not."""
    phase = torch.linspace(0, 2 * torch.pi, SIZE[1]).expand(*SIZE)
    wave = torch.zeros(1, 4, 4, *SIZE)
    wave[:, 1, 0], wave[:, 1, 1] = phase.cos(), phase.sin()
    smoothed = smooth_along_objects(wave, two_objects(1.0), sigma=3.0)
    torch.testing.assert_close(rms_motion(smoothed), torch.ones(1, 1, *SIZE), atol=0.01, rtol=0)


def test_faint_motion_becomes_exactly_zero_and_other_motion_is_unchanged():
    motion = two_motions()
    motion[..., COLUMN:] *= 0.001
    result = suppress_faint_motion(SpectralVolume(motion)).coefficients
    assert (result[..., COLUMN:] == 0).all()
    torch.testing.assert_close(result[..., :COLUMN], motion[..., :COLUMN])
    static = suppress_faint_motion(SpectralVolume(0 * motion)).coefficients
    assert (static == 0).all()


def test_suppressed_motion_keeps_its_order():
    """Motion that is too small to see still tells what moves more: the ramp has no wide flat part."""
    motion = two_motions()
    shares = torch.logspace(-2, -0.7, 32)
    motion[..., COLUMN:] *= shares[: motion.shape[-1] - COLUMN]
    rms = rms_motion(suppress_faint_motion(SpectralVolume(motion)).coefficients)[0, 0, 0, COLUMN:]
    assert (rms.diff() > 0).all()


def test_energy_follows_the_expectation_inside_outlines():
    """The expectation lies on the coarse grid of the latents; it must not leak into the object beside."""
    motion = two_motions()
    motion[..., :COLUMN] *= 0.5  # both move equally far
    expected = torch.full((1, 1, 9, 16), 0.0025)
    expected[..., :8] = 1.0
    matched = match_expected_energy(motion, expected, two_objects())
    gain = (rms_motion(matched) / rms_motion(motion))[0, 0]
    assert gain[:, :COLUMN].min() > 4 * gain[:, COLUMN:].max()
    assert gain[:, :COLUMN].std() < 0.05 * gain[:, :COLUMN].mean()


def test_matching_brings_energy_closer_to_the_expected_energy():
    outline = Affinities(torch.ones(1, 1, 16, 31), torch.ones(1, 1, 15, 32))
    outline.horizontal[..., 15] = 0  # between both halves
    expected = torch.ones(1, 1, 4, 8)
    expected[..., 4:] = 4
    sample = random_normal(1, BINS, 4, 16, 32)
    matched = match_expected_energy(sample, expected, outline)

    def energy_ratio(volume):
        energy = volume[:, 1:].square().sum((0, 1, 2))
        return float(energy[:, :12].sum() / energy[:, 20:].sum())

    assert energy_ratio(sample) == pytest.approx(1, abs=0.1)
    assert energy_ratio(matched) == pytest.approx(16**-ENERGY_MATCHING, rel=0.2)
    # Phases, directions and the distribution over frequencies do not change.
    similarity = torch.nn.functional.cosine_similarity(matched.flatten(1, 2), sample.flatten(1, 2), 1)
    assert similarity.min() > 0.999999
    assert torch.equal(match_expected_energy(0 * sample, expected, outline), 0 * sample)
    torch.testing.assert_close(match_expected_energy(5 * sample, expected, outline), 5 * matched)
    # Only ratios of what is expected count.
    torch.testing.assert_close(match_expected_energy(sample, 0.1 * expected, outline), matched)


def test_what_the_encoder_expects_to_stand_still_is_gated_along_outlines():
    model = MotionModel(TINY)
    outline = Affinities(torch.ones(1, 1, 16, 31), torch.ones(1, 1, 15, 32))
    outline.horizontal[..., 15] = 0
    prior = torch.full((1, BINS, 2, 4, 8), 3.0)
    prior[..., 4:] = 0.008
    expected = expected_displacement(model, prior)
    gate = stillness_gate(expected, resize_maps(expected, outline.size), outline)[0, 0]
    assert (gate[:, :16] == 1).all() and gate[:, 24:].max() < 0.02 and gate[:, 16:].max() < 0.3
    still = expected_displacement(model, torch.full_like(prior, 0.005))
    assert (stillness_gate(still, resize_maps(still, outline.size), outline) == 0).all()


def test_cells_that_are_expected_to_move_much_less_than_their_surroundings_are_gated():
    # No outline is known, and on the coarse grid everything seems to move.
    joined = Affinities(torch.ones(1, 1, 16, 31), torch.ones(1, 1, 15, 32))
    expected = torch.ones(1, 1, 4, 8)
    detailed = torch.ones(1, 1, 16, 32)
    detailed[..., 6:10, 12:18] = 0.02  # a pole in front of leaves
    detailed[..., 2:4, 4:8] = 0.6  # leaves that move a little less
    gate = stillness_gate(expected, detailed, joined)[0, 0]
    assert gate[6:10, 12:18].max() == 0
    gate[6:10, 12:18] = 1
    assert (gate == 1).all()
    # The size of the motion does not matter for this comparison.
    torch.testing.assert_close(
        stillness_gate(expected, 0.2 * detailed, joined), stillness_gate(expected, detailed, joined)
    )
    # Nothing divides by zero where nothing is expected at all.
    assert (stillness_gate(0 * expected, 0 * detailed, joined) == 0).all()


def test_without_an_expectation_motion_is_only_smoothed():
    motion, affinities = two_motions(), two_objects(0.03)
    assert torch.equal(refine_motion(motion, None, affinities), smooth_along_objects(motion, affinities))


def test_refined_motion_has_the_expected_spectrum_places_and_stillness():
    affinities = two_objects(0.03)
    motion = two_motions()[:1]
    displacement = torch.ones(1, 1, 9, 16)
    detailed = torch.ones(1, 1, *SIZE)
    detailed[..., COLUMN + 2 :] = 0.001  # the right object stands still
    spectrum = torch.ones(1, motion.shape[1])
    expected = ExpectedMotion(displacement, spectrum, stillness_gate(displacement, detailed, affinities))
    refined = refine_motion(motion, expected, affinities)
    assert refined[..., COLUMN + 8 :].abs().max() < 0.01 * refined[..., :COLUMN].abs().mean()

    def inequality(coefficients):
        energy = mean_spectrum(coefficients[..., :COLUMN])[0, 1:]
        return float(energy.max() / energy.min())

    motion[:, 1] *= 10
    assert inequality(refine_motion(motion, expected, affinities)) < 0.1 * inequality(motion)


def test_expectations_are_repeated_photo_by_photo():
    maps = torch.arange(2.0).view(2, 1, 1, 1)
    repeated = ExpectedMotion(maps, maps.flatten(1), maps).repeat_interleave(3)
    for each in (repeated.displacement, repeated.spectrum, repeated.gate):
        assert each.flatten().tolist() == [0, 0, 0, 1, 1, 1]


def test_matching_brings_the_spectrum_closer_to_the_expected_one():
    sample = random_normal(2, BINS, 4, 16, 32)
    expected = torch.ones(2, BINS)
    expected[:, 4:] = 9
    matched = match_expected_spectrum(sample, expected)
    before, after = mean_spectrum(sample), mean_spectrum(matched)
    ratio = after[:, 4:].mean(1) / after[:, 1:4].mean(1) / (before[:, 4:].mean(1) / before[:, 1:4].mean(1))
    torch.testing.assert_close(ratio, torch.full((2,), 9.0**ENERGY_MATCHING), rtol=0.1, atol=0)
    # Where things move does not change, and only ratios of what is expected count.
    torch.testing.assert_close(
        matched / matched.abs().amax((2, 3, 4), keepdim=True), sample / sample.abs().amax((2, 3, 4), keepdim=True)
    )
    torch.testing.assert_close(match_expected_spectrum(sample, 0.1 * expected), matched)
    assert torch.equal(match_expected_spectrum(0 * sample, expected), 0 * sample)


def test_the_rim_of_what_moves_travels_with_it():
    coefficients = torch.zeros(1, 4, 4, 40, 60)
    coefficients[:, 1, :, 10:30, 20:40] = torch.tensor([200.0, 50.0, -30.0, 10.0]).view(4, 1, 1)
    reached = reach_beyond_outlines(SpectralVolume(coefficients)).coefficients
    assert (reached[:, 1, :, 8:32, 18:42] == coefficients[:, 1, :, 20:21, 30:31]).all()
    outside = torch.ones(40, 60, dtype=torch.bool)
    outside[8:32, 18:42] = False
    assert not reached[..., outside].any()


def test_a_faint_step_is_no_outline():
    coefficients = torch.zeros(1, 4, 4, 40, 60)
    coefficients[:, 1, 0] = 100.0
    coefficients[:, 1, 0, :, 30:] = 101.0
    assert torch.equal(reach_beyond_outlines(SpectralVolume(coefficients)).coefficients, coefficients)
