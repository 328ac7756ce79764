"""Image-based rendering: a photo and a motion in, frames out, a few at a time (paper section 5)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from .images import image_batch, mask_batch, resize_flow, resize_maps, resize_mask
from .motion import Motion
from .spectral_volume import modal_sum
from .splatting import softmax_splat

# Importance of a pixel that moves one pixel (of a 256-wide picture) on average, and the most it can reach. Best by
# PSNR over random synthetic scenes, as far as the faint outer rim of a mover does not win over what is behind.
IMPORTANCE_PER_PIXEL = 1.0
MAX_IMPORTANCE = 6.0
# Less coverage than this is a hole, filled in proportion; a little below 1, which smooth flow reaches only nearly.
FULL_COVERAGE = 0.9
# Working memory of a chunk of frames; more than this leaves the cache without being faster.
CHUNK_BYTES = 192 * 2**20
# Frames of motion evaluated together, on the volume's grid; a chunk is a part of them.
BLOCK = 16


def render(
    image: Tensor,
    motion: Motion,
    *,
    start: int = 0,
    count: int | None = None,
    mask: Tensor | None = None,
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
    chunks = render_chunks(image, motion, start=start, count=count, mask=mask, chunk=chunk, device=device)
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
        frame_bytes = 4 * math.prod(size) * 6 * (photos.shape[1] + 2)
        chunk = max(1, min(BLOCK, CHUNK_BYTES // frame_bytes))
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1 frame; got {chunk}.")
    for index in range(batch):
        photo = photos[index % len(photos)][None]
        single = Motion(_pick(volume, index), motion.coordinates.to(device), motion.fps, motion.loops)
        features = premultiply(photo)
        importance = motion_importance(single, size)
        allowed = None if moves is None else moves[index % len(moves)]
        for first in range(start, start + count, BLOCK):
            displacement = _block(single, first)[: start + count - first]
            done = 0
            while done < len(displacement):
                try:
                    flow = resize_flow(displacement[done : done + chunk], size)
                    flow = flow if allowed is None else flow * allowed
                    frames, holes = splat_frames(photo, features, flow, importance)
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


def splat_frames(photo: Tensor, features: Tensor, flow: Tensor, importance: Tensor) -> tuple[Tensor, Tensor]:
    """Splat one photo along several displacement fields and fill the holes.

    Args:
        photo: [1, C, H, W], C = 3, or 4 with straight alpha.
        features: `premultiply(photo)`.
        flow: [n, 2, H, W] in pixels.
        importance: [1, 1, H, W], see `motion_importance`.

    Returns:
        frames [n, C, H, W] and holes [n, 1, H, W] in 0..1.
    """
    frames, coverage = softmax_splat(features, flow, importance)
    holes = (1 - coverage / FULL_COVERAGE).clamp_(min=0)
    _fill_holes(frames, holes, features, flow)
    if frames.shape[1] == 4:
        alpha = frames[:, 3:]
        frames[:, :3] = torch.where(alpha > 0, frames[:, :3] / alpha.clamp(min=1e-6), 0)
    still = (flow == 0).all(1, keepdim=True) & (coverage == 1)
    # Splatting multiplies and divides by the weight; untouched pixels are given back to the last bit.
    frames = torch.where(still, photo, frames) if bool(still.any()) else frames
    return frames.clamp_(0, 1), holes


def motion_importance(motion: Motion, size: tuple[int, int]) -> Tensor:
    """Z of the splat from W(p), the mean motion magnitude, as a depth proxy: [1, 1, H, W] for one motion.

    W is taken in pixels of a 256-wide picture, so that the result does not depend on resolution, and Z levels
    off smoothly at `MAX_IMPORTANCE`: a softmax over a wider range only widens outlines.
    """
    magnitude = motion.magnitude() * (256 / motion.volume.size[1])
    importance = MAX_IMPORTANCE * torch.tanh(magnitude * (IMPORTANCE_PER_PIXEL / MAX_IMPORTANCE))
    return resize_maps(importance.unsqueeze(1), size)


def premultiply(photo: Tensor) -> Tensor:
    """Colours times alpha for RGBA [N, 4, H, W], so that invisible colours do not bleed; RGB as it is."""
    if photo.shape[1] == 3:
        return photo
    return torch.cat([photo[:, :3] * photo[:, 3:], photo[:, 3:]], dim=1)


def _fill_holes(frames: Tensor, holes: Tensor, features: Tensor, flow: Tensor) -> None:
    """Blend the photo into the holes of `frames`, in place.

    What appears behind a moving thing is what lay beside it: the photo sampled at p - F(p), not at p, where the
    thing itself was.
    """
    frame, _, y, x = torch.nonzero(holes, as_tuple=True)
    if len(frame) == 0:
        return
    height, width = flow.shape[-2:]
    offset = flow[frame, :, y, x]
    grid_x = (x - offset[:, 0] + 0.5) * (2 / width) - 1
    grid_y = (y - offset[:, 1] + 0.5) * (2 / height) - 1
    grid = torch.stack([grid_x, grid_y], -1)[None, None]
    sampled = F.grid_sample(features, grid, "bilinear", "border", align_corners=False)[0, :, 0].T
    amount = holes[frame, 0, y, x][:, None]
    frames[frame, :, y, x] = torch.lerp(frames[frame, :, y, x], sampled, amount)


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
