"""Softmax Splat Render tells before it renders what Create Video and Save Video cannot write."""

import json

import av
import numpy as np
import pytest

from comfy_server import NodeFailed


@pytest.fixture
def rendered(graph, make_volume):
    """rendered(channels, height, width): the render node of such an image, two frames."""

    def add(channels, height, width):
        pixels = np.full((height, width, 4), 0.5)
        image = graph.image(pixels[..., :3] if channels == 3 else pixels)
        if channels == 4:
            image = graph.add("JoinImageWithAlpha", image=image, alpha=image[1])
        return graph.add(
            "GID_SoftmaxSplatRender", image=image, motion=graph.volume(make_volume((24, 32))), num_frames=2
        )

    return add


def video_of(graph, frames):
    video = graph.add("CreateVideo", images=frames, fps=30.0)
    return graph.add("SaveVideo", video=video, filename_prefix="saved/clip")


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((4, 24, 32), ["has alpha", "Split Image with Alpha", "Render Loop To Video"]),
        ((3, 25, 32), ["32 x 25", "odd side", "Crop or resize"]),
        ((3, 24, 31), ["31 x 24", "odd side"]),
        ((4, 25, 31), ["has alpha", "odd side"]),
    ],
    ids=str,
)
def test_frames_that_save_video_refuses_are_refused_before_rendering(server, graph, rendered, shape, words):
    previews = set((server.base / "temp").glob("gid_*"))
    video_of(graph, rendered(*shape))
    with pytest.raises(NodeFailed) as failed:
        graph.run()
    assert failed.value.node_type == "GID_SoftmaxSplatRender"
    for word in words:
        assert word in failed.value.exception_message
    assert set((server.base / "temp").glob("gid_*")) == previews, "it was rendered, or a probe was left"


def test_the_same_frames_may_be_saved_otherwise_and_are_noted(graph, rendered):
    """Through a node that takes alpha off, and as images."""
    alpha, odd = rendered(4, 24, 32), rendered(3, 25, 31)
    videos = [
        video_of(graph, graph.add("SplitImageWithAlpha", image=alpha)),
        video_of(graph, graph.add("ImageScale", image=odd, width=32, height=24)),
    ]
    images = [graph.save(alpha), graph.save(odd)]
    texts, _ = graph.run_and_listen()
    assert all(graph.files(video)[0].stat().st_size > 500 for video in videos)
    assert [graph.images(node).shape[1:] for node in images] == [(24, 32, 4), (25, 31, 3)]
    assert "has alpha" in texts[alpha.id] and "odd side" in texts[odd.id]


def test_an_even_image_without_alpha_is_saved_without_a_note(graph, rendered):
    frames = rendered(3, 24, 32)
    video = video_of(graph, frames)
    texts, _ = graph.run_and_listen()
    assert texts[frames.id] == "" and graph.files(video)[0].is_file()


def test_a_batch_of_four_images_has_no_alpha(graph, make_volume):
    image = graph.add("EmptyImage", width=32, height=24, batch_size=4, color=0x336699)
    volume = graph.volume(make_volume((24, 32)))
    video = video_of(graph, graph.add("GID_SoftmaxSplatRender", image=image, motion=volume, num_frames=1))
    assert graph.run().files(video)


def test_save_webm_writes_the_frames_and_the_prompt(graph, rendered):
    save = graph.add("SaveWEBM", images=rendered(3, 24, 32), fps=30.0)
    (file,) = graph.run().files(save)
    with av.open(str(file)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 2
        assert json.loads(container.metadata["PROMPT"]) == graph.prompt
