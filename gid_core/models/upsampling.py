"""A coarse volume to the photo's own edges."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..spectral_volume import SpectralVolume
from ..tensors import resize_maps

# Windows of 3 x 3 of the volume's pixels; color (0..1) that varies less than the root of EPS in one is no edge.
EPS = 1e-3


def upsample_to_photo(volume: SpectralVolume, photo: Tensor, size: tuple[int, int]) -> SpectralVolume:
    """The volume on an (H, W) grid, its edges drawn along the photo's.

    The fast guided filter (He and Sun 2015): in every window of the coarse grid motion is a linear function of the
    photo's color; its four coefficients are interpolated, and applied to the fine photo. It is linear in the volume:
    constant motion stays as it is, and what begins at rest does so still.

    Args:
        volume: of B photos.
        photo: [B, 3, H', W'] in 0..1.
        size: (H, W) of the result; if the volume is not smaller than that, it is just resized.
    """
    if size[0] <= volume.size[0] or size[1] <= volume.size[1]:
        return volume.resize(size)
    coarse, small = volume.coefficients.flatten(1, 2), resize_maps(photo, volume.size)
    center, average = _mean(small), _mean(coarse)
    covariance = [_mean(small[:, i : i + 1] * small) - center[:, i : i + 1] * center for i in range(3)]
    covariance = torch.stack(covariance, 1).permute(0, 3, 4, 1, 2) + EPS * torch.eye(3).to(small)  # [B, h, w, 3, 3]
    joint = [_mean(small[:, i : i + 1] * coarse) - center[:, i : i + 1] * average for i in range(3)]
    # The inverse is the same for all maps. Its 3 x 3 are solved on the CPU, where every kind of device can have it.
    inverse = torch.linalg.inv(covariance.cpu()).to(small)
    slope = torch.einsum("bhwij,jbchw->ibchw", inverse, torch.stack(joint))
    offset = average - sum(slope[i] * center[:, i : i + 1] for i in range(3))
    fine = resize_maps(photo, size)
    drawn = resize_maps(_mean(offset), size)
    for i in range(3):
        drawn.addcmul_(resize_maps(_mean(slope[i]), size), fine[:, i : i + 1])
    drawn = drawn.view(len(volume), -1, 4, *size)
    ratio = drawn.new_tensor([size[1] / volume.size[1]] * 2 + [size[0] / volume.size[0]] * 2)
    return volume.replace(coefficients=drawn.mul_(ratio.view(1, 1, 4, 1, 1)))


def _mean(maps: Tensor) -> Tensor:
    """Means over the windows of [B, C, h, w]; beyond the border stands what is at it."""
    return F.avg_pool2d(F.pad(maps, (1, 1, 1, 1), mode="replicate"), 3, 1)
