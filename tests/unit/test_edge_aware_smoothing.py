"""Smoothing inside objects and not across their outlines."""

import pytest
import torch

from gid_core.edge_aware_smoothing import Affinities, color_affinities, edge_aware_smooth

SIZE = (24, 40)


def uniform_affinities(size=SIZE, value=1.0, batch=1):
    height, width = size
    return Affinities(
        torch.full((batch, 1, height, width - 1), value), torch.full((batch, 1, height - 1, width), value)
    )


def split_affinities(column, across=0.0):
    """Two objects, left and right of a column."""
    affinities = uniform_affinities()
    affinities.horizontal[..., column - 1] = across
    return affinities


def random_affinities(seed=0):
    generator = torch.Generator().manual_seed(seed)
    height, width = SIZE
    return Affinities(
        torch.rand(1, 1, height, width - 1, generator=generator),
        torch.rand(1, 1, height - 1, width, generator=generator),
    )


def test_one_pass_solves_the_tridiagonal_systems_exactly():
    """One round along the rows of a single row: (1 + sigma^2 L) u = f, L the weighted Laplacian of the chain."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(9, generator=generator, dtype=torch.float64)
    maps = torch.randn(1, 2, 1, 10, generator=generator, dtype=torch.float64)
    laplacian = torch.zeros(10, 10, dtype=torch.float64)
    for i, weight in enumerate(weights):
        difference = torch.zeros(10, dtype=torch.float64)
        difference[i], difference[i + 1] = 1, -1
        laplacian += weight * torch.outer(difference, difference)
    sigma = 1.7
    expected = torch.linalg.solve(torch.eye(10, dtype=torch.float64) + 0.5 * sigma**2 * laplacian, maps[0, :, 0].T).T
    affinities = Affinities(weights.view(1, 1, 1, 9), torch.ones(1, 1, 0, 10))
    result = edge_aware_smooth(maps, affinities, sigma, rounds=1)
    # lambda of one round is 1.5 / (4 - 1) sigma^2.
    torch.testing.assert_close(result[0, :, 0], expected)


def test_constant_maps_stay_constant_and_sums_are_kept():
    maps = torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(1))
    smoothed = edge_aware_smooth(maps, random_affinities(), 5.0)
    torch.testing.assert_close(smoothed.sum((2, 3)), maps.sum((2, 3)), atol=1e-3, rtol=1e-4)
    constant = torch.full((1, 1, *SIZE), 3.0)
    torch.testing.assert_close(edge_aware_smooth(constant, random_affinities(), 5.0), constant)


def test_sigma_is_the_standard_deviation_inside_an_object():
    size = (129, 129)
    impulse = torch.zeros(1, 1, *size)
    impulse[..., 64, 64] = 1
    smoothed = edge_aware_smooth(impulse, uniform_affinities(size), 4.0)[0, 0]
    x = torch.arange(129.0) - 64
    for dim in (0, 1):
        assert float((smoothed.sum(dim) * x.square()).sum().sqrt()) == pytest.approx(4.0, rel=0.02)


def test_nothing_passes_an_outline():
    maps = torch.zeros(1, 1, *SIZE)
    maps[..., :20] = 1
    smoothed = edge_aware_smooth(maps, split_affinities(20), 6.0)
    torch.testing.assert_close(smoothed, maps, atol=1e-3, rtol=0)


def test_noise_inside_objects_becomes_one_motion_each():
    maps = torch.randn(1, 8, *SIZE, generator=torch.Generator().manual_seed(2))
    smoothed = edge_aware_smooth(maps, split_affinities(20), 60.0)
    for half in (smoothed[..., :20], smoothed[..., 20:]):
        assert half.std((2, 3)).max() < 0.1 * maps.std()


def test_cells_without_confidence_are_filled_from_their_own_object():
    truth = torch.zeros(1, 2, *SIZE)
    truth[:, 0, :, :20], truth[:, 1, :, 20:] = 1, -2
    confidence = torch.zeros(1, 1, *SIZE)
    confidence[..., 10, 2] = confidence[..., 12, 37] = 1
    noise = 10 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(3))
    maps = torch.where(confidence > 0, truth, noise)
    filled = edge_aware_smooth(maps, split_affinities(20), 60.0, confidence)
    torch.testing.assert_close(filled, truth, atol=0.02, rtol=0)


def test_sigma_zero_changes_nothing():
    maps = torch.randn(1, 2, *SIZE)
    assert torch.equal(edge_aware_smooth(maps, random_affinities(), 0.0), maps)


def test_half_precision_maps_keep_their_type_and_are_not_changed_in_place():
    maps = torch.randn(1, 2, *SIZE)
    before = maps.clone()
    assert edge_aware_smooth(maps.half(), random_affinities(), 3.0).dtype == torch.float16
    edge_aware_smooth(maps, random_affinities(), 3.0)
    assert torch.equal(maps, before)


def test_single_cells_and_lines():
    for size in ((1, 1), (1, 5), (5, 1)):
        maps = torch.ones(1, 1, *size)
        torch.testing.assert_close(edge_aware_smooth(maps, uniform_affinities(size), 3.0), maps)


def test_each_grid_of_a_batch_has_its_own_affinities():
    maps = torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(4))
    a, b = random_affinities(0), random_affinities(1)
    both = Affinities(torch.cat([a.horizontal, b.horizontal]), torch.cat([a.vertical, b.vertical]))
    smoothed = edge_aware_smooth(maps, both, 4.0)
    for index, affinities in enumerate((a, b)):
        torch.testing.assert_close(
            smoothed[index : index + 1], edge_aware_smooth(maps[index : index + 1], affinities, 4.0)
        )


@pytest.mark.parametrize(
    ("maps", "sigma", "rounds", "message"),
    [
        (torch.zeros(1, 1, 3, 3), 1.0, 3, "do not fit affinities"),
        (torch.zeros(1, 1, *SIZE), -1.0, 3, "sigma must be >= 0"),
        (torch.zeros(1, 1, *SIZE), 1.0, 0, "rounds >= 1"),
    ],
)
def test_wrong_inputs(maps, sigma, rounds, message):
    with pytest.raises(ValueError, match=message):
        edge_aware_smooth(maps, uniform_affinities(), sigma, rounds=rounds)


def two_colors(column=20, size=SIZE, texture=0.0):
    photo = torch.full((1, 3, *size), 0.2)
    photo[..., column:] = 0.8
    return (photo + texture * torch.randn(photo.shape, generator=torch.Generator().manual_seed(5))).clamp(0, 1)


def test_colors_separate_objects():
    affinities = color_affinities(two_colors(), SIZE)
    assert affinities.horizontal[..., 19].max() < 1e-3
    assert affinities.horizontal[..., :19].min() > 0.99 and affinities.vertical.min() > 0.99
    outlines = affinities.outlines()
    assert outlines[..., 19:21].min() > 0.9 and outlines[..., :18].max() < 0.05 and outlines[..., 22:].max() < 0.05


def test_texture_does_not_count_away_from_the_given_outlines():
    photo = two_colors(texture=0.1)
    outlines = torch.zeros(1, 1, *SIZE)
    outlines[..., 18:22] = 1
    affinities = color_affinities(photo, SIZE, outlines=outlines)
    assert affinities.horizontal[..., 19].max() < 1e-3
    assert affinities.horizontal[..., :15].min() == 1 and affinities.vertical[..., 25:].min() == 1
    assert color_affinities(photo, SIZE).horizontal[..., :15].mean() < 0.9


def test_coarse_affinities_are_conductances_in_series():
    affinities = uniform_affinities((8, 16), 0.5)
    coarse = affinities.coarsen(4)
    assert coarse.size == (2, 4)
    torch.testing.assert_close(coarse.horizontal, torch.full((1, 1, 2, 3), 0.5))
    torch.testing.assert_close(coarse.vertical, torch.full((1, 1, 1, 4), 0.5))
    # One closed edge on the way from center to center closes the way; edges elsewhere do not.
    affinities.horizontal[..., 5] = 0
    coarse = affinities.coarsen(4)
    assert coarse.horizontal[..., 1].max() < 1e-4 or coarse.horizontal[..., 0].max() < 1e-4
    assert coarse.horizontal[..., 2].min() == pytest.approx(0.5)
    with pytest.raises(ValueError, match="cannot be coarsened by 3"):
        affinities.coarsen(3)
