"""Image-based rendering: a photo and a motion in, frames out, a few at a time (paper section 5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ..motion import Motion
from ..spectral_volume import modal_sum
from ..tensors import image_batch, mask_batch, resize_flow, resize_maps, resize_mask
from .warping import premultiply, unpremultiply, warp

# Importance of a pixel that moves one pixel (of a 256-wide picture) on average, and the most it can reach. Best by
# PSNR over random synthetic scenes, as far as the faint outer rim of a mover does not win over what is behind.
IMPORTANCE_PER_PIXEL = 1.0
MAX_IMPORTANCE = 6.0
# Working memory of a chunk of frames; more than this leaves a CPU's cache without being faster.
CHUNK_BYTES = 80 * 2**20
# Frames of motion evaluated together, on the volume's grid; a chunk is a part of them.
BLOCK = 16

# Draws frames [n, C, H, W] and their holes [n, 1, H, W] in 0..1 from displacements [n, 2, H, W] in pixels.
FrameRenderer = Callable[[Tensor], tuple[Tensor, Tensor]]
# Makes the painter of a photo [1, C, H, W] with the importance [1, 1, H, W] of its pixels.
Renderer = Callable[[Tensor, Tensor], FrameRenderer]


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
    progress: Callable[[int, int, Tensor], None] | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Animate a photo: splat it along the motion, frame by frame, into one preallocated tensor.

    What moves more on average is taken to be in front (W of the paper). Where the motion opens a hole, the photo
    is drawn through it, sampled backwards along the motion. Where nothing moves, pixels are the photo's own.
    Memory beside the output does not grow with the number of frames. Frames do not depend on `start`, `count`
    or `chunk`.

    Args:
        image: [H, W, C] or [B, H, W, C], C = 3 or 4 (straight alpha), 0..1; any size: the motion is scaled to it.
        motion: B motions, or one for all; or B motions for one photo.
        start, count: the frames to render; default all. A looping motion may be continued past its end.
        mask: [H', W'] or [B, H', W'], 1 = moves, 0 = stays as in the photo, of any size.
        renderer: how frames are drawn. Default: `splatting`, which is fast; `GIDPipeline.renderer` is a model's
            rendering network.
        chunk: frames computed at once; default from the picture's size. Halved when memory runs out.
        device: where to compute; default: the motion's device.
        output_device, dtype: of the result.
        return_holes: also return where the photo shows through.
        progress: called as progress(done, total, frame [H, W, C]) after every frame; may raise to cancel.

    Returns:
        [B * count, H, W, C], the clips of a batch one after another; with `return_holes` also
        holes [B * count, H, W] in 0..1 (1 = nothing landed).

    Raises:
        ValueError: if the inputs do not fit together.
    """
    photos = image_batch(image)
    batch = _batch_size(photos, motion)
    start, count = _frame_range(motion, start, count)
    _, channels, height, width = photos.shape
    frames = torch.empty(batch * count, height, width, channels, dtype=dtype, device=output_device)
    holes = torch.empty(batch * count, height, width, dtype=dtype, device=output_device) if return_holes else None
    done = 0
    settings = dict(mask=mask, renderer=renderer, chunk=chunk, device=device)
    chunks = render_chunks(image, motion, start=start, count=count, **settings)
    for part, part_holes in chunks:
        frames[done : done + len(part)].copy_(part)
        if holes is not None:
            holes[done : done + len(part)].copy_(part_holes)
        for _ in range(len(part)):
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
    """The frames of `render` as they come: pairs of frames [n, H, W, C] and holes [n, H, W], float32, on `device`."""
    photos = image_batch(image).clamp(0, 1)
    batch = _batch_size(photos, motion)
    start, count = _frame_range(motion, start, count)
    device = torch.device(motion.volume.coefficients.device if device is None else device)
    photos = photos.to(device)
    volume = motion.volume.to(device)
    size = tuple(photos.shape[-2:])
    moves = None if mask is None else resize_mask(mask_batch(mask, batch), size).to(device)
    if chunk is None:
        chunk = default_chunk(photos.shape[1], *size)
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1 frame; got {chunk}.")
    for index in range(batch):
        photo = photos[index % len(photos)][None]
        single = Motion(_pick(volume, index), motion.coordinates.to(device), motion.fps, motion.loops)
        paint = (splatting if renderer is None else renderer)(photo, motion_importance(single, size))
        allowed = None if moves is None else moves[index % len(moves)]
        for first in range(start, start + count, BLOCK):
            displacement = _block(single, first)[: start + count - first]
            done = 0
            while done < len(displacement):
                try:
                    flow = resize_flow(displacement[done : done + chunk], size)
                    flow = flow if allowed is None else flow * allowed
                    frames, holes = paint(flow)
                except torch.OutOfMemoryError:
                    if chunk == 1:
                        raise
                    chunk //= 2
                    flow = frames = holes = None
                    _empty_cache(device)
                    continue
                if allowed is not None:
                    frames = torch.where(allowed == 0, photo, frames)
                yield frames.permute(0, 2, 3, 1), holes[:, 0]
                done += len(frames)


