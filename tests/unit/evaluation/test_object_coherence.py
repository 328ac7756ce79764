"""Measures of motion that follows objects, on motion whose values are known."""

import math

import numpy as np
import pytest
import torch

import gid_core as gid
from gid_core.evaluation.object_coherence import (
    affine_residual,
    lattice_share,
    object_curves,
    object_rank_correlation,
    volume_lattice_share,
)
from gid_core.synthetic.random_scene import random_scene
from random_tensors import random_normal

SIZE = (72, 128)


def volume_of(maps: torch.Tensor) -> gid.SpectralVolume:
    """A volume of bins [K - 1, 4, H, W]."""
    return gid.SpectralVolume(torch.cat([torch.zeros(1, *maps.shape[1:]), maps])[None] * 50)


def patches(cells: int, seed: int = 0) -> torch.Tensor:
    """Square objects of `cells` cells, each with one random motion: bins [5, 4, 72, 128]."""
    coarse = random_normal(5, 4, math.ceil(72 / cells), math.ceil(128 / cells), seed=seed)
    return coarse.repeat_interleave(cells, 2).repeat_interleave(cells, 3)[..., :72, :128]


def test_a_picture_that_moves_as_one_is_coherent_and_even_at_every_distance():
    curves = object_curves(volume_of(random_normal(5, 4, 1, 1).expand(-1, -1, *SIZE).clone()))
    assert torch.allclose(curves.coherence, torch.ones(4, dtype=torch.float64))
    assert torch.allclose(curves.unevenness, torch.zeros(4, dtype=torch.float64))


def test_curves_do_not_depend_on_the_size_of_motion():
    volume = volume_of(patches(8))
    small, large = object_curves(volume), object_curves(volume.amplify(7.0))
    assert torch.allclose(small.coherence, large.coherence) and torch.allclose(small.unevenness, large.unevenness)


def test_coherence_ends_with_the_objects():
    """Of objects 8 cells wide, pairs 2 cells apart lie in one object in 6 of 8 places, pairs 16 apart in none."""
    curves = object_curves(volume_of(patches(8)))
    assert curves.coherence[0] > 0.78 and curves.unevenness[0] == 0
    assert curves.coherence[0] > curves.coherence[1] > curves.coherence[2] + 0.1
    assert curves.coherence[2] == pytest.approx(float(curves.coherence[3]), abs=0.06)


def test_noise_is_less_coherent_and_less_even_than_objects():
    noise, objects = object_curves(volume_of(random_normal(5, 4, *SIZE))), object_curves(volume_of(patches(8)))
    assert (noise.coherence[:2] < objects.coherence[:2] - 0.15).all()
    assert noise.coherence_distance(objects) > 0.15 and objects.coherence_distance(objects) == 0
    assert noise.unevenness_distance(objects) > 0.22


def test_a_phase_that_all_frequencies_share_does_not_count():
    volume = volume_of(patches(8))
    turned = volume.coefficients.unflatten(2, (2, 2))
    turned = torch.stack([-turned[:, :, :, 1], turned[:, :, :, 0]], 3).flatten(2, 3)
    again = object_curves(volume.replace(coefficients=turned))
    assert torch.allclose(again.coherence, object_curves(volume).coherence)


def test_a_still_picture_has_no_curves():
    curves = object_curves(volume_of(torch.zeros(5, 4, *SIZE)))
    assert curves.coherence.isnan().all() and curves.unevenness.isnan().all()


def test_affine_motion_of_every_object_leaves_nothing():
    labels = np.zeros(SIZE, int)
    labels[10:40, 10:50], labels[20:60, 70:110] = 1, 2
    y, x = torch.meshgrid(torch.arange(72.0), torch.arange(128.0), indexing="ij")
    maps = torch.zeros(5, 4, *SIZE)
    for label, seed in ((1, 3), (2, 4)):
        a, b, c = random_normal(3, 5, 4, 1, 1, seed=seed)
        maps += (a + b * x / 50 + c * y / 50) * torch.as_tensor(labels == label)
    assert affine_residual(volume_of(maps), labels) < 1e-9
    noisy = maps + 0.5 * random_normal(5, 4, *SIZE)
    assert 0.03 < affine_residual(volume_of(noisy), labels) < 0.5
    assert math.isnan(affine_residual(volume_of(maps), np.zeros(SIZE, int)))


