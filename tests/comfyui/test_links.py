"""Symbolic links in ComfyUI's folders are followed, also out of the folder, as ComfyUI's own nodes follow them."""

import shutil
from pathlib import Path

import pytest
import torch

import gid_core as gid
from comfy_server import PromptRejected


@pytest.fixture
def link(server, tmp_path):
    """link("input", name, target): a link in one of the server's folders. It is removed after the test."""
    made = []

    def make(folder: str, name: str, target: Path) -> Path:
        path = server.base / folder / name
        path.symlink_to(target, target_is_directory=target.is_dir())
        made.append(path)
        return path

    yield make
    for path in made:
        path.unlink()


@pytest.fixture
def elsewhere(tmp_path, make_volume):
    """A folder outside ComfyUI's, with a volume."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    make_volume((24, 32), seed=5).save(folder / "sway.safetensors")
    return folder


def offered(server) -> list[str]:
    kind, *options = server.object_info("GID_LoadSpectralVolume")["input"]["required"]["file"]
    return options[0]["options"] if kind == "COMBO" else kind


def loaded(graph, name) -> torch.Tensor:
    """The coefficients of the volume that Load Spectral Volume loads under a name."""
    graph.prompt.clear()
    node = graph.add("GID_LoadSpectralVolume", file=name)
    save = graph.add("GID_SaveSpectralVolume", spectral_volume=node, filename_prefix="links/copy")
    path = graph.server.base / "output" / graph.run().text(save).removesuffix(" [output]")
    coefficients = gid.SpectralVolume.load(path).coefficients
    shutil.rmtree(path.parent)
    return coefficients


def test_linked_files_and_folders_are_listed_and_loaded(server, graph, link, elsewhere):
    link("input", "linked file.safetensors", elsewhere / "sway.safetensors")
    link("input", "linked folder", elsewhere)
    link("output", "linked output", elsewhere)
    names = ["linked file.safetensors", "linked folder/sway.safetensors", "linked output/sway.safetensors [output]"]
    assert set(names) <= set(offered(server))
    expected = gid.SpectralVolume.load(elsewhere / "sway.safetensors").coefficients
    for name in names:
        assert torch.equal(loaded(graph, name), expected), name


def test_dead_links_are_not_offered_and_links_in_a_circle_end(server, link, elsewhere):
    link("input", "dead.safetensors", elsewhere / "gone.safetensors")
    link("input", "circle", server.base)  # holds input, which holds circle
    (elsewhere / "back").symlink_to(elsewhere)
    link("input", "folder", elsewhere)
    names = [name for name in offered(server) if name.startswith(("dead", "circle", "folder"))]
    assert [name for name in names if name.startswith("folder")] == ["folder/sway.safetensors"]
    assert not [name for name in names if name.startswith("dead") or name.count("circle") > 1]


def test_a_volume_is_saved_into_a_linked_folder(server, graph, link, elsewhere, make_volume):
    link("output", "disk", elsewhere)
    volume = graph.volume(make_volume((24, 32)))
    save = graph.add("GID_SaveSpectralVolume", spectral_volume=volume, filename_prefix="disk/new")
    name = graph.run().text(save)
    assert name == "disk/new_00001_.safetensors [output]" and (elsewhere / "new_00001_.safetensors").is_file()
    assert name in offered(server)


def test_two_dots_after_a_link_lead_nowhere_else(graph, link, elsewhere, make_volume):
    """The system would go up from where the link points to."""
    make_volume((24, 32)).save(elsewhere.parent / "secret.safetensors")
    link("input", "door", elsewhere)
    graph.add("GID_PreviewMotion", motion=graph.add("GID_LoadSpectralVolume", file="door/../secret.safetensors"))
    with pytest.raises(PromptRejected) as refused:
        graph.run()
    assert "No spectral volume named" in str(refused.value)


def test_linked_models_and_clips(server, graph, link, tmp_path, tiny_model, clip):
    folder = tmp_path / "models"
    folder.mkdir()
    shutil.copy(tiny_model, folder / "mine.safetensors")
    link("models/gid", "other disk", folder)
    link("models/gid", "linked.safetensors", folder / "mine.safetensors")
    link("input", "linked clip.mp4", clip)
    _, options = server.object_info("GID_LoadModel")["input"]["required"]["model_name"]
    names = {"other disk/mine.safetensors", "linked.safetensors"}
    assert names <= {name.replace("\\", "/") for name in options["options"]}
    video = graph.add("LoadVideo", file="linked clip.mp4")
    measured = graph.show(graph.add("GID_SpectralVolumeFromVideo", video=video, max_size=64)[2])
    for name in sorted(names):
        graph.show(graph.add("GID_LoadModel", model_name=name))
    assert float(graph.run().text(measured)) == 8
