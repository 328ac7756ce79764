"""Cancel stops any node quickly and does not affect the next prompt."""

import pytest
import torch

import gid_core as gid
from comfy_server import Interrupted
from deadline import Clock

MAX_CANCEL_SECONDS = 1.5  # without the time in which other programs have the cores
LARGE = (288, 512)


@pytest.fixture
def progress(messages):
    """progress(prompt_id, share): wait until a node has done this share of its work; its (value, max)."""

    def wait_for(prompt_id, share):
        while True:
            message = messages.next()
            if isinstance(message, bytes):  # a live preview
                continue
            data = message["data"]
            if data.get("prompt_id") != prompt_id:
                continue
            assert message["type"] not in ("execution_success", "execution_error"), (
                "the prompt ended before it was canceled"
            )
            if message["type"] == "progress" and data["value"] >= share * data["max"]:
                return data["value"], data["max"]

    return wait_for


def cancel_after(server, progress, prompt, share) -> float:
    """Interrupt a prompt after `share` of its work; the seconds that it takes to end."""
    before = {path for path in (server.base / "temp").rglob("*") if path.is_file()}
    prompt_id = server.queue(prompt)
    progress(prompt_id, share)
    clock = Clock()
    server.interrupt()
    with pytest.raises(Interrupted):
        server.wait(prompt_id, timeout=60)
    seconds = clock.seconds()
    assert {path for path in (server.base / "temp").rglob("*") if path.is_file()} == before
    return seconds


def check_next_prompt(graph):
    """Check that a prompt with one of this pack's nodes runs."""
    graph.prompt.clear()
    small = gid.SpectralVolume(torch.zeros(1, 16, 4, 8, 8))
    shown = graph.show(graph.add("GID_LoopMotion", spectral_volume=graph.volume(small))[2])
    assert graph.run(timeout=20).text(shown) == "150"


@pytest.mark.parametrize("share", [0.0, 0.1], ids=["first frame", "later"])
def test_cancel_a_long_render(server, graph, progress, make_volume, share):
    volume = graph.volume(make_volume((144, 256)))
    motion = graph.add("GID_LoopMotion", spectral_volume=volume, num_frames=600)
    image = graph.add("EmptyImage", width=LARGE[1], height=LARGE[0], batch_size=1, color=0x336699)
    frames = graph.add("GID_SoftmaxSplatRender", image=image, motion=motion)
    graph.save(frames)
    assert cancel_after(server, progress, graph.prompt, share) < MAX_CANCEL_SECONDS
    check_next_prompt(graph)


@pytest.mark.parametrize("share", [0.0, 0.7], ids=["flow begins", "after the flow"])
def test_cancel_a_long_extraction(server, graph, progress, tmp_path, share):
    y, x = torch.meshgrid(torch.arange(LARGE[0]) / 16, torch.arange(LARGE[1]) / 16, indexing="ij")
    waves = torch.stack([(torch.sin(x + 0.3 * torch.sin(t / 8 + y)) + 1) / 2 for t in torch.arange(24.0)])
    clip = gid.write_video(tmp_path / "waves.mp4", waves[..., None].expand(-1, -1, -1, 3), 30)
    measured = graph.add("GID_SpectralVolumeFromVideo", video=graph.video(clip))
    graph.add("GID_SaveSpectralVolume", spectral_volume=measured, filename_prefix="canceled/volume")
    seconds = cancel_after(server, progress, graph.prompt, share)
    assert not (server.base / "output" / "canceled").exists()
    assert seconds < MAX_CANCEL_SECONDS
    check_next_prompt(graph)


@pytest.mark.parametrize("share", [0.0, 0.1], ids=["first step", "later"])
def test_cancel_a_long_prediction(server, graph, progress, share):
    image = graph.add("EmptyImage", width=LARGE[1], height=LARGE[0], batch_size=1, color=0x336699)
    model = graph.add("GID_LoadModel", model_name="tiny.safetensors")
    made = graph.add("GID_PredictSpectralVolume", model=model, image=image, steps=100, variations=16)
    graph.add("GID_SaveSpectralVolume", spectral_volume=made, filename_prefix="canceled/prediction")
    seconds = cancel_after(server, progress, graph.prompt, share)
    assert not (server.base / "output" / "canceled").exists()
    assert seconds < MAX_CANCEL_SECONDS
    check_next_prompt(graph)


def test_queued_prompts_run_after_a_cancel(server, graph, progress, make_volume):
    volume = graph.volume(make_volume((144, 256)))
    image = graph.add("EmptyImage", width=LARGE[1], height=LARGE[0], batch_size=1, color=0x336699)
    graph.save(graph.add("GID_SoftmaxSplatRender", image=image, motion=volume))
    first = server.queue(graph.prompt)
    graph.prompt.clear()
    frames = graph.add(
        "GID_SoftmaxSplatRender",
        image=graph.image(torch.rand(24, 32, 3)),
        motion=graph.volume(make_volume((24, 32))),
        num_frames=4,
    )
    saved = graph.save(frames)
    second = server.queue(graph.prompt)
    progress(first, 0.0)
    server.interrupt()
    with pytest.raises(Interrupted):
        server.wait(first)
    graph.entry = server.wait(second)
    assert len(graph.images(saved)) == 4


def test_a_canceled_video_leaves_no_half_file(server, graph, progress, make_volume):
    motion = graph.add("GID_LoopMotion", spectral_volume=graph.volume(make_volume((144, 256))), num_frames=600)
    image = graph.add("EmptyImage", width=LARGE[1], height=LARGE[0], batch_size=1, color=0x336699)
    video = graph.add("GID_RenderLoopToVideo", image=image, motion=motion)
    graph.add("SaveVideo", video=video, filename_prefix="canceled/video")
    seconds = cancel_after(server, progress, graph.prompt, 0.05)  # also compares the files of the temp folder
    assert not list((server.base / "output").glob("canceled/*.mp4"))
    assert seconds < MAX_CANCEL_SECONDS
    check_next_prompt(graph)
