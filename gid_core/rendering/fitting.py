"""Photos in a size that is quick to animate and that every video encoder takes."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..tensors import fit_size, image_batch, resize_maps
from ..validation import check_integer
from .warping import premultiply, unpremultiply

# A video of H.264 or VP9 stores color at half the size, so its sides are even.
EVEN = 2
MAX_LONGEST_SIDE = 2**31  # pixels


def fit_image(image: Tensor | np.ndarray, longest_side: int = 1280) -> Tensor:
    """Shrink images to a longest side with the same proportions, and to even sides; smaller ones are not enlarged.

    An image that is small enough loses its last row or column where a side is odd; its other pixels stay as they are.

    Args:
        image: [H, W, C] or [B, H, W, C] in 0..1, C = 3, or 4 with straight alpha.
        longest_side: pixels of the longer side, at most; 2 to 2**31.

    Returns:
        float32 [B, H', W', C]; H' and W' are even.

    Raises:
        ValueError: for another image, or another number.
    """
    photos = image_batch(image)
    longest_side = check_integer("longest_side", longest_side, EVEN, MAX_LONGEST_SIDE, meaning="pixels")
    before = tuple(photos.shape[-2:])
    fitted = fit_size(before, longest_side)
    height, width = (max(EVEN, side // EVEN * EVEN) for side in fitted)
    if fitted == before and EVEN <= min(before):
        photos = photos[..., :height, :width]
    else:
        photos = unpremultiply(resize_maps(premultiply(photos), (height, width)))
    return photos.permute(0, 2, 3, 1)
