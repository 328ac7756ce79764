"""A folder of clips: its index, and the window and crop of each clip."""

import pytest
import torch

from gid_core.evaluation.clip_folder import center_crop, find_clips, load_window


def test_clips_and_their_groups(clip_folder):
    clips = find_clips(clip_folder)
    assert [clip.name for clip in clips] == ["scene0", "scene1", "scene2", "short"]
    assert [clip.group for clip in clips] == ["a", "a", "b", "c"]


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
