"""docs/recipes.md: its Python runs line by line, on a small photo and with a small model."""

import re
import runpy

import torch

import gid_core as gid
from gid_core.synthetic.random_scene import stems_scene

WRITTEN = {  # by the heading of the recipe
    "A photo that visitors can touch": "flowers.html",
    "A long loop, streamed to a file": "background.mp4",
    "Tracks that steer a video model": "tracks.json tracks.png",
    "Tracks of another program as motion": "tracked.mp4 loop.mp4",
    "Flow files for compositing": "flow_00000.exr flow_00149.exr",
    "Another look with the same motion": "poster.mp4",
    "A generated clip as an endless loop": "endless.mp4",
    "Frames that a video model goes on from": "frame_000.png frame_080.png",
}


def recipes(text: str) -> dict[str, str]:
    """The Python block of each section by its heading; "" for what all begin with."""
    sections = re.split(r"^## (.*)\n", "## \n" + text, flags=re.MULTILINE)
    blocks = {}
    for heading, section in zip(sections[1::2], sections[2::2], strict=True):
        (blocks[heading],) = re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return blocks


def test_every_recipe_runs_and_writes_its_files(repo, tiny_model, tmp_path, monkeypatch):
    blocks = recipes((repo / "docs" / "recipes.md").read_text(encoding="utf-8"))
    beginning = blocks.pop("")
    assert set(blocks) == set(WRITTEN)
    monkeypatch.chdir(tmp_path)
    scene = stems_scene(seed=2, size=(48, 64), widths=(5,), supersample=2)
    gid.write_image("photo.png", torch.from_numpy(scene.render(0)))
    gid.write_video("generated.mp4", torch.from_numpy(scene.frames(32)), 16)
    load = gid.GIDPipeline.from_pretrained
    monkeypatch.setattr(gid.GIDPipeline, "from_pretrained", lambda: load(tiny_model))

    def run(code: str, variables: dict) -> dict:
        (tmp_path / "recipe.py").write_text(code)
        return runpy.run_path("recipe.py", variables)

    variables = run(beginning, {})
    for heading, code in blocks.items():
        for name in WRITTEN[heading].split():
            assert not (tmp_path / name).exists(), f"{heading}: another recipe writes {name}"
        run(code, variables)
        for name in WRITTEN[heading].split():
            assert (tmp_path / name).stat().st_size > 0, f"{heading} does not write {name}"
    frames, fps = gid.read_video("background.mp4")
    assert len(frames) == 1800 and fps == 30
