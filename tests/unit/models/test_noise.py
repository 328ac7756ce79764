"""Noise that is alike in neighboring frequencies."""

import pytest
import torch

from gid_core.evaluation.coherence import frequency_coherence
from gid_core.models.config import GID_BASE, GID_SMALL, DiffusionConfig
from gid_core.models.noise import frequency_noise
from gid_core.spectral_volume import SpectralVolume

SHAPE = (16, 4, 48, 48)


def noise(coherence, seed=0):
    return frequency_noise(SHAPE, coherence, torch.Generator().manual_seed(seed))


def test_without_coherence_it_is_plain_noise():
    assert torch.equal(noise(0.0), torch.randn(SHAPE, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("coherence", [0.3, 0.6, 1.0])
def test_every_slice_by_itself_is_standard_and_neighbors_agree_as_asked(coherence):
    drawn = noise(coherence)
    assert drawn.flatten(1).mean(1).abs().max() < 0.05
    assert (drawn.flatten(1).std(1) - 1).abs().max() < 0.05
    # No channel knows of another in the same slice.
    channels = drawn.transpose(0, 1).flatten(1)
    assert (torch.corrcoef(channels) - torch.eye(4)).abs().max() < 0.1
    assert frequency_coherence(SpectralVolume(drawn[None, 1:])) == pytest.approx(coherence, abs=0.05)


def test_the_phase_between_frequencies_is_chance():
    """Else all bins would swing through their middles at once, as in a plucked string."""
    drawn = torch.view_as_complex(noise(1.0).unflatten(1, (2, 2)).movedim(2, -1).contiguous())
    turn = (drawn[2:] * drawn[1:-1].conj()).sum((1, 2, 3)).angle()
    assert turn.min() < -1 and turn.max() > 1


def test_the_bin_without_motion_is_left_alone():
    assert frequency_coherence(SpectralVolume(noise(1.0)[None, :3])) < 1.0
    first, second = noise(1.0)[0], noise(1.0)[1]
    assert torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1].abs() < 0.05


def test_the_same_generator_draws_the_same():
    assert torch.equal(noise(0.6, 3), noise(0.6, 3))
    assert not torch.equal(noise(0.6, 3), noise(0.6, 4))


def test_only_coordinated_slices_share_noise():
    assert GID_SMALL.noise_coherence > 0
    assert GID_BASE.noise_coherence == 0  # the paper's
    alone = GID_SMALL.from_dict({**GID_SMALL.to_dict(), "denoiser": {"layout": "independent"}})
    assert alone.noise_coherence == 0
    with pytest.raises(ValueError, match="noise_coherence is 0 to 1; got 1.5"):
        DiffusionConfig(noise_coherence=1.5)
