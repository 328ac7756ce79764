"""What `make demo` queues, on the server of the tests."""

import gid_core as gid
from demo import clip_prompt, flower_photo, flower_prompt


def test_the_photo_moves_and_loops(server, tmp_path, monkeypatch):
    monkeypatch.setattr("demo.OUT", tmp_path)
    files = server.outputs(server.run(flower_prompt(server)))
    frames, fps = gid.read_video(next(file for file in files if file.suffix == ".mp4"))
    photo = flower_photo()
    assert frames.shape == (150, *photo.shape) and fps == 30
    steps = (frames - frames.roll(1, 0)).abs().mean(dim=(1, 2, 3))
    assert (frames[0] - photo).abs().mean() < 0.02
    assert (frames[75] - frames[0]).abs().mean() > 0.01
    assert steps[0] < 1.3 * steps[1:].max()


def test_the_prompt_of_a_clip_names_the_uploaded_file(server, tmp_path):
    clip = gid.write_video(tmp_path / "my clip.mp4", flower_photo().expand(2, -1, -1, -1), 30)
    prompt = clip_prompt(server, clip)
    loaders = [node for node in prompt.values() if node["class_type"] == "LoadVideo"]
    assert [node["inputs"]["file"] for node in loaders] == ["my clip.mp4"]
