"""Image-based rendering: a photo and a motion in, frames out, a few at a time (paper section 5)."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Literal, overload

import torch
from torch import Tensor

from ..memory import attempt, check_fits, empty_cache, free_memory
from ..motion import Motion
from ..spectral_volume import SpectralVolume, modal_sum
from ..tensors import (
    check_device,
    image_batch,
    mask_batch,
    resize_flow,
    resize_maps,
    resize_mask,
)
from ..validation import MAX_FRAMES, check_callable, check_flag, check_instance, check_integer, refuse
from .frame_memory import (
    BLOCK_FRAMES,
    FRAMES_REMEDIES,
    ONE_FRAME_REMEDIES,
    default_chunk,
    out_of_memory,
    working_bytes,
)
from .outlines import find_outlines
from .renderer import FrameRenderer, Renderer, is_tiled, tiled
from .warping import forward_warp, premultiply, unpremultiply

# Parameters of `magnitude_importance`, which are not in the paper: the best by PSNR over random synthetic scenes, as
# long as the faint outer rim of a moving object does not win over its background.
# Width in pixels of the image in which the mean motion is measured.
IMPORTANCE_REFERENCE_WIDTH = 256
# Importance of a pixel that moves by one pixel on average.
IMPORTANCE_PER_PIXEL = 1.0
# Upper limit of the importance.
MAX_IMPORTANCE = 6.0

# Pixels around a tile, beyond the largest displacement, that it depends on: with the fast renderer or another one.
FAST_REACH, NETWORK_REACH = 32, 128

# Highest frame of a loop at which rendering may start.
MAX_START = 2**31

# Called as progress(done, total, frame [H, W, C]).
Progress = Callable[[int, int, Tensor], None]


@overload
def render(
    image: Tensor,
    motion: Motion,
    *,
    start: int = ...,
    count: int | None = ...,
    mask: Tensor | None = ...,
    renderer: Renderer | None = ...,
    chunk: int | None = ...,
    device: torch.device | str | None = ...,
    output_device: torch.device | str = ...,
    dtype: torch.dtype = ...,
    return_holes: Literal[False] = ...,
    progress: Progress | None = ...,
) -> Tensor: ...
@overload
def render(
    image: Tensor,
    motion: Motion,
    *,
    start: int = ...,
    count: int | None = ...,
    mask: Tensor | None = ...,
    renderer: Renderer | None = ...,
    chunk: int | None = ...,
    device: torch.device | str | None = ...,
    output_device: torch.device | str = ...,
    dtype: torch.dtype = ...,
    return_holes: Literal[True],
    progress: Progress | None = ...,
) -> tuple[Tensor, Tensor]: ...
def render(
    image: Tensor,
    motion: Motion,
    *,
    start: int = 0,
    count: int | None = None,
    mask: Tensor | None = None,
    renderer: Renderer | None = None,
    chunk: int | None = None,
    device: torch.device | str | None = None,
    output_device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    return_holes: bool = False,
    progress: Progress | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Animate a photo: splat it along the motion, frame by frame, into one preallocated tensor.

    Pixels that move more on average are in front (W in the paper). Holes that the motion opens show the background
    beside the moving object; what enters across the frame's edge is the photo mirrored there. Static pixels keep the
    photo's exact values. The working memory beside the output does not grow with the number of frames. Frames do not
    depend on `start`, `count` or `chunk`.

    Args:
        image: [H, W, C] or [B, H, W, C], C = 3 or 4 (straight alpha), 0..1; any size: the motion is scaled to it.
        motion: B motions, or one motion for all photos; or B motions for one photo.
        start, count: the frames to render; None renders to the end. A looping motion may continue past its end.
        mask: [H', W'] or [B, H', W'] of any size, 1 = moves, 0 = stays as in the photo.
        renderer: how frames are rendered. None is `fast_splat`; `GIDPipeline.renderer` is a model's rendering network.
        chunk: frames to compute at once; None chooses by the image's size. Halved when memory runs out.
        device: where to compute; None is the motion's device.
        output_device, dtype: of the result.
        return_holes: also return where no pixel landed and the fill shows.
        progress: called as progress(done, total, frame [H, W, C]) after every frame; may raise to cancel.

    Returns:
        frames [B * count, H, W, C], the clips of a batch one after another; with `return_holes` also
        holes [B * count, H, W] in 0..1 (1 = no pixel landed).

    Raises:
        ValueError: if the inputs do not fit together.
    """
    check_callable("progress", progress)
    return_holes = check_flag("return_holes", return_holes)
    output_device = check_device(output_device, "output_device")
    if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        refuse("dtype", "a floating-point dtype of torch, such as torch.float32", dtype)
    total = count_frames(image, motion, start, count)
    channels, height, width = image_batch(image).shape[1:]
    needed = total * height * width * (channels + return_holes) * dtype.itemsize
    what = f"{total} frames of {width} x {height} pixels{' and their holes' if return_holes else ''}"
    check_fits(what, needed, output_device, FRAMES_REMEDIES)
    chunks = checked_chunks(
        image,
        motion,
        start=start,
        count=count,
        mask=mask,
        renderer=renderer,
        chunk=chunk,
        device=device,
        kept_bytes=needed,
        kept_on=output_device,
        kept=what,
    )
    frames = torch.empty(total, height, width, channels, dtype=dtype, device=output_device)
    holes = torch.empty(total, height, width, dtype=dtype, device=output_device) if return_holes else None
    done = 0
    while done < total:
        chunk_frames, chunk_holes = next(chunks)
        part = slice(done, done + len(chunk_frames))
        frames[part].copy_(chunk_frames)
        if holes is not None:
            holes[part].copy_(chunk_holes)
        del chunk_frames, chunk_holes  # free before the next chunk is made
        for done in range(part.start + 1, part.stop + 1):
            if progress is not None:
                progress(done, total, frames[done - 1])
    return frames if holes is None else (frames, holes)


