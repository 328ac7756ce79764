"""What the shipped model makes does not depend on who does the arithmetic: relative to the motion, up to 1e-3."""

from dataclasses import replace

import pytest
import torch

import gid_core as gid
from gid_core.models.pipeline import GIDPipeline


def predicted(photo, device="cpu"):
    pipe = GIDPipeline.from_pretrained(device=device)
    config = pipe.model.config
    pipe.model.config = replace(config, volume=replace(config.volume, pixels=256 * 144))  # a quarter of the time
    return pipe(photo, num_inference_steps=6, seed=3, resolution=128)


@pytest.fixture(scope="module")
def photo(repo):
    return gid.read_image(repo / "assets" / "flowers.jpg")


@pytest.fixture(scope="module")
def usual(photo):
    return predicted(photo)


def relative(volume, other):
    difference = (volume.coefficients - other.coefficients).abs().max()
    return float(difference / volume.coefficients.abs().max())


def test_other_convolutions_on_the_cpu(photo, usual):
    """PyTorch's own instead of oneDNN's, which add up in another order, as those of another device do."""
    with torch.backends.mkldnn.flags(enabled=False):
        assert 0 < relative(usual, predicted(photo)) <= 1e-3  # 5e-6 after 25 steps


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
def test_the_gpu(photo, usual):
    assert relative(usual, predicted(photo, "cuda")) <= 1e-3
    motion = gid.loop(usual)
    frames = [
        gid.render(photo, motion, count=4, device=device, renderer=GIDPipeline.from_pretrained(device=device).renderer)
        for device in ("cpu", "cuda")
    ]
    assert (frames[0] - frames[1]).abs().max() <= 2e-2 and (frames[0] - frames[1]).abs().mean() <= 1e-3
