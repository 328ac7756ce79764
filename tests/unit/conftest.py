"""Fixtures of the tests of commands: a folder with small files, which is the working directory."""

import pytest
import torch

from gid_core.media.image_io import write_image
from gid_core.synthetic.random_scene import stems_scene


@pytest.fixture(scope="session")
def stems():
    """A painted scene of 48 x 64 pixels."""
    return stems_scene(seed=2, size=(48, 64), widths=(5,), supersample=2)


@pytest.fixture
def files(tmp_path, monkeypatch, stems):
    """A folder with volume.safetensors and photo.png in it; the working directory."""
    monkeypatch.chdir(tmp_path)
    stems.spectral_volume().save("volume.safetensors")
    write_image("photo.png", torch.from_numpy(stems.render(0)))
    return tmp_path


@pytest.fixture
def model(files, tiny_model):
    """Those files, and a model.safetensors."""
    (files / "model.safetensors").write_bytes(tiny_model.read_bytes())
    return files