def render_chunks(
    image: Tensor,
    motion: Motion,
    *,
    start: int = 0,
    count: int | None = None,
    mask: Tensor | None = None,
    renderer: Renderer | None = None,
    chunk: int | None = None,
    device: torch.device | str | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the frames of `render` in chunks: frames [n, H, W, C] and holes [n, H, W], float32, on `device`.

    Raises:
        ValueError: if the inputs do not fit together.
    """
    return checked_chunks(
        image, motion, start=start, count=count, mask=mask, renderer=renderer, chunk=chunk, device=device
    )


def checked_chunks(
    image: Tensor,
    motion: Motion,
    *,
    start: int,
    count: int | None,
    mask: Tensor | None,
    renderer: Renderer | None,
    chunk: int | None,
    device: torch.device | str | None,
    kept_bytes: float = 0,
    kept_on: torch.device | None = None,
    kept: str = "",
) -> Iterator[tuple[Tensor, Tensor]]:
    """`render_chunks` for a caller that keeps memory beside it; inputs and memory are checked with the call.

    A chunk for which memory is too small is halved first.

    Args:
        kept_bytes, kept_on: what the caller keeps until the last frame, and where; None is the CPU.
        kept: what that is, for a message; empty if it is part of rendering one frame.
    """
    photos = image_batch(image)
    photos = photos.clamp(0, 1) if float(photos.amin()) < 0 or float(photos.amax()) > 1 else photos
    batch = _batch_size(photos, motion)
    frames = frame_range(motion, start, count)
    device = motion.volume.coefficients.device if device is None else check_device(device)
    check_callable("renderer", renderer)
    renderer = renderer or fast_splat
    channels, height, width = photos.shape[1:]
    chunk = check_integer("chunk", default_chunk(channels, height, width) if chunk is None else chunk, 1)
    margin = _margin(motion, renderer, (height, width)) if is_tiled((height, width)) else 0
    need = partial(working_bytes, _is_fast_splat(renderer), channels, (height, width), margin)
    beside = kept_bytes if (kept_on or torch.device("cpu")) == device else 0
    chunk = min(chunk, BLOCK_FRAMES)  # longer ones are not made
    while chunk > 1 and need(chunk) + beside > free_memory(device):
        chunk //= 2
    what, remedies = f"One frame of {width} x {height} pixels and its working memory", ONE_FRAME_REMEDIES
    if kept and beside:
        what, remedies = f"{kept}, and the working memory of one more,", FRAMES_REMEDIES
    check_fits(what, need(chunk) + beside, device, remedies)
    photos = photos.to(device)
    masks = None if mask is None else resize_mask(mask_batch(mask, batch), (height, width)).to(device)
    return _render_chunks(photos, motion, masks, renderer, frames, chunk, margin)


def count_frames(image: Tensor, motion: Motion, start: int, count: int | None) -> int:
    """Number of frames that `render` makes: those of every clip of the batch; errors are those of `render`."""
    return _batch_size(image_batch(image), motion) * frame_range(motion, start, count)[1]


def _render_chunks(
    photos: Tensor,
    motion: Motion,
    masks: Tensor | None,
    renderer: Renderer,
    frames: tuple[int, int],
    chunk: int,
    margin: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    """`render_chunks` after its checks, which thus come with the call and not with the first frame.

    Args:
        photos: [B, C, H, W] in 0..1, on the device where to compute.
        masks: [B or 1, 1, H, W], or None.
        frames: the first one, and how many.
        margin: of tiles, see `tiled`.
    """
    (start, count), device = frames, photos.device
    batch, size = _batch_size(photos, motion), (photos.shape[-2], photos.shape[-1])
    volume, coordinates = motion.volume.to(device), motion.coordinates.to(device)
    for index in range(batch):
        photo = photos[index % len(photos)][None]
        photo_mask = None if masks is None else masks[index % len(masks)]
        photo_motion = Motion(_volume_at(volume, index), coordinates, motion.fps, motion.loops)
        importance = motion_importance(photo_motion, size)
        if photo_mask is not None:
            importance = importance * photo_mask
        if is_tiled(size):
            render_frames: FrameRenderer | None = tiled(renderer, photo, importance, margin)
        else:
            render_frames, problem = attempt(renderer, photo, importance)
        if render_frames is None:
            raise out_of_memory(size, device, problem)
        for block_start in range(start, start + count, BLOCK_FRAMES):
            displacement = _block_displacement(photo_motion, block_start)[: start + count - block_start]
            done = 0
            while done < len(displacement):
                flow = displacement[done : done + chunk]
                rendered, problem = attempt(_render_flow, render_frames, photo, flow, photo_mask)
                if rendered is None:
                    empty_cache(device)
                    if chunk == 1:
                        raise out_of_memory(size, device, problem)
                    chunk //= 2
                    continue
                done += len(flow)
                yield rendered[0].permute(0, 2, 3, 1), rendered[1][:, 0]
                del rendered  # free before the next chunk is made


def _is_fast_splat(renderer: Renderer) -> bool:
    return inspect.unwrap(renderer) is fast_splat


def _margin(motion: Motion, renderer: Renderer, size: Sequence[int]) -> int:
    """Pixels around a tile that its content depends on, in all frames of a motion, whichever are rendered."""
    height, width = motion.volume.size
    reach = 0.0
    for start in range(0, len(motion), BLOCK_FRAMES):
        for index in range(len(motion.volume)):
            one = Motion(_volume_at(motion.volume, index), motion.coordinates, motion.fps, motion.loops)
            dx, dy = _block_displacement(one, start).abs().amax((0, 2, 3)).tolist()
            reach = max(reach, dx * size[1] / width, dy * size[0] / height)
    return math.ceil(min(reach, max(size))) + (FAST_REACH if _is_fast_splat(renderer) else NETWORK_REACH)


def fast_splat(photo: Tensor, importance: Tensor) -> FrameRenderer:
    """The fast renderer: `warping.forward_warp` without a network.

    Args:
        photo: [1, C, H, W] in 0..1, C = 3, or 4 with straight alpha.
        importance: [1, 1, H, W], see `motion_importance`.
    """
    features = premultiply(photo)
    outlines = find_outlines(features, importance)

    def render_frames(flow: Tensor) -> tuple[Tensor, Tensor]:
        warped = forward_warp(features, flow, importance, outlines)
        # Static pixels keep the photo's exact values, including the colors of transparent pixels.
        frames = torch.where(warped.static, photo, unpremultiply(warped.blended()))
        return frames.clamp_(0, 1), warped.holes

    return render_frames


def motion_importance(motion: Motion, size: Sequence[int]) -> Tensor:
    """`magnitude_importance` of the motions' mean magnitudes."""
    return magnitude_importance(motion.magnitude(), size)


def magnitude_importance(magnitude: Tensor, size: Sequence[int]) -> Tensor:
    """Importance Z of the splat from the mean motion magnitude W(p), which stands in for depth (paper section 5).

    W is measured in an image 256 pixels wide, so that Z does not depend on the resolution. Z saturates smoothly at
    `MAX_IMPORTANCE`, because a softmax over a wider range only widens outlines.

    Args:
        magnitude: [N, h, w] in pixels of its own grid.
        size: (H, W) of the result.

    Returns:
        [N, 1, H, W] in 0..`MAX_IMPORTANCE`.
    """
    scaled = magnitude * (IMPORTANCE_REFERENCE_WIDTH / magnitude.shape[-1])
    importance = MAX_IMPORTANCE * torch.tanh(scaled * (IMPORTANCE_PER_PIXEL / MAX_IMPORTANCE))
    return resize_maps(importance.unsqueeze(1), size)


def _render_flow(
    render_frames: FrameRenderer, photo: Tensor, displacement: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Frames [n, C, H, W] and holes [n, 1, H, W] for displacements [n, 2, h, w] on the volume's grid."""
    flow = resize_flow(displacement, photo.shape[-2:])
    if mask is None:
        return render_frames(flow)
    frames, holes = render_frames(flow.mul_(mask))
    return torch.where(mask == 0, photo, frames), holes


def _block_displacement(motion: Motion, start: int) -> Tensor:
    """Displacements of `BLOCK_FRAMES` frames from `start` on the volume's grid: [BLOCK_FRAMES, 2, h, w].

    A block always has the same length; it wraps around at the motion's end. A matrix product of another size may sum
    in another order, and then a frame would depend on which part of a clip is rendered.
    """
    frames = [(start + offset) % len(motion) for offset in range(BLOCK_FRAMES)]
    return modal_sum(motion.volume.coefficients, motion.coordinates[frames])[0]


def _volume_at(volume: SpectralVolume, index: int) -> SpectralVolume:
    """One volume of a batch; a batch of one repeats."""
    return volume.replace(coefficients=volume.coefficients[index % len(volume)][None])


def _batch_size(photos: Tensor, motion: Motion) -> int:
    check_instance("motion", motion, Motion, "a Motion, which loop, playback, poke, wind and from_audio make")
    num_images, num_motions = len(photos), len(motion.volume)
    if num_images != num_motions and 1 not in (num_images, num_motions):
        raise ValueError(
            f"Got {num_images} images and {num_motions} motions; give one of either, or equally many of both."
        )
    return max(num_images, num_motions)


def frame_range(motion: Motion, start: int, count: int | None, length: int | None = None) -> tuple[int, int]:
    """First frame and number of frames, checked; `length` is how many there are if not the motion's frames."""
    length = len(motion) if length is None else length
    start = check_integer("start", start, at_most=MAX_START)
    count = None if count is None else check_integer("count", count, at_most=MAX_FRAMES)
    if start < 0 or (start >= length and not motion.loops):
        raise ValueError(f"start must be a frame of this motion, which has {length} frames; got {start}.")
    count = length - start % length if count is None else count
    if count < 1 or (start + count > length and not motion.loops):
        raise ValueError(
            f"Asked for {count} frames from frame {start}; this motion has {length} frames"
            f"{'' if motion.loops else ' and does not loop'}. Change the number of frames."
        )
    return start, count
