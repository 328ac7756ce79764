"""Optical flow as files: Middlebury's .flo, and OpenEXR with 32-bit floats (PyAV; OpenCV's wheels lack it)."""

from __future__ import annotations

import os
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..tensors import to_tensor
from ..validation import check_path, refuse
from .atomic import atomic_write

FLOW_SUFFIXES = (".flo", ".exr")


def write_flow(path: str | os.PathLike, flow: Tensor) -> Path:
    """Write one flow as a file that other programs read.

    Args:
        path: ends in .flo or in .exr. The channels of an .exr are R = dx, G = dy, and B = 0.
        flow: [2, H, W], (dx, dy) in pixels; +x right, +y down.

    Returns:
        The path.

    Raises:
        ValueError: for another suffix or shape, or values that are not finite.
        FileNotFoundError: if the folder does not exist.
    """
    path = check_path("path", path)
    suffix = path.suffix.lower()
    if suffix not in FLOW_SUFFIXES:
        refuse("path", f"a file name that ends in {' or '.join(FLOW_SUFFIXES)}", str(path))
    flow = to_tensor(flow, "flow", "[2, H, W]").float()
    if flow.ndim != 3 or flow.shape[0] != 2 or 0 in flow.shape or not bool(torch.isfinite(flow).all()):
        raise ValueError(f"flow must be [2, H, W] with finite values; got {list(flow.shape)}.")
    pixels = np.ascontiguousarray(flow.permute(1, 2, 0).cpu().numpy())
    with atomic_write(path) as temporary:
        temporary.write_bytes(_exr_bytes(pixels) if suffix == ".exr" else _flo_bytes(pixels))
    return path


def _flo_bytes(pixels: np.ndarray) -> bytes:
    """Flow [H, W, 2] as a .flo file: Middlebury's mark, width, height, and (dx, dy) of each pixel, little-endian."""
    height, width = pixels.shape[:2]
    return b"PIEH" + struct.pack("<ii", width, height) + pixels.astype("<f4").tobytes()


def _exr_bytes(pixels: np.ndarray) -> bytes:
    """Flow [H, W, 2] as an OpenEXR file of three float32 channels, compressed without loss."""
    from ..packages import av

    colors = np.concatenate([pixels, np.zeros_like(pixels[..., :1])], -1)
    frame = av.VideoFrame.from_ndarray(colors, format="gbrpf32le")
    frame.pts = 0
    encoder = av.CodecContext.create("exr", "w")
    encoder.height, encoder.width = colors.shape[:2]
    encoder.pix_fmt, encoder.time_base = "gbrpf32le", Fraction(1)
    encoder.options = {"format": "float", "compression": "zip16"}
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
