"""The protocol's clips: a folder of videos, cut to one window and size (paper section 6, "Evaluation")."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..media.video_io import read_video
from ..tensors import resize_maps

SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif")
WINDOW_SECONDS = 5.0
WIDTH, HEIGHT = 256, 128
MIN_FRAMES = 64


@dataclass(frozen=True)
class Clip:
    """A video file and, if an index.csv lies beside it, what that says.

    group: clips of one group share a source and are drawn together when intervals are estimated.
    use: a label such as "train" or "develop"; empty without an index.
    """

    path: Path
    group: str = ""
    use: str = ""

    @property
    def name(self) -> str:
        return self.path.stem


def find_clips(folder: str | Path, use: str | None = None) -> list[Clip]:
    """The videos of a folder, in order of name.

    Args:
        folder: with video files, and optionally an index.csv with the columns id, use and source_id.
        use: keep only clips that the index marks so.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it holds no (such) clip.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"No folder of clips at {folder}.")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
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
        raise ValueError(f"{folder} holds no video clips{wanted}; videos end in {', '.join(SUFFIXES)}.")
    return clips


def load_window(clip: Clip) -> tuple[Tensor, float]:
    """The first five seconds of a clip, scaled to cover 256 x 128; not yet cropped, so that models see it whole.

    Returns:
        frames float32 [T, H, W, 3] in 0..1 with W >= 256 and H >= 128, one of them equal; and fps.

    Raises:
        ValueError: if the clip is shorter than 64 frames.
    """
    frames, fps = read_video(clip.path, max_frames=1200)
    frames = frames[: round(WINDOW_SECONDS * fps)]
    if len(frames) < MIN_FRAMES:
        raise ValueError(f"{clip.path.name} has {len(frames)} frames; the evaluation needs {MIN_FRAMES} or more.")
    height, width = frames.shape[1:3]
    scale = max(WIDTH / width, HEIGHT / height)
    size = max(HEIGHT, round(height * scale)), max(WIDTH, round(width * scale))
    small = torch.cat([resize_maps(part.permute(0, 3, 1, 2), size) for part in frames.split(16)])
    return small.permute(0, 2, 3, 1).clamp(0, 1).contiguous(), fps


def center_crop(frames: Tensor, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Tensor:
    """The middle (H, W) of [T, H', W', C] frames or [H', W', C] pictures."""
    top, left = (frames.shape[-3] - size[0]) // 2, (frames.shape[-2] - size[1]) // 2
    return frames[..., top : top + size[0], left : left + size[1], :]
