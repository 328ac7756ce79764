"""Noise that is correlated between neighboring frequencies."""

import pytest
import torch

from gid_core.evaluation.coherence import frequency_coherence
from gid_core.models.config import GID_BASE, GID_SMALL, DiffusionConfig
from gid_core.models.noise import frequency_noise
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
