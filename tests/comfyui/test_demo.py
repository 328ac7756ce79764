"""The prompts of `make demo` on the test server."""

import pytest

import gid_core as gid
from demo import CLIP_DEMO, PHOTO, PHOTO_DEMO, demo_prompt
from gid_core.models.checkpoint import BUNDLED_CHECKPOINT


@pytest.mark.skipif(not BUNDLED_CHECKPOINT.is_file(), reason=f"{BUNDLED_CHECKPOINT.name} is not in this checkout")
def test_the_photo_moves_and_loops(server):
    prompt = demo_prompt(server, PHOTO_DEMO, PHOTO)
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


@pytest.mark.parametrize(
    ("demo", "loader", "widget"), [(PHOTO_DEMO, "LoadImage", "image"), (CLIP_DEMO, "LoadVideo", "file")]
)
def test_the_prompt_names_the_uploaded_file(server, tmp_path, demo, loader, widget):
    file = tmp_path / f"my own{'.png' if loader == 'LoadImage' else '.mp4'}"
    file.write_bytes(b"not read")
    prompt = demo_prompt(server, demo, file)
    ((number, node),) = ((number, node) for number, node in prompt.items() if node["class_type"] == loader)
    assert node["inputs"][widget] == file.name
    (sample,) = (node for node in prompt.values() if node["class_type"] == "GID_LoadSample")
    assert sample["inputs"][demo[1]] == [number, 0]
