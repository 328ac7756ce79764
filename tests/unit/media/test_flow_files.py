"""Flow files: other readers get back the same numbers."""

import struct

import av
import cv2
import numpy as np
import pytest
import torch

import gid_core as gid


@pytest.fixture
def flow() -> torch.Tensor:
    return torch.randn(2, 7, 11, generator=torch.Generator().manual_seed(0)) * 100


def test_flo_is_middleburys(flow, tmp_path):
    path = gid.write_flow(tmp_path / "a.flo", flow)
    data = path.read_bytes()
    assert struct.unpack("<fii", data[:12]) == (202021.25, 11, 7)
    values = np.frombuffer(data[12:], "<f4").reshape(7, 11, 2)
    assert np.array_equal(values, flow.permute(1, 2, 0).numpy())
    assert np.array_equal(cv2.readOpticalFlow(str(path)), values)


def test_exr_holds_dx_in_red_and_dy_in_green(flow, tmp_path):
    path = gid.write_flow(tmp_path / "A.EXR", flow)
    assert path.read_bytes()[:4] == b"v/1\x01"
    with av.open(str(path)) as file:
        frame = next(file.decode(video=0))
    assert frame.format.name == "gbrpf32le"
    pixels = frame.to_ndarray()
    assert np.array_equal(pixels[..., :2], flow.permute(1, 2, 0).numpy()) and not pixels[..., 2].any()


def test_exr_names_its_channels_and_keeps_floats(tmp_path):
    """By the file itself, so that a mistake that a writer and a reader share would be seen."""
    flow = torch.tensor([[[1.5]], [[-0.25]]])
    data = gid.write_flow(tmp_path / "a.exr", flow).read_bytes()
    start = data.index(b"channels\0chlist\0") + len(b"channels\0chlist\0") + 4
    channels = [data[start + 18 * i : start + 18 * i + 18] for i in range(3)]
    assert [(c[:2], struct.unpack("<i", c[2:6])[0]) for c in channels] == [(b"B\0", 2), (b"G\0", 2), (b"R\0", 2)]
    # A block that does not shrink is stored as it is: B, G and R of the one pixel.
    assert data.endswith(struct.pack("<fff", 0, -0.25, 1.5))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("a.png", torch.zeros(2, 3, 3), r"\.flo or \.exr; got"),
        ("a.flo", torch.zeros(3, 3, 3), r"\[2, H, W\]"),
        ("a.exr", torch.full((2, 3, 3), torch.nan), "finite"),
    ],
)
def test_other_files_and_values_are_refused(tmp_path, name, value, message):
    with pytest.raises(ValueError, match=message):
        gid.write_flow(tmp_path / name, value)
    assert not list(tmp_path.iterdir())
