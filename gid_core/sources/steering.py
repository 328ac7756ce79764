"""Motion along the arrows of the motion brush: every painted object sways in the direction of its arrows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..motion import playback_coordinates
from ..spectral_volume import SpectralVolume, modal_sum
from ..validation import check_instance
from .motion_brush import rasterize_strokes
from .stroke_list import Stroke

# Value of a mask above which a pixel is painted.
PAINTED = 0.25
# What remains of the motion across an arrow: without any, objects would slide like cut-outs on a rail.
ACROSS = 0.25
# Distance from the start of an arrow, in fractions of the longer side, within which it alone counts.
ARROW_CORE = 0.02


def steer(volume: SpectralVolume, strokes: Sequence[Stroke]) -> SpectralVolume:
    """The motion of a volume in the directions that arrows prefer, and smaller where strokes are stiff.

    An object is what "move" strokes paint in one piece, or without any the whole image; an arrow belongs to the object
    nearest to its start. The principal axis of the object's motion is turned onto the arrow, the motion across it is
    reduced to a quarter, and the energy of the object's motion is kept. Between several arrows of one object the
    direction blends, by the inverse square of the distance to their starts. Stiffness s divides the motion by sqrt(s).

    Args:
        volume: of any photos; all are steered alike.
        strokes: of the motion brush. What they paint to move and to stay is the mask of the prediction
            (`stroke_mask`) and changes nothing here.

    Raises:
        ValueError: if the volume or the strokes are none.
    """
    volume = check_instance("volume", volume, SpectralVolume, "a spectral volume")
    maps = rasterize_strokes(strokes, volume.size)
    weight = maps.stiffness.rsqrt().to(volume.coefficients)
    coefficients = volume.coefficients * weight
    painted = (maps.move > PAINTED).numpy()
    objects = label_objects(painted, maps.arrows)
    for each in coefficients:
        for pixels, arrows in objects:
            each[..., pixels] = _turned(each[..., pixels], _directions(arrows, painted.shape)[:, pixels])
    return volume.replace(coefficients=coefficients)


def sway_along(volume: SpectralVolume, painted: Tensor, arrows: Sequence[Stroke]) -> SpectralVolume:
    """The motion of painted objects along their arrows and as far as these are long.

    As `steer`, but the pixel of an object that moves most goes from its place in the photo as far as the arrow is long,
    and farthest toward its head.

    Args:
        volume: of one photo per mask, at rest at t = 0.
        painted: bool [B, H, W] of the volume's size, what moves.
        arrows: strokes of this kind.
    """
    coefficients = volume.coefficients.clone()
    coordinates = playback_coordinates(volume, torch.arange(volume.period))
    for each, mask in zip(coefficients, painted.numpy(), strict=True):
        moving = each.abs().amax((0, 1)) > 0
        for pixels, own in label_objects(mask, arrows):
            pixels &= moving
            if not pixels.any():
                continue
            field = _directions(own, mask.shape)[:, pixels]
            turned = _turned(each[..., pixels], field)
            farthest = int(turned[1:].square().sum((0, 1)).argmax())
            path = modal_sum(turned[None, ..., farthest, None, None], coordinates)[0, ..., 0, 0]  # [T, 2]
            extreme = path[int(path.norm(dim=1).argmax())]
            reach = float(_lengths(own, mask.shape)[pixels][farthest])
            peak = float(extreme.norm())
            sign = math.copysign(1.0, float(extreme @ field[:, farthest]))
            each[..., pixels] = turned * (sign * reach / peak if peak > 0 else 0.0)
    return volume.replace(coefficients=coefficients)


def label_objects(painted: np.ndarray, arrows: Sequence[Stroke]) -> list[tuple[Tensor, list[Stroke]]]:
    """The painted objects that have arrows: their pixels, bool [H, W], with what is nearest to them, and their arrows.

    Args:
        painted: bool [H, W]; without a painted pixel, the whole image is one object.
        arrows: strokes of this kind.
    """
    if not arrows:
        return []
    from scipy.ndimage import distance_transform_edt

    from ..packages import cv2

    _, labels = cv2.connectedComponents((painted if painted.any() else ~painted).astype(np.uint8), connectivity=8)
    nearest = distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
    labels = labels[tuple(nearest)]
    limits = np.array(painted.shape[::-1])
    starts = [np.floor(np.array(arrow.points[0][:2]) * limits).clip(0, limits - 1).astype(int) for arrow in arrows]
    owners = [int(labels[row, column]) for column, row in starts]
    return [
        (
            torch.from_numpy(labels == label),
            [arrow for arrow, owner in zip(arrows, owners, strict=True) if owner == label],
        )
        for label in sorted(set(owners))
    ]


def arrow_vectors(arrows: Sequence[Stroke], size: Sequence[int]) -> Tensor:
    """Arrows as vectors (x, y) from their start to their head in pixels of a size (H, W): float64 [A, 2]."""
    ends = torch.tensor([[point[:2] for point in arrow.points] for arrow in arrows], dtype=torch.float64)
    return (ends[:, 1] - ends[:, 0]) * torch.tensor(list(size)[::-1])


def _shares(arrows: Sequence[Stroke], size: Sequence[int]) -> Tensor:
    """How much each arrow counts at every pixel: float32 [A, H, W], 1 in total."""
    longer = max(size)
    y, x = ((torch.arange(side) + 0.5) / longer for side in size)
    starts = [(arrow.points[0][0] * size[1] / longer, arrow.points[0][1] * size[0] / longer) for arrow in arrows]
    weights = torch.stack([1 / ((x - u) ** 2 + (y[:, None] - v) ** 2 + ARROW_CORE**2) for u, v in starts])
    return weights / weights.sum(0)


def _directions(arrows: Sequence[Stroke], size: Sequence[int]) -> Tensor:
    """The blended unit vectors of arrows: float32 [2, H, W], shorter than 1 where arrows contradict each other."""
    vectors = arrow_vectors(arrows, size)
    units = (
        vectors / torch.hypot(*vectors.T)[:, None]
    ).float()  # also of arrows whose squares are too small for a float
    return torch.einsum("ad,ayx->dyx", units, _shares(arrows, size))


def _lengths(arrows: Sequence[Stroke], size: Sequence[int]) -> Tensor:
    """The blended lengths of arrows in pixels: float32 [H, W]."""
    return torch.einsum("a,ayx->yx", arrow_vectors(arrows, size).norm(dim=1).float(), _shares(arrows, size))


def _turned(coefficients: Tensor, directions: Tensor) -> Tensor:
    """Motion [K, 4, N] of an object with its principal axis turned to directions [2, N]; its energy stays."""
    moving = coefficients[1:].double()
    xx, yy = moving[:, :2].square().sum(), moving[:, 2:].square().sum()
    angle = 0.5 * math.atan2(2 * float((moving[:, :2] * moving[:, 2:]).sum()), float(xx - yy))
    cos, sin = math.cos(angle), math.sin(angle)
    along = cos * coefficients[:, :2] + sin * coefficients[:, 2:]
    across = ACROSS * (cos * coefficients[:, 2:] - sin * coefficients[:, :2])
    x, y = directions.to(coefficients)
    turned = torch.cat([x * along - y * across, y * along + x * across], 1)
    energy = float(turned[1:].double().square().sum())
    return turned * (math.sqrt(float(xx + yy) / energy) if energy > 0 else 0.0)
