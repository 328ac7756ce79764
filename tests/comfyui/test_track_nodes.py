"""Motion To Tracks, Tracks To Motion and Motion To Flow on the server: as the library, and connected to other nodes."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import gid_core as gid
from comfy_server import NodeFailed, PromptRejected

SIZE = (72, 128)
VIDEO = (480, 832)  # the default of Wan Track To Video


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3)) / 255


def saved_volume(graph, node) -> gid.SpectralVolume:
    return gid.SpectralVolume.load(graph.server.base / "output" / graph.text(node).removesuffix(" [output]"))


def test_tracks_are_the_librarys_and_come_back_as_motion(graph, volume, photo):
    image, loaded = graph.image(photo)[0], graph.volume(volume)
    to_tracks = graph.add("GID_MotionToTracks", motion=loaded, image=image, count=12)
    text, picture = graph.show(to_tracks), graph.save(to_tracks[1])
    model = graph.add("GID_LoadModel", model_name="tiny.safetensors")
    saves = []
    for inputs in ({}, {"model": model}):
        back = graph.add("GID_TracksToMotion", tracks=to_tracks, image=image, resolution=96, **inputs)
        saves.append(
            graph.add("GID_SaveSpectralVolume", spectral_volume=back[1], filename_prefix="tracks/back"),
        )
    frames = graph.save(graph.add("GID_SoftmaxSplatRender", image=image, motion=back, num_frames=2))
    graph.run()

    motion = gid.loop(volume, fps=30.0)
    points = gid.grid_points(12, VIDEO)
    tracks = gid.follow_points(motion, points, size=VIDEO, photo_size=SIZE)
    written = gid.parse_tracks(graph.text(text), VIDEO)
    assert written.positions.shape == (1, len(points), 121, 2)
    assert torch.allclose(written.positions, tracks.positions, atol=2e-3)
    pictures = graph.images(picture)
    drawn = (gid.draw_tracks(tracks, torch.from_numpy(photo).float()) * 255).numpy()
    assert pictures.shape == (1, *VIDEO, 3) and np.abs(pictures - drawn).max() < 2
    by_color, by_model = (saved_volume(graph, save) for save in saves)
    expected = gid.motion_from_tracks(written, torch.from_numpy(photo).float(), max_size=96).volume
    scale = float(expected.coefficients.abs().max())
    assert by_color.size == (54, 96) and by_color.period == expected.period == 120
    assert float((by_color.coefficients - expected.coefficients).abs().max()) < 0.01 * scale
    assert float((by_model.coefficients - by_color.coefficients).abs().max()) > 0.02 * scale
    assert graph.images(frames).shape == (2, *SIZE, 3)


def test_tracks_connect_to_wan_track_to_video(graph, volume):
    """What Wan Track To Video lacks here, a VAE and prompts, is all that the server finds wrong."""
    tracks = graph.add("GID_MotionToTracks", motion=graph.volume(volume))
    wan = graph.add("WanTrackToVideo", tracks=tracks)
    graph.show(wan[2])
    with pytest.raises(PromptRejected) as rejected:
        graph.run()
    errors = rejected.value.node_errors[wan.id]["errors"]
    assert {error["extra_info"]["input_name"] for error in errors} == {"positive", "negative", "vae", "start_image"}


@pytest.mark.parametrize(("kind", "file_format"), [("photo to frame", "flo"), ("frame to frame", "exr")])
def test_flow_is_the_librarys_and_is_written(graph, volume, kind, file_format):
    arguments = dict(kind=kind, start_frame=149, num_frames=3)
    flow = graph.add(
        "GID_MotionToFlow",
        motion=graph.volume(volume),
        file_format=file_format,
        filename_prefix=f"flow/100%d {file_format}",
        **arguments,
    )
    files, colors, fps = graph.show(flow[2]), graph.save(flow[1]), graph.show(flow[3])
    graph.run()
    expected = gid.motion_flow(gid.loop(volume, fps=30.0), kind, start=149, count=3)[0].permute(0, 2, 3, 1).numpy()
    pattern = graph.text(files)
    assert Path(pattern).parent == graph.server.base / "output" / "flow"
    assert re.fullmatch(rf"100%%d {file_format}_\d{{5}}_%05d\.{file_format}", Path(pattern).name)
    for number in range(3):
        if file_format == "flo":
            assert np.allclose(cv2.readOpticalFlow(pattern % number), expected[number], atol=1e-3)
        else:
            assert (Path(pattern % number)).read_bytes()[:4] == b"v/1\x01"
    assert not Path(pattern % 3).exists()
    assert graph.images(colors).shape == (3, *SIZE, 3) and float(graph.text(fps)) == 30


def test_without_a_format_no_file_is_written_and_the_image_gives_the_size(graph, volume, photo):
    large = graph.image(np.kron(photo, np.ones((2, 2, 1))))[0]
    flow = graph.add("GID_MotionToFlow", motion=graph.volume(volume), image=large, num_frames=1, filename_prefix="no/a")
    files, shown = graph.show(flow[2]), graph.save(flow)
    graph.run()
    assert graph.text(files) == "" and not (graph.server.base / "output" / "no").exists()
    assert graph.images(shown).shape == (1, 144, 256, 3)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"tracks": "[[{"}, "not valid JSON"),
        ({"tracks": json.dumps([[{"x": 1, "y": 1}]])}, "at least 2 points"),
        ({"tracks": json.dumps([[{"x": 900, "y": 1}] * 3])}, "All tracks begin outside"),
        ({"tracks": json.dumps([[{"x": 1, "y": 1}] * 3, [{"x": 1, "y": 1}]])}, "track 2 has 1 points"),
    ],
)
def test_tracks_that_are_none_are_refused(graph, photo, inputs, message):
    graph.show(graph.add("GID_TracksToMotion", image=graph.image(photo)[0], **inputs)[2])
    with pytest.raises(NodeFailed) as raised:
        graph.run()
    assert message in raised.value.exception_message


def test_points_and_prefixes_that_are_none_are_refused(graph, volume):
    loaded = graph.volume(volume)
    for inputs, message in (
        (dict(points="picked", picked='[{"x": 900, "y": 1}]'), "outside the picture of 832 x 480"),
        (dict(points="picked"), "points are not valid JSON"),
        (dict(mask=graph.add("SolidMask", value=0.0, width=32, height=32)), "white of the mask"),
    ):
        shown = graph.show(graph.add("GID_MotionToTracks", motion=loaded, **inputs))
        with pytest.raises(NodeFailed) as raised:
            graph.run()
        assert message in raised.value.exception_message
        del graph.prompt[shown.id]
    graph.add("GID_MotionToFlow", motion=loaded, filename_prefix="../out")
    with pytest.raises(PromptRejected) as rejected:
        graph.run()
    assert "inside the output folder" in json.dumps(rejected.value.node_errors)
