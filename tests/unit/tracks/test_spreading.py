"""Motion from tracks: it passes through them, spreads inside objects, and stops at their outlines."""

import pytest
import torch

import gid_core as gid
from gid_core.synthetic.random_scene import random_scene

SIZE = (48, 64)


def photo() -> torch.Tensor:
    """A red disk on green."""
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(64.0), indexing="ij")
    disk = (((x - 32) ** 2 + (y - 24) ** 2) < 15**2).float()[..., None]
    return disk * torch.tensor([0.8, 0.1, 0.1]) + (1 - disk) * torch.tensor([0.1, 0.6, 0.2])


def track(x, y, dx, dy, length=25, closed=True) -> torch.Tensor:
    """A swing from (x, y) by (dx, dy), and back if closed: [length, 2]."""
    time = torch.linspace(0, 1, length)
    way = (1 - torch.cos(2 * torch.pi * time)) / 2 if closed else time
    return torch.tensor([float(x), float(y)]) + way[:, None] * torch.tensor([float(dx), float(dy)])


def moved(*lines: torch.Tensor, size=SIZE, **settings) -> gid.Motion:
    return gid.motion_from_tracks(gid.Tracks(torch.stack(lines)[None], size, 24.0), photo(), **settings)


def largest(motion: gid.Motion) -> torch.Tensor:
    """Largest displacement of each pixel, [H, W]."""
    return torch.hypot(*motion.displacement()[0].unbind(1)).amax(0)


def test_motion_spreads_over_the_object_and_stops_at_its_outline():
    reach = largest(moved(track(32, 24, 6, 0), spread=0.2))
    assert float(reach[24, 32]) == pytest.approx(6, abs=0.1)
    assert float(reach[24, 42]) > 4 and float(reach[14, 32]) > 4
    assert float(reach[24, 52]) < 0.3 and float(reach[2:5].max()) < 0.3


def test_a_larger_spread_reaches_further():
    near, far = (largest(moved(track(32, 24, 6, 0), spread=spread))[24, 44] for spread in (0.03, 0.2))
    assert float(near) < 1 < float(far)


def test_a_track_that_rests_holds_its_surroundings():
    reach = largest(moved(track(24, 24, 6, 0), track(42, 24, 0, 0), spread=0.2))
    assert float(reach[24, 24]) == pytest.approx(6, abs=0.1) and float(reach[24, 42]) < 0.1


def test_tracks_in_one_cell_move_it_by_their_mean():
    reach = largest(moved(track(32, 24, 6, 0), track(32, 24, 2, 0)))
    assert float(reach[24, 32]) == pytest.approx(4, abs=0.1)


def test_black_of_the_mask_does_not_move():
    mask = torch.ones(SIZE)
    mask[:, :32] = 0
    reach = largest(moved(track(32, 24, 6, 0), mask=mask))
    assert not bool(reach[:, :31].any()) and float(reach[24, 33]) > 3


def test_outlines_of_a_model_keep_colors_inside_an_object_from_counting():
    """Nothing is an outline: motion leaves the disk as if the photo had one color."""
    reach = largest(moved(track(32, 24, 6, 0), spread=0.3, outlines=torch.zeros(1, 1, 6, 8)))
    assert float(reach[24, 50]) > 2


def test_closed_tracks_are_a_loop_and_open_ones_go_forth_and_back():
    closed = moved(track(32, 24, 6, 3))
    assert closed.loops and len(closed) == 24 and closed.volume.period == 24
    line = track(32, 24, 6, 3, closed=False)
    opened = moved(line, num_bins=24)
    assert not opened.loops and len(opened) == 25 and opened.volume.period == 48
    at_track = opened.displacement()[0, :, :, 24, 32]
    assert torch.allclose(at_track, line - line[0], atol=0.05)
    back = gid.loop(opened.volume).displacement()[0, :, :, 24, 32]
    assert len(back) == 48 and torch.allclose(back[24], line[-1] - line[0], atol=0.05)
    assert torch.allclose(back[36], back[12], atol=0.05)
    few = moved(line, num_bins=8)
    assert few.volume.num_bins == 15
    assert float((few.displacement()[0, :, :, 24, 32] - (line - line[0])).abs().max()) < 0.3


