"""Spectral volumes with known motion, for the tests of the motion metrics."""

import torch

from gid_core.spectral_volume import SpectralVolume

SIZE = (24, 256)  # 256 wide, so that pixels are the unit of the measures


def noise_volume(seed=0, size=SIZE, scale=100.0, bins=16, **settings):
    generator = torch.Generator().manual_seed(seed)
    return SpectralVolume(torch.randn(1, bins, 4, *size, generator=generator) * scale, **settings)


def translation(size=SIZE, pixels=1.0, k=2):
    """The whole picture goes round a circle of this radius, k times a period."""
    coefficients = torch.zeros(1, 16, 4, *size)
    coefficients[:, k, 0] = coefficients[:, k, 3] = pixels * 75
    return SpectralVolume(coefficients)


def smooth_volume(size=SIZE):
    """Motion that fades in from left to right, with a phase that runs along it."""
    volume = noise_volume(size=(1, 1))
    x = torch.linspace(0, 1, size[1]).expand(size)
    turn = torch.polar(x, 2 * x)
    c = volume.coefficients.view(1, 16, 2, 2, 1, 1)
    c = torch.stack([c[:, :, :, 0] * turn.real - c[:, :, :, 1] * turn.imag,
                     c[:, :, :, 0] * turn.imag + c[:, :, :, 1] * turn.real], 3)  # fmt: skip
    return volume.replace(coefficients=c.reshape(1, 16, 4, *size))


def mirrored(volume):
    """The volume of the mirror image: positions and x displacements change sides."""
    signs = torch.tensor([-1.0, -1, 1, 1]).view(4, 1, 1)
    return volume.replace(coefficients=volume.coefficients.flip(-1) * signs)
