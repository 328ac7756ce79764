"""Images in sizes that videos take."""

import pytest
import torch

import gid_core as gid


@pytest.mark.parametrize(
    ("size", "longest_side", "expected"),
    [
        ((3000, 2001), 1280, (1280, 854)),
        ((60, 100), 50, (30, 50)),
        ((33, 99), 33, (10, 32)),
        ((64, 96), 1280, (64, 96)),
        ((71, 93), 1280, (70, 92)),
        ((1, 1), 64, (2, 2)),
        ((1, 300), 100, (2, 100)),
    ],
)
def test_sides_are_even_and_small_enough(size, longest_side, expected):
    assert gid.fit_image(torch.rand(*size, 3), longest_side).shape == (1, *expected, 3)


def test_a_small_image_keeps_its_pixels():
    image = torch.rand(2, 21, 34, 4)
    assert torch.equal(gid.fit_image(image), image[:, :20])


def test_a_large_image_keeps_its_look():
    columns = torch.linspace(0, 1, 400).expand(1, 300, 400)
    fitted = gid.fit_image(torch.stack([columns, columns.flip(2), columns], -1), 100)
    assert fitted.shape == (1, 74, 100, 3)
    expected = (torch.arange(100) + 0.5) / 100
    assert (fitted[0, 30, :, 0] - expected).abs().max() < 0.01


def test_transparent_colors_do_not_bleed():
    image = torch.zeros(1, 40, 40, 4)
    image[..., 1] = 1.0  # green, and transparent
    image[:, :, 20:] = torch.tensor([1.0, 0.0, 0.0, 1.0])
    fitted = gid.fit_image(image, 10)[0]
    visible = fitted[fitted[..., 3] > 0]
    assert len(visible) and (visible[:, 1] < 1e-3).all()