def test_the_first_frame_is_the_photo():
    assert float(moved(track(32, 24, 6, 3, closed=False)).displacement(0, 1).abs().max()) < 1e-5


def test_tracks_are_in_pixels_of_their_picture():
    """A picture of half the size, and one that shows the photo's middle only."""
    half = largest(moved(track(15.75, 11.75, 3, 0), size=(24, 32)))
    middle = largest(moved(track(24, 24, 6, 0), size=(48, 48)))
    for reach in (half, middle):
        assert float(reach[24, 32]) == pytest.approx(6, abs=0.3)


def test_tracks_that_begin_outside_are_left_out():
    inside = moved(track(32, 24, 6, 0))
    with pytest.warns(UserWarning, match="1 of 2 tracks begin outside"):
        both = moved(track(32, 24, 6, 0), track(70, 24, 50, 0))
    assert torch.allclose(both.volume.coefficients, inside.volume.coefficients, atol=1e-3)
    with pytest.raises(ValueError, match="All tracks begin outside"):
        moved(track(70, 24, 5, 0))
    # A track may leave the picture.
    assert float(largest(moved(track(32, 24, 60, 0)))[24, 32]) == pytest.approx(60, abs=1)


def test_a_batch_moves_each_photo_by_its_own_tracks():
    positions = torch.stack([track(32, 24, 6, 0), track(32, 24, 0, 3)])[:, None]
    motion = gid.motion_from_tracks(gid.Tracks(positions, SIZE, 24.0), photo())
    dx, dy = motion.displacement().abs().amax(1)[:, :, 24, 32].unbind(1)
    assert dx.tolist() == pytest.approx([6, 0], abs=0.1) and dy.tolist() == pytest.approx([0, 3], abs=0.1)
    with pytest.raises(ValueError, match="3 photos for 2 motions"):
        gid.motion_from_tracks(gid.Tracks(positions, SIZE, 24.0), photo().expand(3, -1, -1, -1))


def test_single_points_in_time_are_refused():
    with pytest.raises(ValueError, match="at least 2 points"):
        moved(torch.tensor([[32.0, 24.0]]))


@pytest.mark.parametrize(("end", "longest"), [(0, 100_000), (9, 50_001)])
def test_tracks_of_too_many_points_are_refused_by_their_number(end, longest):
    path = 32 + 9 * (torch.arange(longest + 1) / 10).sin()
    path[-1] = path[0] + end
    with pytest.raises(ValueError, match=f"number of points of a track .* 2 to {longest} .* got {longest + 1}"):
        moved(torch.stack([path, torch.full_like(path, 24)], -1))


@pytest.mark.parametrize("kind", ["grid", "weighted"])
def test_tracks_of_a_scene_come_back_within_a_third_of_a_pixel(kind):
    """Through the JSON, in a picture of another size and proportions than the photo and the volume."""
    scene, size = random_scene(3, (90, 160)), (480, 832)
    picture = torch.from_numpy(scene.frames(1)[0]).float()
    motion = gid.loop(scene.spectral_volume())
    points = gid.choose_points(motion, kind, 64, size=size)
    tracks = gid.follow_points(motion, points, size=size)
    back = gid.motion_from_tracks(gid.parse_tracks(gid.format_tracks(tracks), size), picture)
    again = gid.follow_points(back, points, size=size, photo_size=(90, 160))
    moves = torch.hypot(*tracks.displacement.unbind(-1)).amax(-1) > 1
    error = torch.hypot(*(again.positions - tracks.positions).unbind(-1))[moves]
    assert int(moves.sum()) > 20 and float(error.median()) < 0.3 and float(error.mean()) < 0.3
    # Beside the tracks, what moves in the scene moves alike.
    dense = gid.grid_points(2000, size)
    truth, made = (gid.follow_points(m, dense, size=size, photo_size=(90, 160)) for m in (motion, back))
    moves = torch.hypot(*truth.displacement.unbind(-1)).amax(-1) > 1
    error = torch.hypot(*(truth.positions - made.positions).unbind(-1))[moves]
    assert float(error.median()) < 0.5 * float(torch.hypot(*truth.displacement.unbind(-1))[moves].median())
