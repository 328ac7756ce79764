"""Noise that is correlated between neighboring frequencies and inside objects."""

import pytest
import torch

from gid_core.edge_aware_smoothing import Affinities
from gid_core.evaluation.coherence import frequency_coherence
from gid_core.models.config import GID_BASE, GID_SMALL, DiffusionConfig
from gid_core.models.noise import frequency_noise, spatial_noise_factor
from gid_core.spectral_volume import SpectralVolume

SHAPE = (16, 4, 48, 48)


def noise(coherence, seed=0):
    return frequency_noise(SHAPE, coherence, torch.Generator().manual_seed(seed))


def test_zero_coherence_gives_white_noise():
    assert torch.equal(noise(0.0), torch.randn(SHAPE, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("coherence", [0.3, 0.6, 1.0])
def test_slices_are_standard_normal_and_neighbors_have_the_given_coherence(coherence):
    result = noise(coherence)
    assert result.flatten(1).mean(1).abs().max() < 0.05
    assert (result.flatten(1).std(1) - 1).abs().max() < 0.05
    # Channels of the same slice are independent.
    channels = result.transpose(0, 1).flatten(1)
    assert (torch.corrcoef(channels) - torch.eye(4)).abs().max() < 0.1
    assert frequency_coherence(SpectralVolume(result[None, 1:])) == pytest.approx(coherence, abs=0.05)


def test_phases_between_frequencies_are_random():
    """With equal phases all bins would pass zero at the same time, as in a plucked string."""
    slices = torch.view_as_complex(noise(1.0).unflatten(1, (2, 2)).movedim(2, -1).contiguous())
    phase = (slices[2:] * slices[1:-1].conj()).sum((1, 2, 3)).angle()
    assert phase.min() < -1 and phase.max() > 1


def test_bin_0_is_not_correlated():
    assert frequency_coherence(SpectralVolume(noise(1.0)[None, :3])) < 1.0
    first, second = noise(1.0)[0], noise(1.0)[1]
    assert torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1].abs() < 0.05


def test_generator_determines_the_noise():
    assert torch.equal(noise(0.6, 3), noise(0.6, 3))
    assert not torch.equal(noise(0.6, 3), noise(0.6, 4))


def test_only_the_coordinated_layout_has_coherent_noise():
    assert GID_SMALL.noise_coherence > 0
    assert GID_BASE.noise_coherence == 0  # the paper's
    independent = GID_SMALL.from_dict({**GID_SMALL.to_dict(), "denoiser": {"layout": "independent"}})
    assert independent.noise_coherence == 0
    with pytest.raises(ValueError, match="noise_coherence is 0 to 1; got 1.5"):
        DiffusionConfig(noise_coherence=1.5)


GRID = (12, 20)
MIXTURE = {"scales": (1.0, 4.0), "weights": (0.5, 0.5), "white": 0.05}


def two_objects(column=10, batch=1):
    height, width = GRID
    affinities = Affinities(torch.ones(batch, 1, height, width - 1), torch.ones(batch, 1, height - 1, width))
    affinities.horizontal[..., column - 1] = 0
    return affinities


def covariance(affinities, **mixture):
    factor = spatial_noise_factor(affinities, **{**MIXTURE, **mixture})
    return (factor @ factor.transpose(1, 2)).view(-1, *GRID, *GRID)


def test_every_cell_has_variance_exactly_one():
    result = covariance(two_objects()).reshape(GRID[0] * GRID[1], -1)
    torch.testing.assert_close(result.diagonal(), torch.ones(len(result)), atol=1e-5, rtol=0)


def test_noise_is_alike_inside_an_object_and_independent_across_outlines():
    result = covariance(two_objects())[0, 6, 4]  # of one cell of the left object with all others
    assert result[6, 5] > 0.6 and result[6, 5] > result[6, 8] > 0.1
    assert result[:, 10:].abs().max() < 0.01


def test_drawn_noise_has_the_covariance():
    factor = spatial_noise_factor(two_objects(), **MIXTURE)[0]
    generator = torch.Generator().manual_seed(0)
    drawn = frequency_noise((200, 8, *GRID), 0.0, generator, factor).flatten(0, 1).flatten(1)
    expected = factor @ factor.T
    assert (drawn.T @ drawn / len(drawn) - expected).abs().max() < 0.15
    assert drawn.var() == pytest.approx(1.0, abs=0.02)


def test_spatial_and_frequency_correlation_go_together():
    factor = spatial_noise_factor(two_objects(), **MIXTURE)[0]
    result = frequency_noise((16, 4, *GRID), 0.6, torch.Generator().manual_seed(1), factor)
    assert frequency_coherence(SpectralVolume(result[None, 1:])) > 0.5
    assert result.var() == pytest.approx(1.0, abs=0.1)


def test_without_smoothing_the_noise_is_white():
    factor = spatial_noise_factor(two_objects(batch=2), (), (), 1.0)
    torch.testing.assert_close(factor, torch.eye(GRID[0] * GRID[1]).expand(2, -1, -1))


def test_the_settings_of_the_mixture_are_checked():
    with pytest.raises(ValueError, match="noise_scales and noise_weights need the same length"):
        DiffusionConfig(noise_scales=(1.0,))
    with pytest.raises(ValueError, match="must be > 0"):
        DiffusionConfig(noise_scales=(-1.0,), noise_weights=(1.0,))
