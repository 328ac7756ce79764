"""Which frames of which clips a render makes."""

from __future__ import annotations

from torch import Tensor

from ..motion import Motion, check_motion
from ..tensors import image_batch
from ..validation import MAX_FRAMES, check_integer

# Highest frame of a loop at which rendering may start.
MAX_START = 2**31


def count_frames(image: Tensor, motion: Motion, start: int, count: int | None) -> int:
    """Number of frames that `render` makes: those of every clip of the batch; errors are those of `render`."""
    return batch_size(image_batch(image), motion) * frame_range(motion, start, count)[1]


def batch_size(photos: Tensor, motion: Motion) -> int:
    """Number of clips that photos [B, C, H, W] and a motion make.

    Raises:
        ValueError: if their numbers do not fit together.
    """
    check_motion(motion)
    num_images, num_motions = len(photos), len(motion.volume)
    if num_images != num_motions and 1 not in (num_images, num_motions):
        raise ValueError(
            f"Got {num_images} images and {num_motions} motions; give one of either, or equally many of both."
        )
    return max(num_images, num_motions)


def frame_range(motion: Motion, start: int, count: int | None, length: int | None = None) -> tuple[int, int]:
    """First frame and number of frames of each clip; `length` is how many there are if not the motion's frames.

    Raises:
        ValueError: if the motion has no such frames.
    """
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
