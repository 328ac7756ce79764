"""ComfyUI's own code for video models reads the tracks: the functions of its WanTrackToVideo are run on them."""

import ast
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import gid_core as gid
from comfy_server import COMFYUI

SIZE = (480, 832)  # of a video in WanTrackToVideo, by default
LENGTH = 81  # frames, by default


@pytest.fixture(scope="module")
def wan(unavailable) -> SimpleNamespace:
    """The functions of comfy_extras/nodes_wan.py that read tracks, without ComfyUI around them."""
    path = COMFYUI / "comfy_extras" / "nodes_wan.py"
    if not path.is_file():
        unavailable("no ComfyUI: make setup")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.Assign))]
    names = {"json": json, "math": math, "np": np, "torch": torch, "Tuple": tuple}
    exec(compile(tree, str(path), "exec"), names)  # noqa: S102
    return SimpleNamespace(**names)


def swaying(batch=1) -> gid.Motion:
    """A loop of five seconds in which x of all pixels swings by 8 pixels of 832."""
    coefficients = torch.zeros(batch, 3, 4, 60, 104)
    coefficients[:, 2, 1] = -0.5 * 150  # sin(2 pi 2 t / T), in pixels of a grid 104 wide
    return gid.loop(gid.SpectralVolume(coefficients))


def processed(wan, tracks: gid.Tracks) -> list[torch.Tensor]:
    """What WanTrackToVideo makes of the text: [frames, N, 4] (time, x, y, visible) for each of the batch."""
    data = wan.parse_json_tracks(gid.format_tracks(tracks))
    data = [data] if isinstance(data[0][0], dict) else data
    arrays = [np.stack([wan.pad_pts(track) for track in batch], axis=0) for batch in data]
    return [wan.process_tracks(array, (SIZE[1], SIZE[0]), LENGTH - 1) for array in arrays]


@pytest.mark.parametrize("batch", [1, 2])
def test_every_frame_of_the_video_has_the_position_of_its_time(wan, batch):
    points = gid.grid_points(12, SIZE)
    results = processed(wan, gid.follow_points(swaying(batch), points, size=SIZE))
    assert len(results) == batch
    for result in results:
        assert result.shape == (LENGTH, len(points), 4)
        assert torch.equal(result[..., 3], torch.ones(LENGTH, len(points)))  # all visible
        # In halves of the short edge from the middle; 16 frames per second, to the nearest of 24 points per second.
        x, y = (result[..., 1:3] * SIZE[0] / 2 + torch.tensor([SIZE[1] / 2, SIZE[0] / 2])).unbind(-1)
        seconds = torch.arange(LENGTH) / 16
        expected = points[:, 0] + 0.5 + 8 * torch.sin(2 * math.pi * 2 / 5 * seconds)[:, None]
        per_point = 8 * 2 * math.pi * 2 / 5 / 24
        assert float((x - expected).abs().max()) < 0.75 * per_point + 0.01
        assert torch.allclose(y, (points[:, 1] + 0.5).expand(LENGTH, -1), atol=1e-2)


def test_fewer_points_are_taken_for_invisible_and_more_are_cut_off(wan):
    points = gid.grid_points(4, SIZE)
    short, long = (gid.follow_points(swaying(), points, size=SIZE, num_points=n) for n in (61, 200))
    visible = processed(wan, short)[0][:, 0, 3]
    assert bool((visible[:40] == 1).all()) and bool((visible[41:] == -1).all())
    full = gid.follow_points(swaying(), points, size=SIZE)
    assert torch.equal(processed(wan, long)[0], processed(wan, full)[0])


def test_one_track_is_read_as_one(wan):
    one = gid.follow_points(swaying(), gid.grid_points(1, SIZE), size=SIZE)
    assert processed(wan, one)[0].shape == (LENGTH, 1, 4)


def test_latents_move_along_the_tracks(wan):
    """WanTrackToVideo's last step moves features of the first latent frame to where the tracks lead."""
    coefficients = torch.zeros(1, 2, 4, 60, 104)
    coefficients[:, 1, 0] = -26 * 150 / 2 / 2  # (cos(2 pi t / T) - 1) * -13: to 26 of 104 pixels and back
    motion = gid.loop(gid.SpectralVolume(coefficients))
    point = torch.tensor([[208.0, 240.0]])
    tracks = processed(wan, gid.follow_points(motion, point, size=SIZE))[0][None]
    video = torch.zeros(1, 16, 21, 60, 104)
    video[:, :, 0, 29:32, 25:28] = 1
    mask, features = wan.patch_motion(tracks[None], video, topk=2)
    middle = features[0, 0, 10].flatten().argmax()
    row, column = divmod(int(middle), 104)
    assert (row, column) == (pytest.approx(30, abs=1), pytest.approx(26 + 26, abs=1.5))
    assert mask.shape == (1, 4, 21, 60, 104) and float(mask[0, 0, 10].max()) > 0.9