def default_chunk(channels: int, height: int, width: int) -> int:
    """Frames of a picture that are computed at once, 1 to `BLOCK`."""
    frame_bytes = 4 * height * width * 6 * (channels + 2)
    return max(1, min(BLOCK, CHUNK_BYTES // frame_bytes))


def splatting(photo: Tensor, importance: Tensor) -> FrameRenderer:
    """The fast renderer: `warping.warp` alone.

    Args:
        photo: [1, C, H, W], C = 3, or 4 with straight alpha.
        importance: [1, 1, H, W], see `motion_importance`.
    """
    features = premultiply(photo)

    def paint(flow: Tensor) -> tuple[Tensor, Tensor]:
        warped = warp(features, flow, importance)
        # What stands still is the photo's to the last bit, its colors where it is transparent as well.
        frames = torch.where(warped.still, photo, unpremultiply(warped.blended()))
        return frames.clamp_(0, 1), warped.holes

    return paint


def motion_importance(motion: Motion, size: tuple[int, int]) -> Tensor:
    """`magnitude_importance` of one motion."""
    return magnitude_importance(motion.magnitude(), size)


def magnitude_importance(magnitude: Tensor, size: tuple[int, int]) -> Tensor:
    """Z of the splat from W(p), the mean motion magnitude, as a depth proxy.

    W is taken in pixels of a 256-wide picture, so that the result does not depend on resolution, and Z levels
    off smoothly at `MAX_IMPORTANCE`: a softmax over a wider range only widens outlines.

    Args:
        magnitude: [N, h, w] in pixels of its own grid.
        size: (H, W) of the result [N, 1, H, W].
    """
    scaled = magnitude * (256 / magnitude.shape[-1])
    importance = MAX_IMPORTANCE * torch.tanh(scaled * (IMPORTANCE_PER_PIXEL / MAX_IMPORTANCE))
    return resize_maps(importance.unsqueeze(1), size)


def _block(motion: Motion, first: int) -> Tensor:
    """Displacements of BLOCK frames from `first` on the volume's grid: [BLOCK, 2, h, w].

    Always as many, continued past the end: a matrix product of another size may sum in another order, and then
    a frame would depend on which part of a clip is rendered.
    """
    wanted = [(first + offset) % len(motion) for offset in range(BLOCK)]
    return modal_sum(motion.volume.coefficients, motion.coordinates[wanted])[0]


def _pick(volume, index: int):
    return volume.replace(coefficients=volume.coefficients[index % len(volume)][None])


def _batch_size(photos: Tensor, motion: Motion) -> int:
    images, motions = len(photos), len(motion.volume)
    if images != motions and 1 not in (images, motions):
        raise ValueError(f"Got {images} pictures and {motions} motions; give one of either, or as many of both.")
    return max(images, motions)


def _frame_range(motion: Motion, start: int, count: int | None) -> tuple[int, int]:
    length = len(motion)
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
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
