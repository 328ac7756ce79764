"""What the live preview in a page needs of a photo and its spectral volume, in one small binary packet.

Layout: uint32 little-endian length of the header, the header (JSON, UTF-8), the photo (JPEG), the slices (int8).
The header:

    version       1
    volume_size   [H, W] of the volume's own grid; all values are pixels of it
    grid          [h, w] of the slices, at most 160 on the longest side
    fps, period   of the volume: bin k is k fps / period Hz
    bins          n, how many slices follow: bins 1 to n. The constant bin has no part in what forces drive
    scales        [n][4], the value that the byte 127 stands for, for each channel of each slice
    photo         whether the picture is the photo, or a map of the motion in its place
    photo_size    [height, width] of the picture, at most 768 on the longest side
    photo_bytes   its length in bytes

Slices are [n, h, w, 4] in the order x_re, x_im, y_re, y_im: value = byte * scale / 127. js/live_packet.js reads this.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..spectral_volume import SpectralVolume
from ..tensors import fit_size, image_batch, resize_maps

VERSION = 1
MAX_GRID = 160
MAX_PHOTO = 768
JPEG_QUALITY = 88
# What one uniform block of the page's vertex program holds for certain; faster bins are left out of the preview.
MAX_BINS = 192


@dataclass(frozen=True)
class LivePacket:
    """A packet taken apart.

    Attributes:
        header: see the module.
        jpeg: the picture's file.
        slices: float32 [n, 4, h, w], bins 1 to n, in pixels of the volume's own grid.
    """

    header: dict
    jpeg: bytes
    slices: Tensor


def pack(volume: SpectralVolume, image: Tensor | None = None) -> bytes:
    """Photo and motion of the first photo of a volume, for the page; equal inputs make equal bytes.

    Args:
        volume: its first photo's motion is taken, on a grid of at most 160 pixels.
        image: [H, W, C] or [B, H, W, C], C = 3 or 4, 0..1, of any size; the first is taken. Without one, a gray
            map of where the volume moves is drawn in its place.

    Raises:
        ValueError: if the image is none.
    """
    grid = fit_size(volume.size, MAX_GRID)
    slices = volume.coefficients[:1, 1 : MAX_BINS + 1].detach().float().cpu()
    slices = resize_maps(slices.flatten(0, 1), grid) if slices.shape[1] else slices.new_zeros(0, 4, *grid)
    scales = slices.abs().amax((2, 3))
    steps = torch.where(scales > 0, 127 / scales, 0)[..., None, None]
    levels = (slices * steps).round().clamp(-127, 127).to(torch.int8)
    picture = _motion_map(slices, volume.period) if image is None else _photo(image)
    jpeg = _jpeg(picture)
    header = {
        "version": VERSION,
        "volume_size": list(volume.size),
        "grid": list(grid),
        "fps": volume.fps,
        "period": volume.period,
        "bins": len(slices),
        "scales": [[float(f"{value:.7g}") for value in row] for row in scales.tolist()],
        "photo": image is not None,
        "photo_size": list(picture.shape[:2]),
        "photo_bytes": len(jpeg),
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<I", len(text)) + text + jpeg + levels.permute(0, 2, 3, 1).contiguous().numpy().tobytes()


def unpack(packet: bytes) -> LivePacket:
    """Take a packet apart, as the page does.

    Raises:
        ValueError: if it is cut short, or of another version.
    """
    try:
        (length,) = struct.unpack_from("<I", packet)
        header = json.loads(packet[4 : 4 + length])
        version, start, jpeg_bytes = header["version"], 4 + length, header["photo_bytes"]
        (height, width), bins = header["grid"], header["bins"]
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"This is no live packet, or it is damaged ({error}).") from None
    if version != VERSION:
        raise ValueError(f"This live packet is of version {version}; this software reads version {VERSION}.")
    if len(packet) != start + jpeg_bytes + bins * height * width * 4:
        raise ValueError(f"This live packet is cut short: it has {len(packet)} bytes.")
    levels = np.frombuffer(packet, np.int8, offset=start + jpeg_bytes).reshape(bins, height, width, 4)
    scales = np.asarray(header["scales"], np.float32).reshape(bins, 1, 1, 4)
    slices = torch.from_numpy(levels.astype(np.float32) * (scales / 127)).permute(0, 3, 1, 2)
    return LivePacket(header, packet[start : start + jpeg_bytes], slices)


def _photo(image: Tensor) -> np.ndarray:
    """The first picture, reduced to at most MAX_PHOTO, alpha over gray: float [H, W, 3] in 0..1."""
    photo = image_batch(image)[:1].cpu().clamp(0, 1)
    if photo.shape[1] == 4:
        photo = photo[:, :3] * photo[:, 3:] + 0.5 * (1 - photo[:, 3:])
    return resize_maps(photo, fit_size(tuple(photo.shape[-2:]), MAX_PHOTO))[0].permute(1, 2, 0).numpy()


def _motion_map(slices: Tensor, period: int) -> np.ndarray:
    """Gray picture of how far each pixel swings (rms), brightest at the 99.5th percentile: float [H, W, 3]."""
    rms = slices.square().sum((0, 1)).sqrt() * (2**0.5 / period)
    level = (rms / rms.quantile(0.995).clamp_min(1e-9)).clamp(0, 1).sqrt()
    size = tuple(round(side * 512 / max(level.shape)) for side in level.shape)
    gray = resize_maps((0.12 + 0.68 * level)[None, None], tuple(max(1, side) for side in size))
    return gray[0, 0, :, :, None].expand(-1, -1, 3).numpy()


def _jpeg(picture: np.ndarray) -> bytes:
    """[H, W, 3] in 0..1 as a JPEG file."""
    import cv2

    levels = np.ascontiguousarray((picture[..., ::-1] * 255).round().astype(np.uint8))
    return cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
