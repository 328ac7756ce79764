"""The picture of tracks shows each of them over the photo."""

import pytest
import torch

import gid_core as gid


def lines(batch=1) -> gid.Tracks:
    positions = torch.tensor([[[10.0, 10.0], [40.0, 10.0]], [[10.0, 30.0], [10.0, 30.0]]])
    return gid.Tracks(positions.expand(batch, -1, -1, -1), (48, 64), 24.0)


def test_lines_and_beginnings_are_drawn():
    drawn = gid.draw_tracks(lines())[0]
    lit = drawn.amax(-1) > 0.5
    assert drawn.shape == (48, 64, 3) and bool(lit[10, 10:41].all()) and bool(lit[30, 10])
    assert not bool(lit[10, 44:].any()) and not bool(lit[20].any())
    assert not torch.allclose(drawn[10, 20], drawn[30, 10], atol=0.2)  # colors of their own


def test_the_photo_is_behind_and_its_middle_is_shown():
    photo = torch.zeros(24, 64, 3)
    photo[:, 32:] = 1  # the picture shows columns 16 to 48
    drawn = gid.draw_tracks(lines(2), photo)
    assert drawn.shape == (2, 48, 64, 3)
    assert float(drawn[1, 40, 20].max()) == 0 and float(drawn[1, 40, 40].min()) == pytest.approx(0.5, abs=0.01)
    with pytest.raises(ValueError, match="3 images for the tracks of 2 motions"):
        gid.draw_tracks(lines(2), photo.expand(3, -1, -1, -1))


def test_tracks_far_outside_are_cut_off():
    far = gid.Tracks(torch.tensor([[[[10.0, 10.0], [9e5, -9e5]]]]), (48, 64), 24.0)
    assert bool((gid.draw_tracks(far)[0].amax(-1) > 0.5).any())
