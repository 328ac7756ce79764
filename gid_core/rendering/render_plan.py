"""How a photo is rendered on a device: whole or in tiles, how many frames at once, and the memory that this takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from ..memory import free_memory
from ..motion import Motion
from ..spectral_volume import SpectralVolume, modal_sum
from ..tensors import check_device
from ..validation import check_integer
from .fast_renderer import is_fast_splat, torch_splat
from .frame_memory import BLOCK_FRAMES, FAST, FUSED, NETWORK, PixelBytes, default_chunk, longest_chunk, working_bytes
from .fused_splat import can_fuse
from .renderer import Renderer, is_tiled

# Pixels around a tile, beyond the largest displacement, that it depends on: with the fast renderer or another one.
FAST_REACH, NETWORK_REACH = 32, 128


class Plan(NamedTuple):
    """How photos are rendered.

    Attributes:
        renderer: of whole photos, or of tiles.
        margin: of tiles in pixels, see `renderer.tiled`; 0 for whole photos.
        chunk: frames to compute at once.
        need: peak memory in bytes, the photo included.
    """

    renderer: Renderer
    margin: int
    chunk: int
    need: float


def compute_device(motion: Motion, device: torch.device | str | None) -> torch.device:
    """Where `render` computes: on the motion's device without another one."""
    return motion.volume.coefficients.device if device is None else check_device(device)


def plan_render(
    photos: Tensor,
    motion: Motion,
    renderer: Renderer,
    chunk: int | None,
    device: torch.device,
    beside: float = 0,
) -> Plan:
    """Plan a render within a device's free memory. A chunk that does not fit is halved; a single frame is not refused.

    On a CPU, large photos are rendered in tiles. An accelerator that tells its free memory renders them whole if one
    frame fits, because each tile renders its margins, too.

    Args:
        photos: [B, C, H, W].
        motion, renderer, chunk: of `render`.
        beside: bytes that are kept on the device beside the render.
    """
    channels, size, free = photos.shape[1], photos.shape[-2:], free_memory(device) - beside
    kind = _memory_kind(photos, motion, renderer, device)
    if kind is FUSED and working_bytes(FUSED, channels, size, 0, 1) > free:
        kind, renderer = FAST, torch_splat  # in tiles of a large photo, which takes less memory
    device_bytes, most = math.inf, BLOCK_FRAMES
    if device.type != "cpu":
        device_bytes, most = free, longest_chunk(size)
    fits = math.isfinite(device_bytes) and most > 0 and working_bytes(kind, channels, size, 0, 1) <= free
    margin = 0 if kind is FUSED or fits or not is_tiled(size) else tile_margin(motion, renderer, size)
    if chunk is None:
        chunk = default_chunk(kind, channels, size, margin, device_bytes)
    chunk = max(1, min(check_integer("chunk", chunk, 1), most))
    need = partial(working_bytes, kind, channels, size, margin)
    while chunk > 1 and need(chunk) > free:
        chunk //= 2
    return Plan(renderer, margin, chunk, need(chunk))


def can_tile(size: Sequence[int], device: torch.device) -> bool:
    """Whether a photo of size (H, W) that did not fit as a whole can be rendered in tiles."""
    return device.type != "cpu" and is_tiled(size)


def _memory_kind(photos: Tensor, motion: Motion, renderer: Renderer, device: torch.device) -> PixelBytes:
    """What rendering photos on a device takes."""
    if not is_fast_splat(renderer):
        return NETWORK
    coefficients = motion.volume.coefficients
    return FUSED if device.type == "cpu" and can_fuse(photos.to(device), coefficients.to(device)) else FAST


def tile_margin(motion: Motion, renderer: Renderer, size: Sequence[int]) -> int:
    """Pixels around a tile that its content depends on, in all frames of a motion."""
    height, width = motion.volume.size
    reach = 0.0
    for start in range(0, len(motion), BLOCK_FRAMES):
        for index in range(len(motion.volume)):
            one = Motion(volume_at(motion.volume, index), motion.coordinates, motion.fps, motion.loops)
            dx, dy = block_displacement(one, start).abs().amax((0, 2, 3)).tolist()
            reach = max(reach, dx * size[1] / width, dy * size[0] / height)
    return math.ceil(min(reach, max(size))) + (FAST_REACH if is_fast_splat(renderer) else NETWORK_REACH)


def block_displacement(motion: Motion, start: int) -> Tensor:
    """Displacements of `BLOCK_FRAMES` frames from `start` on the volume's grid: [BLOCK_FRAMES, 2, h, w].

    A block always has the same length; it wraps around at the motion's end. A matrix product of another size may sum
    in another order, and then a frame would depend on which part of a clip is rendered.
    """
    frames = torch.arange(start, start + BLOCK_FRAMES, device=motion.coordinates.device) % len(motion)
    return modal_sum(motion.volume.coefficients, motion.coordinates[frames])[0]


def volume_at(volume: SpectralVolume, index: int) -> SpectralVolume:
    """One volume of a batch; a batch of one repeats."""
    if len(volume) == 1:
        return volume
    return volume.replace(coefficients=volume.coefficients[index % len(volume)][None])
