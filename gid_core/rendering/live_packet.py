"""One small binary packet with the photo and the spectral volume that the live preview in a page needs.

Layout: uint32 little-endian length of the header, the header (JSON, UTF-8), the photo (JPEG), the slices (int8).
The header:

    version       1
    volume_size   [H, W] of the volume's own grid; all values are in pixels of this grid
    grid          [h, w] of the slices, at most 160 on the longest side
    fps, period   of the volume: bin k has the frequency k fps / period in Hz
    bins          n, the number of slices: bins 1 to n. Forces do not drive the constant bin
    scales        [n][4], the value of the byte 127 in each channel of each slice
    photo         true if the image is the photo, false if it is a map of the motion
    photo_size    [height, width] of the image, at most 768 on the longest side
    photo_bytes   length of the JPEG file in bytes

Slices are [n, h, w, 4] in the order x_re, x_im, y_re, y_im: value = byte * scale / 127. js/live_packet.js reads this.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..spectral_volume import SpectralVolume
from ..tensors import fit_size, image_batch, resize_maps

# Version of the layout above.
VERSION = 1
# Longest side of the slices and of the photo, in pixels.
MAX_GRID = 160
MAX_PHOTO = 768
# Most bins in a packet: what a uniform block of the page's vertex shader is guaranteed to hold. Faster bins are left
# out of the preview.
MAX_BINS = 192
# Byte of the largest value of a channel.
MAX_LEVEL = 127
# Quality of the JPEG file, 0..100.
JPEG_QUALITY = 88
# Longest side in pixels of the map that replaces a missing photo.
MOTION_MAP_SIZE = 512


@dataclass(frozen=True)
class LivePacket:
    """The contents of a packet.

    Attributes:
        header: see the module.
        jpeg: the image file.
        slices: float32 [n, 4, h, w], bins 1 to n, in pixels of the volume's own grid.
    """

    header: dict[str, Any]
    jpeg: bytes
    slices: Tensor


def pack(volume: SpectralVolume, image: Tensor | None = None) -> bytes:
    """The packet of a volume's first photo. Equal inputs give equal bytes.

    Args:
        volume: the motion of its first photo is used, on a grid of at most 160 pixels.
        image: [H, W, C] or [B, H, W, C], C = 3 or 4, 0..1, of any size; the first one is used. Without an image, a
            gray map of the volume's motion replaces it.

    Raises:
        ValueError: if `image` is not an image.
    """
    slices = _reduced_slices(volume, MAX_GRID)
    photo = _motion_map(slices, volume.period) if image is None else photo_pixels(image, MAX_PHOTO)
    return _assemble(volume, slices, photo.shape[:2], encode_jpeg(photo), image is not None)


def pack_without_photo(volume: SpectralVolume, photo_size: tuple[int, int], max_grid: int = MAX_GRID) -> bytes:
    """The packet of a volume whose photo its reader has as a file of its own: `photo_bytes` is 0.

    Args:
        volume: the motion of its first photo is used.
        photo_size: height and width of the photo in pixels.
        max_grid: longest side of the slices in pixels, at most 160.
    """
    return _assemble(volume, _reduced_slices(volume, min(max_grid, MAX_GRID)), photo_size, b"", True)


def _reduced_slices(volume: SpectralVolume, max_grid: int) -> Tensor:
    """The bins 1 to n of a volume's first photo: float32 [n, 4, h, w] in pixels of its own grid."""
    grid = fit_size(volume.size, max_grid)
    slices = volume.coefficients[:1, 1 : MAX_BINS + 1].detach().float().cpu()
    return resize_maps(slices.flatten(0, 1), grid) if slices.shape[1] else slices.new_zeros(0, 4, *grid)


def _assemble(
    volume: SpectralVolume, slices: Tensor, photo_size: tuple[int, ...], jpeg: bytes, is_photo: bool
) -> bytes:
    """The packet of slices of a volume and of an image."""
    scales = slices.abs().amax((2, 3))
    levels_per_pixel = torch.where(scales > 0, MAX_LEVEL / scales, 0)[..., None, None]
    levels = (slices * levels_per_pixel).round().clamp(-MAX_LEVEL, MAX_LEVEL).to(torch.int8)
    header = {
        "version": VERSION,
        "volume_size": list(volume.size),
        "grid": list(slices.shape[-2:]),
        "fps": volume.fps,
        "period": volume.period,
        "bins": len(slices),
        "scales": [[float(f"{scale:.7g}") for scale in row] for row in scales.tolist()],
        "photo": is_photo,
        "photo_size": list(photo_size),
        "photo_bytes": len(jpeg),
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<I", len(text)) + text + jpeg + levels.permute(0, 2, 3, 1).contiguous().numpy().tobytes()


def unpack(packet: bytes) -> LivePacket:
    """Read a packet, as the page does.

    Raises:
        ValueError: if the packet is damaged, incomplete, or of another version.
    """
    try:
        (header_bytes,) = struct.unpack_from("<I", packet)
        header = json.loads(packet[4 : 4 + header_bytes])
        version, photo_start, photo_bytes = header["version"], 4 + header_bytes, header["photo_bytes"]
        (height, width), bins = header["grid"], header["bins"]
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"This is not a live packet, or it is damaged ({error}).") from None
    if version != VERSION:
        raise ValueError(f"This live packet has version {version}; this software reads version {VERSION}.")
    slices_start = photo_start + photo_bytes
    if len(packet) != slices_start + bins * height * width * 4:
        raise ValueError(f"This live packet is incomplete: it has {len(packet)} bytes.")
    levels = np.frombuffer(packet, np.int8, offset=slices_start).reshape(bins, height, width, 4)
    scales = np.asarray(header["scales"], np.float32).reshape(bins, 1, 1, 4)
    slices = torch.from_numpy(levels.astype(np.float32) * (scales / MAX_LEVEL)).permute(0, 3, 1, 2)
    return LivePacket(header, packet[photo_start:slices_start], slices)


def photo_pixels(image: Tensor, max_size: int) -> np.ndarray:
    """The first image at a size of at most `max_size` pixels, alpha over gray: float32 [H, W, 3] in 0..1.

    Raises:
        ValueError: if `image` is not an image.
    """
    photo = image_batch(image)[:1].cpu().clamp(0, 1)
    if photo.shape[1] == 4:
        photo = photo[:, :3] * photo[:, 3:] + 0.5 * (1 - photo[:, 3:])
    return resize_maps(photo, fit_size(photo.shape[-2:], max_size))[0].permute(1, 2, 0).numpy()


def _motion_map(slices: Tensor, period: int) -> np.ndarray:
    """Gray image of each pixel's RMS displacement, brightest at the 99.5th percentile: float32 [H, W, 3]."""
    rms = slices.square().sum((0, 1)).sqrt() * (2**0.5 / period)
    level = (rms / rms.quantile(0.995).clamp_min(1e-9)).clamp(0, 1).sqrt()
    height, width = (max(1, round(side * MOTION_MAP_SIZE / max(level.shape))) for side in level.shape)
    gray = resize_maps((0.12 + 0.68 * level)[None, None], (height, width))
    return gray[0, 0, :, :, None].expand(-1, -1, 3).numpy()


def encode_jpeg(image: np.ndarray, quality: int = JPEG_QUALITY) -> bytes:
    """An image [H, W, 3] in 0..1 as a JPEG file of a quality in 0..100."""
    from ..packages import cv2

    levels = np.ascontiguousarray((image[..., ::-1] * 255).round().astype(np.uint8))
    return cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