def test_true_motion_of_a_scene_is_nearly_affine_per_object_and_jelly_is_not():
    scene = random_scene(4, SIZE)
    true, labels = scene.spectral_volume(), scene.labels()
    smooth = torch.nn.functional.interpolate(random_normal(16, 4, 9, 16), SIZE, mode="bicubic")
    activity = true.coefficients[0].square().sum((0, 1)).sqrt()
    jelly = true.replace(coefficients=(smooth * activity)[None])
    assert affine_residual(true, labels) < 0.5 * affine_residual(jelly, labels)


@pytest.mark.parametrize("axis", [0, 1], ids=["rows", "columns"])
@pytest.mark.parametrize("period", [4, 7])
def test_a_lattice_shows_and_none_does_not(axis, period):
    true = random_scene(4, SIZE).spectral_volume()
    wave = torch.cos(torch.arange(SIZE[axis]) * (2 * math.pi / period))
    lattice = 1 + 0.2 * (wave[:, None] if axis == 0 else wave)
    assert lattice_share(true, period) < 0.1
    assert lattice_share(true.replace(coefficients=true.coefficients * lattice), period) > 0.3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda v: object_curves(v, (0, 2)), "at least 1 cell"),
        (lambda v: affine_residual(v, np.zeros((3, 4), int)), r"labels must be \[72, 128\]"),
        (lambda v: lattice_share(v, 1), "at least 2 pixels"),
        (lambda v: object_curves(v.replace(coefficients=v.coefficients.repeat(2, 1, 1, 1, 1))), "photo"),
    ],
)
def test_wrong_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(volume_of(patches(8)))


def stems():
    """Two objects whose motion grows along x (the first) and along y (the second), and their labels."""
    labels = np.zeros(SIZE, int)
    labels[10:20, 10:60], labels[30:70, 80:90] = 1, 2
    y, x = torch.meshgrid(torch.arange(72.0), torch.arange(128.0), indexing="ij")
    growth = torch.where(torch.as_tensor(labels) == 1, x - 9, torch.where(torch.as_tensor(labels) == 2, y - 29, 0.0))
    return growth * random_normal(5, 4, 1, 1, seed=5), labels


def test_an_object_that_moves_more_toward_its_tip_is_told_from_its_reverse():
    maps, labels = stems()
    true = volume_of(maps)
    assert object_rank_correlation(true, true.amplify(0.2), labels) == pytest.approx(1)
    half = maps.clone()
    half[..., 10:60] = half[..., 10:60].flip(-1)  # the first object moves more at its root
    assert object_rank_correlation(true, volume_of(half), labels) == pytest.approx(0, abs=1e-6)
    assert object_rank_correlation(volume_of(half), true, labels) == pytest.approx(0, abs=1e-6)


def test_objects_that_move_evenly_have_no_order():
    maps, labels = stems()
    even = volume_of(random_normal(5, 4, 1, 1).expand(-1, -1, *SIZE).clone())
    assert math.isnan(object_rank_correlation(volume_of(maps), even, labels))
    assert math.isnan(object_rank_correlation(even, volume_of(maps), labels))
    with pytest.raises(ValueError, match="one size"):
        object_rank_correlation(volume_of(maps), even, labels[:50])


def test_the_lattice_of_latents_is_seen_at_any_resolution():
    x = torch.arange(128.0)
    stripes = volume_of((1 + 0.4 * (x % 4 == 1)) * random_normal(5, 4, 1, 1).expand(-1, -1, *SIZE))
    assert volume_lattice_share(stripes) == pytest.approx(1, abs=1e-6)
    large = stripes.resize((144, 256))
    assert volume_lattice_share(large) > 0.9 and lattice_share(large, 8) > 0.9
    assert lattice_share(large, 6) < 0.1
