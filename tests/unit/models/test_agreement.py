"""The bundled model predicts the same motion on every device and backend, up to 1e-3 of the motion in float32."""

from dataclasses import replace

import pytest
import torch

import gid_core as gid
from gid_core.models.pipeline import GIDPipeline


def predict(photo, device="cpu"):
    pipe = GIDPipeline.from_pretrained(device=device, dtype=torch.float32)
    config = pipe.model.config
    pipe.model.config = replace(config, volume=replace(config.volume, image_area=256 * 144))  # a quarter of the time
    return pipe(photo, num_inference_steps=6, seed=3, resolution=128)


@pytest.fixture(scope="module")
def photo(repo):
    return gid.read_image(repo / "assets" / "flowers.jpg")


@pytest.fixture(scope="module")
def expected(photo):
    return predict(photo)


def relative_difference(volume, other):
    difference = (volume.coefficients - other.coefficients).abs().max()
    return float(difference / volume.coefficients.abs().max())


def test_native_convolutions_agree_with_onednn(photo, expected):
    """PyTorch's native convolutions add up in another order than oneDNN's, as those of another device do."""
    with torch.backends.mkldnn.flags(enabled=False):
        assert 0 < relative_difference(expected, predict(photo)) <= 1e-3  # 5e-6 after 25 steps


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
def test_gpu_agrees_with_cpu(photo, expected):
    assert relative_difference(expected, predict(photo, "cuda")) <= 1e-3
    motion = gid.loop(expected)
    frames = []
    for device in ("cpu", "cuda"):
        pipe = GIDPipeline.from_pretrained(device=device, dtype=torch.float32)
        frames.append(gid.render(photo, motion, count=4, device=device, renderer=pipe.renderer))
    assert (frames[0] - frames[1]).abs().max() <= 2e-2 and (frames[0] - frames[1]).abs().mean() <= 1e-3
