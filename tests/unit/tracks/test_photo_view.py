"""The part of a photo that a picture shows: positions and pixels agree with a resized, cropped photo."""

import pytest
import torch

from gid_core.tracks.photo_view import PhotoView, cell_centers


@pytest.mark.parametrize(
    ("photo_size", "size", "margins"),
    [
        ((100, 200), (50, 100), (0, 0)),
        ((100, 200), (100, 100), (0, 50)),
        ((200, 100), (100, 100), (50, 0)),
        ((480, 640), (480, 832), (55, 0)),
        ((5, 4000), (1000, 2), (0, 1999)),
    ],
)
def test_margins_are_those_of_comfyui(photo_size, size, margins):
    assert PhotoView(photo_size, size).margins == margins
    assert PhotoView(photo_size, size).crop(torch.zeros(1, 1, *photo_size)).shape == (1, 1, *size)


@pytest.mark.parametrize("size", [(60, 80), (120, 160), (60, 60), (45, 90)])
def test_the_pixels_of_the_picture_are_those_of_the_crop(size):
    """A picture of coordinates: sampled at each pixel of the view, it says where the pixel is in the photo."""
    photo_size = (60, 80)
    view = PhotoView(photo_size, size)
    coordinates = cell_centers(photo_size, photo_size).T.reshape(1, 2, *photo_size)
    cropped, sampled = view.crop(coordinates), view.sample(coordinates, cell_centers(size, size))
    inner = (slice(None), slice(None), slice(3, -3), slice(3, -3))
    assert torch.allclose(cropped[inner], sampled.view(1, 2, *size)[inner], atol=1e-3)
    on_grid = view.on_grid(cell_centers(size, size), photo_size).T.reshape(1, 2, *size)
    assert torch.allclose(on_grid[inner], sampled.view(1, 2, *size)[inner], atol=1e-3)


def test_a_cell_is_as_many_pixels_as_the_picture_moves():
    view, grid = PhotoView((60, 80), (120, 120)), (30, 20)
    step = view.on_grid(torch.tensor([[10.0, 10.0], [11.0, 12.0]]), grid).diff(dim=0)[0]
    x, y = view.pixels_per_cell(grid)
    assert float(step[0]) * x == pytest.approx(1) and float(step[1]) * y == pytest.approx(2)
