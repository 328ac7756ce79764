"""Upsampling along the photo's outlines: what must not change, and sharper edges of motion."""

import pytest
import torch

from gid_core.models.upsampling import upsample_to_photo
from gid_core.motion import playback
from gid_core.spectral_volume import SpectralVolume
from gid_core.synthetic.random_scene import random_scene
from random_tensors import random_normal, random_uniform


def photo(batch, height, width, seed=0):
    return random_uniform(batch, 3, height, width, seed=seed)


SIZES = [((6, 8), (24, 32)), ((6, 8), (25, 39)), ((5, 9), (11, 80)), ((1, 1), (7, 5)), ((9, 16), (17, 31))]


@pytest.mark.parametrize(("coarse", "size"), SIZES)
def test_constant_motion_stays_constant(coarse, size):
    constant = random_normal(1, 3, 4, 1, 1).expand(1, 3, 4, *coarse)
    upsampled = upsample_to_photo(SpectralVolume(constant), photo(1, *size), size)
    ratio = torch.tensor([size[1] / coarse[1]] * 2 + [size[0] / coarse[0]] * 2).view(1, 1, 4, 1, 1)
    expected = (constant[..., :1, :1] * ratio).expand(1, 3, 4, *size)
    torch.testing.assert_close(upsampled.coefficients, expected, rtol=1e-3, atol=1e-4)


def test_static_regions_stay_static():
    values = random_normal(1, 3, 4, 9, 24)
    values[..., 8:] = 0
    upsampled = upsample_to_photo(SpectralVolume(values), photo(1, 36, 96), (36, 96)).coefficients
    # The smoothing has long, thin tails; `suppress_faint_motion` makes them exactly zero (test_motion_refinement.py).
    margin = 6  # pixels of the volume
    assert upsampled[..., (8 + margin) * 4 :].abs().max() < 1e-3 * upsampled.abs().max()
    assert (upsampled[..., : 8 * 4] != 0).any()
    static = upsample_to_photo(SpectralVolume(0 * values), photo(1, 36, 96), (36, 96))
    assert (static.coefficients == 0).all()


def test_smooth_motion_over_a_uniform_photo_is_interpolated():
    y, x = torch.meshgrid(torch.linspace(0, 1, 24), torch.linspace(0, 1, 32), indexing="ij")
    smooth = torch.stack([2 + x, 3 - y, 1 + x + y, 2 * y + 2])[None, None].repeat(1, 2, 1, 1, 1)
    volume = SpectralVolume(smooth)
    upsampled = upsample_to_photo(volume, torch.full((1, 3, 96, 128), 0.4), (96, 128)).coefficients
    inside = (..., slice(40, -40), slice(40, -40))  # near the border, means of a plane are not the plane
    torch.testing.assert_close(upsampled[inside], volume.resize((96, 128)).coefficients[inside], rtol=1e-4, atol=1e-4)


def test_motion_ends_at_color_edges():
    """A red square that moves over a static gray background; its border lies inside coarse pixels."""
    inside = torch.zeros(48, 64)
    inside[14:35, 18:46] = 1
    image = torch.where(inside > 0, torch.tensor([0.8, 0.2, 0.2]).view(3, 1, 1), torch.full((3, 1, 1), 0.5))[None]
    exact = SpectralVolume(10 * inside * torch.ones(1, 2, 4, 1, 1))
    coarse = exact.resize((12, 16))
    plain = coarse.resize((48, 64)).coefficients
    upsampled = upsample_to_photo(coarse, image, (48, 64)).coefficients
    error, before = ((each - exact.coefficients).abs().mean() for each in (upsampled, plain))
    assert float(error) < 0.4 * float(before)


def test_photos_of_a_batch_are_independent():
    volume, images = SpectralVolume(random_normal(3, 2, 4, 6, 8)), photo(3, 24, 32)
    batch = upsample_to_photo(volume, images, (25, 33)).coefficients
    for b in range(3):
        single = upsample_to_photo(SpectralVolume(volume.coefficients[b : b + 1]), images[b : b + 1], (25, 33))
        torch.testing.assert_close(batch[b : b + 1], single.coefficients)


def test_upsampled_motion_begins_at_rest():
    volume = SpectralVolume(random_normal(1, 6, 4, 9, 16) * 100, detrend="ramp").at_rest()
    upsampled = upsample_to_photo(volume, photo(1, 90, 160), (45, 80))
    assert (upsampled.detrend, upsampled.period, upsampled.fps) == ("ramp", 150, 30)
    first = playback(upsampled).displacement(0, 1)
    assert float(first.abs().max()) < 1e-5 * float(playback(upsampled).displacement().abs().max())


@pytest.mark.parametrize("size", [(6, 8), (3, 4), (6, 20), (20, 8), (2, 30)])
def test_volumes_that_are_large_enough_are_only_resized(size):
    volume = SpectralVolume(random_normal(1, 2, 4, 6, 8))
    upsampled = upsample_to_photo(volume, photo(1, 50, 60), size)
    torch.testing.assert_close(upsampled.coefficients, volume.resize(size).coefficients)


def test_edges_get_sharper_and_other_regions_hardly_change():
    scene = random_scene(2, (144, 256), supersample=2)
    exact = scene.spectral_volume(4)
    image = torch.from_numpy(scene.render(0)).permute(2, 0, 1)[None].float()
    coarse = exact.resize((36, 64))
    jump = exact.coefficients.diff(dim=-1).abs().amax((0, 1, 2))
    edge = torch.nn.functional.max_pool2d((jump > 0.1 * jump.max()).float()[None], 9, 1, 4)[0] > 0
    edge = torch.nn.functional.pad(edge, (0, 1))
    errors = [
        (each.coefficients - exact.coefficients).norm(dim=2).mean((0, 1))
        for each in (upsample_to_photo(coarse, image, (144, 256)), coarse.resize((144, 256)))
    ]
    assert float(errors[0][edge].mean()) < 0.6 * float(errors[1][edge].mean())
    # Texture elsewhere adds less than 0.02 px.
    assert float(errors[0][~edge].mean()) * 2 / exact.period < 0.02
