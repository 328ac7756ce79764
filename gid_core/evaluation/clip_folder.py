"""The clips of the evaluation: a folder of videos, cut to one window and size (paper section 6, "Evaluation")."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..media.atomic import finished_files
from ..media.video_io import clip_windows, iterate_frames
from ..media.video_probe import probe_video
from ..tensors import resize_maps

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif")
WIDTH, HEIGHT = 256, 128  # pixels, of the compared crop
MIN_FRAMES = 64  # at least this many in a window
MAX_FRAMES_READ = 1200  # of a video file; five seconds at 240 frames per second


@dataclass(frozen=True)
class Clip:
    """A video file and its entry in the folder's index.csv, if there is one.

    Attributes:
        path: the video file.
        group: clips of one group share a source and are resampled together when intervals are estimated.
        use: a label such as "train" or "develop"; empty without an index.
    """

    path: Path
    group: str = ""
    use: str = ""

    @property
    def name(self) -> str:
        """File name without its suffix; the clip's name in results."""
        return self.path.stem


def find_clips(folder: str | Path, use: str | None = None) -> list[Clip]:
    """The videos of a folder, sorted by name.

    Args:
        folder: with video files, and optionally an index.csv with the columns id, use and source_id.
        use: keep only clips whose column "use" has this value.

    Raises:
        FileNotFoundError: if the folder does not exist.
        ValueError: if it holds no such clip.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"No folder of clips at {folder}.")
    files = finished_files(folder, VIDEO_SUFFIXES)
    index = {}
    if (folder / "index.csv").is_file():
        with open(folder / "index.csv", newline="") as file:
            index = {row["id"]: row for row in csv.DictReader(file)}
    clips = []
    for path in files:
        entry = index.get(path.stem, {})
        clips.append(Clip(path, entry.get("source_id") or path.stem, entry.get("use") or ""))
    if use is not None:
        clips = [clip for clip in clips if clip.use == use]
    if not clips:
        wanted = f" marked {use!r} in index.csv" if use else ""
        raise ValueError(f"{folder} holds no video clips{wanted}; videos end in {', '.join(VIDEO_SUFFIXES)}.")
    return clips


def load_window(clip: Clip) -> tuple[Tensor, float]:
    """The first five seconds of a clip, scaled to cover 256 x 128; not yet cropped, so that models get whole frames.

    Returns:
        frames float32 [T, H, W, 3] in 0..1 with W >= 256 and H >= 128, one of them equal; and fps.

    Raises:
        ValueError: if the clip is shorter than 64 frames.
    """
    probe = probe_video(clip.path)
    _, length = clip_windows(min(len(probe), MAX_FRAMES_READ), probe.fps)[0]
    size = cover_size(probe.size, (HEIGHT, WIDTH))
    frames = [
        resize_maps(frame.permute(2, 0, 1)[None] / 255, size)[0].permute(1, 2, 0).clamp(0, 1)
        for frame in iterate_frames(probe, count=length)
    ]
    if len(frames) < MIN_FRAMES:
        raise ValueError(f"{clip.path.name} has {len(frames)} frames; the evaluation needs {MIN_FRAMES} or more.")
    return torch.stack(frames), probe.fps


def cover_size(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    """The smallest (H, W) with the aspect ratio of `size` that covers `target`."""
    scale = max(target[0] / size[0], target[1] / size[1])
    return max(target[0], round(size[0] * scale)), max(target[1], round(size[1] * scale))


def center_crop(frames: Tensor, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Tensor:
    """The central (H, W) of frames [T, H', W', C] or of an image [H', W', C]."""
    top, left = (frames.shape[-3] - size[0]) // 2, (frames.shape[-2] - size[1]) // 2
    return frames[..., top : top + size[0], left : left + size[1], :]
