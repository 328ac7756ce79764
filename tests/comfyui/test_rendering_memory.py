"""Render Loop To Video writes what Softmax Splat Render returns; holes are made only where they are connected."""

import numpy as np
import pytest
import torch

import gid_core as gid
from comfy_server import NodeFailed


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """A smooth photo, [72, 128, 3]."""
    coarse = torch.rand(1, 3, 9, 16, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, (72, 128), mode="bilinear")[0].permute(1, 2, 0).numpy()


def saved_video(server, graph, node):
    """The file that Save Video writes of a node's video: frames, frames per second."""
    save = graph.add("SaveVideo", video=node, filename_prefix="streamed/clip")
    graph.run()
    (file,) = graph.entry["outputs"][save.id]["images"]
    return gid.read_video(server.base / "output" / file["subfolder"] / file["filename"])


@pytest.mark.parametrize("model", [False, True], ids=["fast splat", "network"])
def test_the_video_shows_the_frames_of_softmax_splat_render(server, graph, photo, volume, model):
    inputs = dict(image=graph.image(photo), motion=graph.volume(volume), start_frame=140, num_frames=20)
    if model:
        inputs["model"] = graph.add("GID_LoadModel")
    frames = graph.save(graph.add("GID_SoftmaxSplatRender", **inputs))
    node = graph.add("GID_RenderLoopToVideo", **inputs, crf=4)
    video, fps = saved_video(server, graph, node)
    assert fps == 30 and video.shape == (20, 72, 128, 3)
    expected = torch.from_numpy(graph.images(frames)).float() / 255
    assert (video - expected).abs().mean() < 0.01
    assert (expected[10] - expected[0]).abs().mean() > 0.01  # it moves
    (preview,) = graph.entry["outputs"][node.id]["gid_loop"]
    assert (server.base / "temp" / preview["subfolder"] / preview["filename"]).stat().st_size > 1000


def test_odd_sides_and_alpha_are_written(server, graph, photo, volume):
    odd = np.concatenate([photo[:71, :127], np.ones((71, 127, 1))], 2)
    source = graph.image(odd)
    joined = graph.add("JoinImageWithAlpha", image=source, alpha=source[1])
    node = graph.add("GID_RenderLoopToVideo", image=joined, motion=graph.volume(volume), num_frames=3)
    video, _ = saved_video(server, graph, node)
    assert video.shape == (3, 72, 128, 3)


def test_other_nodes_read_the_video(server, graph, photo, volume):
    node = graph.add("GID_RenderLoopToVideo", image=graph.image(photo), motion=graph.volume(volume), num_frames=5)
    saved = graph.save(graph.add("GetVideoComponents", video=node))
    assert graph.run().images(saved).shape == (5, 72, 128, 3)


@pytest.mark.parametrize("connected", [False, True])
def test_a_tensor_that_does_not_fit_is_refused_and_holes_count_only_where_connected(graph, volume, connected):
    image = graph.add("EmptyImage", width=2048, height=1536, batch_size=1, color=0x336699)
    frames = graph.add("GID_SoftmaxSplatRender", image=image, motion=graph.volume(volume), num_frames=100_000)
    graph.save(frames)
    if connected:
        graph.save(graph.add("MaskToImage", mask=frames[1]))
    with pytest.raises(NodeFailed) as failure:
        graph.run()
    size = "100000 frames of 2048 x 1536 pixels" + (" and their holes" if connected else "")
    need = 2048 * 1536 * 100_000 * (16 if connected else 12) / 1e9
    assert f"{size} need {need:.1f} GB of memory" in failure.value.exception_message
    assert "Render Loop To Video" in failure.value.exception_message


def test_holes_are_made_when_they_are_connected_later(caching_graph, photo, volume):
    graph = caching_graph
    frames = graph.add("GID_SoftmaxSplatRender", image=graph.image(photo), motion=graph.volume(volume), num_frames=2)
    first = graph.save(frames)
    assert graph.run().images(first).shape == (2, 72, 128, 3)
    holes = graph.save(graph.add("MaskToImage", mask=frames[1]))
    assert graph.run().images(holes).shape[:3] == (2, 72, 128)
