"""The measures of one clip."""

import torch

from gid_core.evaluation.clip_measures import windows


def test_windows_are_consecutive():
    assert windows(torch.arange(37), 16).tolist() == [list(range(16)), list(range(16, 32))]
