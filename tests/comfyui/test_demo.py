"""The prompts of `make demo` on the test server."""

import pytest
import torch

import gid_core as gid
from demo import CLIP_DEMO, PHOTO, PHOTO_DEMO, demo_prompt, resize_for_video
from gid_core.models.checkpoint import BUNDLED_CHECKPOINT


@pytest.mark.skipif(not BUNDLED_CHECKPOINT.is_file(), reason=f"{BUNDLED_CHECKPOINT.name} is not in this checkout")
def test_the_photo_moves_and_loops(server, tmp_path):
    prompt = demo_prompt(server, PHOTO_DEMO, resize_for_video(PHOTO, tmp_path))
    for node in prompt.values():  # few steps are enough here
        if node["class_type"] == "GID_PredictSpectralVolume":
            node["inputs"] |= {"steps": 4, "guidance": 1.0}
    files = server.outputs(server.run(prompt, timeout=600))
    frames, fps = gid.read_video(next(file for file in files if file.suffix == ".mp4"))
    photo = gid.read_image(PHOTO)
    assert frames.shape == (150, *photo.shape) and fps == 30
    assert (frames[0] - photo).abs().mean() < 0.02
    assert max((frame - frames[0]).abs().mean() for frame in frames[::10]) > 0.004
    # H.264 blurs until its next key frame, which is the first frame. test_workflows tests the seam itself.
    assert (frames[-1] - frames[0]).abs().mean() < 0.012


@pytest.mark.parametrize("demo", [PHOTO_DEMO, CLIP_DEMO], ids=["photo", "clip"])
def test_the_prompt_names_the_uploaded_file(server, tmp_path, demo):
    suffix = {"LoadImage": ".png", "LoadVideo": ".mp4"}[demo[1]]
    file = tmp_path / f"my own{suffix}"
    file.write_bytes(b"not read")
    prompt = demo_prompt(server, demo, file)
    assert [node["inputs"][demo[2]] for node in prompt.values() if node["class_type"] == demo[1]] == [file.name]


@pytest.mark.parametrize(
    ("size", "expected"), [((71, 93), (70, 92)), ((3001, 2000), (1280, 852)), ((64, 96), (64, 96))]
)
def test_a_photo_is_resized_for_video(tmp_path, size, expected):
    photo = gid.write_image(tmp_path / "photo.jpg", torch.rand(*size, 3))
    (tmp_path / "sized").mkdir()
    assert tuple(gid.read_image(resize_for_video(photo, tmp_path / "sized")).shape) == (*expected, 3)
