"""LPIPS against the lpips package, as a distance and as a loss."""

import pytest
import torch

from gid_core.evaluation.networks.lpips import LPIPS
from network_inputs import waves
from random_tensors import random_uniform


@pytest.fixture
def lpips(require_weights):
    def get(net):
        require_weights(f"lpips-{net}")
        return LPIPS(net)

    return get


@pytest.mark.parametrize(("net", "expected"), [("alex", [0.0771673, 0.2238412]), ("vgg", [0.1655213, 0.5140876])])
def test_lpips_has_the_distances_of_the_lpips_package(lpips, net, expected):
    """Values of lpips 0.1.4 with its own heads and these trunks, normalize=True."""
    frames = waves(4, 80, 96).movedim(-1, 1)
    distances = lpips(net).distance(frames[[0, 0]], frames[[1, 3]], batch_size=1)
    torch.testing.assert_close(distances, torch.tensor(expected), rtol=0, atol=2e-5)


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_lpips_is_a_distance(lpips, net):
    network = lpips(net)
    picture = waves(1, 64, 64).movedim(-1, 1)
    noise = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    noisy = torch.cat([(picture + level * noise).clamp(0, 1) for level in (0, 0.02, 0.05, 0.1, 0.2)])
    distances = network.distance(picture.expand_as(noisy), noisy)
    assert float(distances[0]) == 0 and bool((distances.diff() > 0).all())
    torch.testing.assert_close(network.distance(noisy, picture.expand_as(noisy)), distances)


def test_lpips_is_a_loss(lpips):
    """Gradients are finite, also for equal and for black pictures, and the network learns nothing."""
    network = lpips("alex")
    a = torch.cat([torch.zeros(1, 3, 48, 48), waves(1, 48, 48).movedim(-1, 1)]).requires_grad_()
    b = torch.cat([a.detach()[:1], random_uniform(1, 3, 48, 48)])
    network(a, b).sum().backward()
    assert bool(torch.isfinite(a.grad).all()) and float(a.grad[1].abs().sum()) > 0
    assert not any(p.requires_grad for p in network.parameters())


def test_lpips_refuses_invalid_images(lpips):
    network = lpips("alex")
    with pytest.raises(ValueError, match="same shape"):
        network.distance(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 32))
    with pytest.raises(ValueError, match="same shape"):
        network.distance(torch.zeros(1, 64, 64, 3), torch.zeros(1, 64, 64, 3))
    with pytest.raises(ValueError, match="at least 31 pixels"):
        network.distance(torch.zeros(1, 3, 30, 64), torch.zeros(1, 3, 30, 64))
    assert network.distance(torch.zeros(1, 3, 31, 31), torch.ones(1, 3, 31, 31)).shape == (1,)
    with pytest.raises(ValueError, match="got 'squeeze'"):
        LPIPS("squeeze")
