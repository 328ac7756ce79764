"""Read and write image files (OpenCV)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .atomic import atomic_write


def read_image(path: str | os.PathLike) -> Tensor:
    """Read an image file: float32 [H, W, 3], or [H, W, 4] if it has alpha, in 0..1.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it is not an image.
    """
    from ..packages import cv2

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No image at {path}.")
    # Python reads the file, since OpenCV cannot open every path on Windows.
    encoded = np.frombuffer(path.read_bytes(), np.uint8)
    data = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED) if encoded.size else None
    if data is not None and not (data.ndim == 3 and data.shape[-1] == 4):
        # Decode again as color: unlike IMREAD_UNCHANGED, this applies the orientation of the EXIF data.
        data = cv2.imdecode(encoded, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if data is None:
        raise ValueError(f"{path.name} cannot be read as an image.")
    scale = float(np.iinfo(data.dtype.str).max) if np.issubdtype(data.dtype, np.integer) else 1.0
    data = data[..., [2, 1, 0, 3][: data.shape[-1]]]
    return torch.from_numpy(data.astype(np.float32) / scale)


def write_image(path: str | os.PathLike, image: Tensor) -> Path:
    """Write an image [H, W, 3 or 4] in 0..1; the suffix decides the format. Values outside 0..1 are clipped.

    Returns:
        The path.

    Raises:
        FileNotFoundError: if the folder does not exist.
        ValueError: if no image format has this suffix.
    """
    from ..packages import cv2

    path = Path(path)
    data = (image.clamp(0, 1) * 255).round().byte().cpu().numpy()[..., [2, 1, 0, 3][: image.shape[-1]]]
    try:
        _, encoded = cv2.imencode(path.suffix, np.ascontiguousarray(data))
    except cv2.error:
        raise ValueError(f"Cannot write {path.name} as an image; use .png, .jpg or .webp.") from None
    with atomic_write(path) as temporary:
        temporary.write_bytes(encoded.tobytes())
    return path
