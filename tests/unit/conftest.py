"""Fixtures of several folders: small files for commands in the working directory, and the ways to render."""

import pytest
import torch

from gid_core.media.image_io import write_image
from gid_core.rendering import fused_splat
from gid_core.synthetic.random_scene import stems_scene

# ---- commands ----


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


# ---- rendering ----


@pytest.fixture
def compiled(unavailable):
    """The compiled kernel, which the test must use."""
    if fused_splat._kernel() is None:
        unavailable("Numba is not installed, or fails here")
    return fused_splat._kernel()


@pytest.fixture
def by_pytorch(monkeypatch):
    """by_pytorch() makes the renderers run on PyTorch's operators from now on."""
    return lambda: monkeypatch.setattr(fused_splat, "_kernel", lambda: None)


@pytest.fixture(params=["compiled", "PyTorch"])
def both_ways(request):
    """The test runs twice."""
    if request.param == "compiled":
        request.getfixturevalue("compiled")
    else:
        request.getfixturevalue("by_pytorch")()
