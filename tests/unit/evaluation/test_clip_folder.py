"""A folder of clips: its index, and the window and crop of each clip."""

import numpy as np
import pytest
import torch

from gid_core.evaluation.clip_folder import Clip, center_crop, find_clips, load_window
from peak_memory import PeakMemory
from video_files import write_file


def test_clips_and_their_groups(clip_folder):
    clips = find_clips(clip_folder)
    assert [clip.name for clip in clips] == ["scene0", "scene1", "scene2", "short"]
    assert [clip.group for clip in clips] == ["a", "a", "b", "c"]


def test_half_written_clips_are_not_found(tmp_path):
    for name in ("a.mp4", ".b-12345678.mp4"):  # a killed `atomic_write` leaves the second one behind
        (tmp_path / name).touch()
    assert [clip.name for clip in find_clips(tmp_path)] == ["a"]


def test_unusable_folders_raise_errors(clip_folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        find_clips(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="no video clips"):
        find_clips(tmp_path)
    with pytest.raises(ValueError, match="marked 'train'"):
        find_clips(clip_folder, "train")


def test_a_window_covers_the_crop(clip_folder):
    frames, fps = load_window(find_clips(clip_folder)[0])
    assert fps == 14 and frames.shape == (70, 128, 256, 3)
    assert center_crop(torch.rand(2, 130, 260, 3)).shape == (2, 128, 256, 3)


def test_a_large_clip_is_reduced_while_it_is_read(tmp_path):
    path = write_file(tmp_path / "a.mp4", [np.zeros((540, 960, 3), np.uint8)] * 64, codec="mpeg4")
    with PeakMemory() as memory:
        frames, _ = load_window(Clip(path))
    assert frames.shape == (64, 144, 256, 3)
    assert memory.peak < 4 * frames.nbytes  # all frames in full size are 14 times as much
