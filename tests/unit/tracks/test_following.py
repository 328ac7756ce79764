"""Tracks follow the motion's own displacements, at any frame rate and in a picture of any size."""

import pytest
import torch

import gid_core as gid


def random_motion(size=(24, 32), batch=1, loops=True) -> gid.Motion:
    generator = torch.Generator().manual_seed(3)
    coarse = torch.randn(batch * 4, 4, 3, 4, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size, mode="bicubic", align_corners=True)
    volume = gid.SpectralVolume(smooth.unflatten(0, (batch, 4)) * 20, 30.0, 30)
    return gid.loop(volume) if loops else gid.poke(volume, [gid.Poke(0.5, 0.5, 0.1)], num_frames=40, fps=20.0)


def test_a_track_is_the_displacement_of_its_pixel():
    motion = random_motion(batch=2)
    points = torch.tensor([[5.0, 7.0], [30.0, 2.0]])
    tracks = gid.follow_points(motion, points, num_points=30, fps=30)
    expected = motion.displacement()[..., [7, 2], [5, 30]].permute(0, 3, 1, 2)
    assert tracks.positions.shape == (2, 2, 30, 2)
    assert torch.allclose(tracks.positions, points[:, None] + expected, atol=1e-4)
    assert float(tracks.displacement.abs().max()) > 2


def test_loops_go_on_and_other_motions_stay_at_their_end():
    loop = gid.follow_points(random_motion(), torch.zeros(1, 2), num_points=70, fps=30).positions
    assert torch.allclose(loop[:, :, :30], loop[:, :, 30:60], atol=1e-5)
    poke = gid.follow_points(random_motion(loops=False), torch.full((1, 2), 12.0), num_points=90, fps=20).positions
    assert torch.equal(poke[:, :, 40:], poke[:, :, 39:40].expand(-1, -1, 50, -1))
    assert float((poke[:, :, 39] - poke[:, :, 0]).abs().max()) > 1e-3


def test_all_points_of_a_motion():
    closed = gid.follow_points(random_motion(), torch.zeros(1, 2), num_points=None, fps=30).positions
    assert closed.shape[2] == 31 and torch.allclose(closed[:, :, 0], closed[:, :, -1], atol=1e-5)
    assert len(gid.follow_points(random_motion(loops=False), torch.zeros(1, 2), num_points=None, fps=20)) == 40


def test_time_passes_as_fast_at_another_rate():
    motion, points = random_motion(), torch.tensor([[10.0, 10.0]])
    at_30, at_60 = (gid.follow_points(motion, points, num_points=None, fps=fps).positions for fps in (30, 60))
    assert torch.allclose(at_60[:, :, ::2], at_30, atol=1e-3)
    motion = random_motion(loops=False)
    at_20, at_40 = (gid.follow_points(motion, points, num_points=None, fps=fps).positions for fps in (20, 40))
    # 40 frames span 39 steps, which 79 points divide in halves.
    assert len(at_40[0, 0]) == 79 and torch.allclose(at_40[:, :, ::2], at_20, atol=1e-3)


@pytest.mark.parametrize("size", [(48, 64), (48, 48), (24, 64)])
def test_a_picture_of_another_size_shows_the_same_motion(size):
    """The photo has twice the grid's width and three times its height."""
    motion, photo_size = random_motion(), (72, 64)
    tracks = gid.follow_points(motion, gid.grid_points(9, size), size=size, photo_size=photo_size, num_points=5)
    scale = max(size[0] / 72, size[1] / 64)
    shown = size[1] / scale, size[0] / scale  # of the photo, in its pixels, but for rounding
    start = tracks.positions[0, :, 0] + 0.5
    in_photo = start / scale + torch.tensor([(64 - shown[0]) / 2, (72 - shown[1]) / 2])
    on_grid = in_photo / torch.tensor([2.0, 3.0]) - 0.5
    alone = gid.follow_points(motion, on_grid, num_points=5)
    expected = alone.displacement * torch.tensor([2.0, 3.0]) * scale
    assert torch.allclose(tracks.displacement, expected, atol=0.05 * float(expected.abs().max()))


def test_points_outside_take_the_motion_of_the_edge():
    motion = random_motion()
    inside, outside = (gid.follow_points(motion, torch.tensor([[x, 5.0]]), num_points=9) for x in (31.0, 99.0))
    assert torch.allclose(inside.displacement, outside.displacement, atol=1e-5)
