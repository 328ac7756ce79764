"""Image-based rendering: a photo and a motion in, frames out, a few at a time (paper section 5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, Protocol, overload

import torch
from torch import Tensor

from ..motion import Motion
from ..spectral_volume import SpectralVolume, modal_sum
from ..tensors import (
    OutOfMemoryError,
    check_device,
    image_batch,
    mask_batch,
    resize_flow,
    resize_maps,
    resize_mask,
)
from ..validation import MAX_FRAMES, check_callable, check_flag, check_instance, check_integer, refuse
from .outlines import find_outlines
from .warping import forward_warp, premultiply, unpremultiply

# Parameters of `magnitude_importance`, which are not in the paper: the best by PSNR over random synthetic scenes, as
# long as the faint outer rim of a moving object does not win over its background.
# Width in pixels of the image in which the mean motion is measured.
IMPORTANCE_REFERENCE_WIDTH = 256
# Importance of a pixel that moves by one pixel on average.
IMPORTANCE_PER_PIXEL = 1.0
# Upper limit of the importance.
MAX_IMPORTANCE = 6.0

# Parameters of the memory use.
# Working memory of a chunk of frames in bytes. A larger chunk leaves a CPU's cache and is not faster.
CHUNK_BYTES = 80 * 2**20
# Float32 copies of a frame (its channels and two of displacement) that the fast renderer holds at once.
WORKING_COPIES = 6
# Frames whose displacements are computed together on the volume's grid. A chunk is a part of such a block.
BLOCK_FRAMES = 16

# Highest frame of a loop at which rendering may start.
MAX_START = 2**31

# Called as progress(done, total, frame [H, W, C]).
Progress = Callable[[int, int, Tensor], None]


class FrameRenderer(Protocol):
    """Renders frames of one photo from displacement fields; made by a `Renderer`."""

    def __call__(self, flow: Tensor, /) -> tuple[Tensor, Tensor]:
        """Render one frame per displacement field.

        Args:
            flow: [n, 2, H, W], (dx, dy) in pixels of the photo.

        Returns:
            frames [n, C, H, W] in 0..1 and holes [n, 1, H, W] in 0..1 (1 = no pixel landed).
        """
        ...


class Renderer(Protocol):
    """Prepares a photo for rendering: computes once what all of its frames share.

    `fast_splat` is one; a model's rendering network is another, see `GIDPipeline.renderer`.
    """

    def __call__(self, photo: Tensor, importance: Tensor, /) -> FrameRenderer:
        """Make the `FrameRenderer` of a photo.

        Args:
            photo: [1, C, H, W] in 0..1, C = 3, or 4 with straight alpha.
            importance: [1, 1, H, W], see `motion_importance`.
        """
        ...


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
    photos = image_batch(image)
    batch = _batch_size(photos, motion)
    start, count = _frame_range(motion, start, count)
    _, channels, height, width = photos.shape
    frames = torch.empty(batch * count, height, width, channels, dtype=dtype, device=output_device)
    holes = torch.empty(batch * count, height, width, dtype=dtype, device=output_device) if return_holes else None
    done = 0
    for chunk_frames, chunk_holes in render_chunks(
        image, motion, start=start, count=count, mask=mask, renderer=renderer, chunk=chunk, device=device
    ):
        frames[done : done + len(chunk_frames)].copy_(chunk_frames)
        if holes is not None:
            holes[done : done + len(chunk_frames)].copy_(chunk_holes)
        for _ in range(len(chunk_frames)):
            done += 1
            if progress is not None:
                progress(done, len(frames), frames[done - 1])
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
    photos = image_batch(image).clamp(0, 1)
    batch = _batch_size(photos, motion)
    frames = _frame_range(motion, start, count)
    device = motion.volume.coefficients.device if device is None else check_device(device)
    photos = photos.to(device)
    size = (photos.shape[-2], photos.shape[-1])
    masks = None if mask is None else resize_mask(mask_batch(mask, batch), size).to(device)
    check_callable("renderer", renderer)
    chunk = (
        default_chunk(photos.shape[1], *size) if chunk is None else check_integer("chunk", chunk, 1, meaning="frames")
    )
    return _render_chunks(photos, motion, masks, renderer or fast_splat, frames, chunk)


def _render_chunks(
    photos: Tensor, motion: Motion, masks: Tensor | None, renderer: Renderer, frames: tuple[int, int], chunk: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """`render_chunks` after its checks, which thus come with the call and not with the first frame.

    Args:
        photos: [B, C, H, W] in 0..1, on the device where to compute.
        masks: [B or 1, 1, H, W], or None.
        frames: the first one, and how many.
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
        render_frames = renderer(photo, importance)
        for block_start in range(start, start + count, BLOCK_FRAMES):
            displacement = _block_displacement(photo_motion, block_start)[: start + count - block_start]
            done = 0
            while done < len(displacement):
                rendered: tuple[Tensor, Tensor] | None
                try:
                    rendered = _render_flow(render_frames, photo, displacement[done : done + chunk], photo_mask)
                except OutOfMemoryError:
                    if chunk == 1:
                        raise
                    rendered = None
                # Outside the handler, because inside it the error's traceback would keep tensors in memory.
                if rendered is None:
                    chunk //= 2
                    _empty_cache(device)
                    continue
                yield rendered[0].permute(0, 2, 3, 1), rendered[1][:, 0]
                done += len(rendered[0])


def default_chunk(channels: int, height: int, width: int) -> int:
    """Number of frames of this size to compute at once, 1 to `BLOCK_FRAMES`."""
    frame_bytes = 4 * height * width * WORKING_COPIES * (channels + 2)
    return max(1, min(BLOCK_FRAMES, CHUNK_BYTES // frame_bytes))


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
    frames, holes = render_frames(flow * mask)
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


def _frame_range(motion: Motion, start: int, count: int | None) -> tuple[int, int]:
    """First frame and number of frames, checked."""
    length = len(motion)
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


def _empty_cache(device: torch.device) -> None:
    """Return cached memory to the device after it ran out."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
