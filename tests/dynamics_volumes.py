"""Small spectral volumes for the tests of forces."""

import torch
import torch.nn.functional as F

from gid_core.spectral_volume import SpectralVolume


def smooth_volume(seed=0, batch=1, bins=16, size=(24, 40), **settings) -> SpectralVolume:
    """Random motion that varies slowly over the image; slow bins are larger."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(batch * bins, 4, 4, 6, generator=generator)
    fine = F.interpolate(coarse, size, mode="bicubic", align_corners=False).unflatten(0, (batch, bins))
    scale = 60 / torch.arange(1, bins + 1)
    return SpectralVolume(fine * scale.view(1, -1, 1, 1, 1), **settings)


def natural_volume(size=(20, 32), bins=16, seed=0, scale=120.0, **settings) -> SpectralVolume:
    """Smooth random motion with the falling spectrum of natural sway; the left part is static."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(bins, 4, 4, 5, generator=generator)
    smooth = F.interpolate(coarse, size, mode="bicubic", align_corners=True)
    smooth *= (scale / torch.arange(1, bins + 1)).view(-1, 1, 1, 1) * torch.linspace(-0.3, 1, size[1]).clamp(min=0)
    return SpectralVolume(smooth[None], **settings)


def plants(size=(20, 32), **settings) -> SpectralVolume:
    """Objects that sway together, mostly horizontally, each mode with its own phase."""
    phasor = torch.polar(torch.ones(8), torch.linspace(0, 5, 8))
    slices = torch.stack([phasor.real, phasor.imag, 0.2 * phasor.real, 0.2 * phasor.imag], 1)
    shape = torch.linspace(0, 1, size[0]).view(-1, 1).expand(size)
    return SpectralVolume(60 * slices[None, ..., None, None] * shape, **settings)
