"""Image-based rendering: a photo and a motion in, frames out, a few at a time (paper section 5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, overload

import torch
from torch import Tensor

from ..memory import attempt, check_fits, empty_cache
from ..motion import Motion
from ..tensors import (
    check_device,
    image_batch,
    mask_batch,
    resize_flow,
    resize_maps,
    resize_mask,
)
from ..validation import check_callable, check_flag, refuse
from .fast_renderer import fast_splat
from .frame_memory import BLOCK_FRAMES, FRAMES_REMEDIES, ONE_FRAME_REMEDIES, out_of_memory
from .frame_range import batch_size, count_frames, frame_range
from .fused_splat import FusedSplat
from .host_copies import to_host
from .render_plan import Plan, block_displacement, can_tile, compute_device, plan_render, tile_margin, volume_at
from .renderer import FrameRenderer, Renderer, tiled

# Parameters of `magnitude_importance`, which are not in the paper: the best by PSNR over random synthetic scenes, as
# long as the faint outer rim of a moving object does not win over its background.
# Width in pixels of the image in which the mean motion is measured.
IMPORTANCE_REFERENCE_WIDTH = 256
# Importance of a pixel that moves by one pixel on average.
IMPORTANCE_PER_PIXEL = 1.0
# Upper limit of the importance.
MAX_IMPORTANCE = 6.0

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
        chunk: frames to compute at once; None chooses by the image's size and, on accelerators, by their free memory.
            Halved when memory runs out.
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
    chunks: Iterator[tuple[Tensor, ...]] = checked_chunks(
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
    if output_device.type == "cpu":
        chunks = to_host(chunks, compute_device(motion, device), dtype=dtype, tensors=1 + return_holes)
    frames = torch.empty(total, height, width, channels, dtype=dtype, device=output_device)
    holes = torch.empty(total, height, width, dtype=dtype, device=output_device) if return_holes else None
    done = 0
    while done < total:
        made = next(chunks)
        part = slice(done, done + len(made[0]))
        frames[part].copy_(made[0])
        if holes is not None:
            holes[part].copy_(made[1])
        del made  # free before the next chunk is made
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
    batch = batch_size(photos, motion)
    frames = frame_range(motion, start, count)
    device = compute_device(motion, device)
    check_callable("renderer", renderer)
    channels, height, width = photos.shape[1:]
    size, beside = (height, width), kept_bytes if (kept_on or torch.device("cpu")) == device else 0
    plan = plan_render(photos, motion, renderer or fast_splat, chunk, device, beside)
    what, remedies = f"One frame of {width} x {height} pixels and its working memory", ONE_FRAME_REMEDIES
    if kept and beside:
        what, remedies = f"{kept}, and the working memory of one more,", FRAMES_REMEDIES
    check_fits(what, plan.need + beside, device, remedies)
    photos = photos.to(device)
    masks = None if mask is None else resize_mask(mask_batch(mask, batch), size).to(device)
    return _render_chunks(photos, motion, masks, frames, plan)


def working_memory(
    image: Tensor,
    motion: Motion,
    renderer: Renderer | None = None,
    chunk: int | None = None,
    device: torch.device | str | None = None,
) -> float:
    """Peak bytes that `render` takes on its device beside its result, the image included; errors are those of `render`.

    Args:
        image, motion, renderer, chunk, device: of `render`.
    """
    photos = image_batch(image)
    batch_size(photos, motion)
    device = compute_device(motion, device)
    check_callable("renderer", renderer)
    return plan_render(photos, motion, renderer or fast_splat, chunk, device).need


def _render_chunks(
    photos: Tensor,
    motion: Motion,
    masks: Tensor | None,
    frames: tuple[int, int],
    plan: Plan,
) -> Iterator[tuple[Tensor, Tensor]]:
    """`render_chunks` after its checks, which thus come with the call and not with the first frame.

    Args:
        photos: [B, C, H, W] in 0..1, on the device where to compute.
        masks: [B or 1, 1, H, W], or None.
        frames: the first one, and how many.
    """
    (start, count), device, (renderer, margin, chunk, _) = frames, photos.device, plan
    batch, size = batch_size(photos, motion), (photos.shape[-2], photos.shape[-1])
    volume, coordinates = motion.volume.to(device), motion.coordinates.to(device)
    for index in range(batch):
        photo = photos[index % len(photos)][None]
        photo_mask = None if masks is None else masks[index % len(masks)]
        photo_motion = Motion(volume_at(volume, index), coordinates, motion.fps, motion.loops)
        importance = motion_importance(photo_motion, size)
        if photo_mask is not None:
            importance = importance * photo_mask
        render_frames, problem = None, ""
        if not margin:
            render_frames, problem = attempt(renderer, photo, importance)
            if render_frames is None and can_tile(size, device):
                empty_cache(device)
                margin = tile_margin(motion, renderer, size)
        if margin:
            render_frames = tiled(renderer, photo, importance, margin)
        if render_frames is None:
            raise out_of_memory(size, device, problem)
        for block_start in range(start, start + count, BLOCK_FRAMES):
            displacement = block_displacement(photo_motion, block_start)[: start + count - block_start]
            done = 0
            while done < len(displacement):
                flow = displacement[done : done + chunk]
                rendered, problem = attempt(_render_flow, render_frames, photo, flow, photo_mask)
                if rendered is None:
                    empty_cache(device)
                    if chunk > 1:
                        chunk //= 2
                    elif not margin and can_tile(size, device):
                        margin = tile_margin(motion, renderer, size)
                        render_frames = tiled(renderer, photo, importance, margin)
                    else:
                        raise out_of_memory(size, device, problem)
                    continue
                done += len(flow)
                yield rendered[0].permute(0, 2, 3, 1), rendered[1][:, 0]
                del rendered  # free before the next chunk is made


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
    if isinstance(render_frames, FusedSplat):
        return render_frames.render(displacement, mask)
    flow = resize_flow(displacement, photo.shape[-2:])
    if mask is None:
        return render_frames(flow)
    frames, holes = render_frames(flow.mul_(mask))
    return torch.where(mask == 0, photo, frames), holes
