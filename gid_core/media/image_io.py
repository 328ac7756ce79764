"""Read and write image files (OpenCV)."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..tensors import image_batch
from ..validation import check_path
from .atomic import atomic_write

# Of files in a folder of photos; in lower case.
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
# Clockwise quarter turns, and whether to mirror first, of each orientation of the EXIF standard.
EXIF_TURNS = {1: (0, False), 3: (2, False), 6: (1, False), 8: (3, False)}
EXIF_TURNS |= {2: (0, True), 4: (2, True), 5: (3, True), 7: (1, True)}
ORIENTATION_TAG = 0x0112
# Largest side and area that are decoded: OpenCV refuses larger areas, and a PNG with larger sides ends the process.
MAX_SIDE, MAX_PIXELS = 65_535, 2**30
# Formats whose orientation OpenCV leaves to the caller when asked to.
EXIF_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "AVIF")
# How a TIFF file begins. Of 8 bits with alpha, OpenCV gives colors that are multiplied by it.
TIFF_MARKS = (b"II*\0", b"MM\0*")


def read_image(path: str | os.PathLike) -> Tensor:
    """Read an image file, turned as its EXIF data say: float32 [H, W, 3], or [H, W, 4] with alpha, in 0..1.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it is not an image, is damaged, has more than about 179 million pixels or a side above 65,535, or
            holds other numbers than uint8, uint16 or floating point in 0..1.
    """
    from ..packages import cv2

    path = check_path("path", path)
    if not path.is_file():
        raise FileNotFoundError(f"No image at {path}.")
    # Python reads the file, since OpenCV cannot open every path on Windows.
    content = path.read_bytes()
    turns, mirrored = EXIF_TURNS[_orientation(content, path.name)]
    encoded = np.frombuffer(content, np.uint8)
    color = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        data = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED) if encoded.size else None
        if data is not None and data.ndim == 2:
            data = np.stack([data] * 3, -1)
        elif data is not None and data.shape[-1] != 4:
            data = cv2.imdecode(encoded, color)
    except cv2.error as error:  # a header beyond OpenCV's limits
        raise ValueError(f"{path.name} cannot be read as an image: {error.err}.") from None
    if data is None:
        raise ValueError(f"{path.name} cannot be read as an image.")
    premultiplied = content[:4] in TIFF_MARKS and data.dtype == np.uint8 and data.shape[-1] == 4
    data = _unit_floats(data, path.name)
    if premultiplied:
        data[..., :3] = np.minimum(data[..., :3] / data[..., 3:].clip(1 / 255), 1)
    data = data[..., [2, 1, 0, 3][: data.shape[-1]]]
    data = np.rot90(data[:, ::-1] if mirrored else data, -turns)
    return torch.from_numpy(np.ascontiguousarray(data))


def _unit_floats(data: np.ndarray, name: str) -> np.ndarray:
    """The numbers of an image file as float32 in 0..1.

    Raises:
        ValueError: if they have another type or range than an image that a screen shows.
    """
    if data.dtype in (np.uint8, np.uint16):
        return data.astype(np.float32) / np.iinfo(data.dtype).max
    if np.issubdtype(data.dtype, np.floating) and data.min() >= 0 and data.max() <= 1:  # false for NaN
        return data.astype(np.float32)
    raise ValueError(
        f"{name} holds {data.dtype} from {data.min():g} to {data.max():g}; an image has uint8, uint16, or floating "
        "point in 0..1. Convert it to 8 or 16 bits."
    )


def _orientation(content: bytes, name: str) -> int:
    """The orientation in the EXIF data of an image file, 1 (upright) to 8; 1 without them.

    Raises:
        ValueError: if the header states more pixels than Pillow accepts (about 179 million), or a longer side.
    """
    from PIL import Image

    size = (0, 0)
    try:
        with Image.open(BytesIO(content)) as image:
            size = image.size
            # Pillow would decode a whole PNG to look for EXIF data behind its pixels.
            has_exif = image.format in EXIF_FORMATS and (image.format != "PNG" or "exif" in image.info)
            orientation = image.getexif().get(ORIENTATION_TAG, 1) if has_exif else 1
    except Image.DecompressionBombError as error:
        raise ValueError(f"{name} is too large to be read as an image: {error}") from None
    except Exception:  # damaged, or a format that only OpenCV reads; damaged EXIF data raise anything
        orientation = 1
    if max(size) > MAX_SIDE or size[0] * size[1] > MAX_PIXELS:
        raise ValueError(f"{name} is too large to be read as an image: its header states {size[0]} x {size[1]} pixels.")
    return orientation if orientation in EXIF_TURNS else 1


def write_image(path: str | os.PathLike, image: Tensor) -> Path:
    """Write an image [H, W, 3 or 4] in 0..1, uint8 or uint16, with 8 bits; the suffix decides the format.

    Values outside 0..1 are clipped.

    Returns:
        The path.

    Raises:
        FileNotFoundError: if the folder does not exist.
        ValueError: for another shape or range (see `tensors.image_batch`), or if no image format has this suffix.
    """
    from ..packages import cv2

    path = check_path("path", path)
    pixels = image_batch(image)
    if len(pixels) != 1:
        raise ValueError(f"image must be one image [H, W, 3 or 4]; got {len(pixels)} images.")
    pixels = pixels[0].permute(1, 2, 0)
    data = (pixels.clamp(0, 1) * 255).round().byte().cpu().numpy()[..., [2, 1, 0, 3][: pixels.shape[-1]]]
    try:
        _, encoded = cv2.imencode(path.suffix, np.ascontiguousarray(data))
    except cv2.error:
        raise ValueError(f"Cannot write {path.name} as an image; use .png, .jpg or .webp.") from None
    with atomic_write(path) as temporary:
        temporary.write_bytes(encoded.tobytes())
    return path
