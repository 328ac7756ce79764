"""The elastic mesh: its modes against beam theory, and invalid meshes."""

import numpy as np
import pytest

from gid_core.sources.spring_mesh import elastic_modes


def cantilever(length=60, thick=2):
    density = np.ones((length + 1, thick))
    held = np.zeros_like(density, dtype=bool)
    held[-1] = True
    return elastic_modes(density, held, 4)


@pytest.mark.parametrize("thick", [1, 2, 4])
def test_frequencies_of_a_slender_bar_are_those_of_a_beam(thick):
    modes = cantilever(thick=thick)
    ratio = modes.frequencies / modes.frequencies[0]
    # Euler-Bernoulli: (1.8751, 4.6941, 7.8548)^2
    assert ratio[1] == pytest.approx(6.267, rel=0.05)
    assert ratio[2] == pytest.approx(17.55, rel=0.08)


def test_the_first_mode_of_a_bar_is_that_of_a_beam():
    shape = cantilever().shapes[0]
    assert np.abs(shape[1]).max() < 0.05 * np.abs(shape[0]).max()
    height = np.linspace(0, 1, 61)
    beta, ratio = 1.8751, 0.7341
    expected = np.cosh(beta * height) - np.cos(beta * height) - ratio * (np.sinh(beta * height) - np.sin(beta * height))
    found = shape[0, :61, 0][::-1]
    np.testing.assert_allclose(found / found[-1], expected / expected[-1], atol=0.02)


def test_the_frequency_of_a_bar_scales_as_that_of_a_beam():
    # f_1 ~ thickness / length^2
    base = cantilever(60, 2).frequencies[0]
    assert cantilever(60, 4).frequencies[0] / base == pytest.approx(
        2, rel=0.12
    )  # springs across take part in thin bars
    assert cantilever(30, 2).frequencies[0] / base == pytest.approx(4, rel=0.06)


def test_a_bar_across_two_half_filled_columns_is_as_stiff_as_within_one():
    density = np.full((61, 2), 0.5)
    held = np.zeros_like(density, dtype=bool)
    held[-1] = True
    assert elastic_modes(density, held, 1).frequencies[0] == pytest.approx(cantilever(60, 1).frequencies[0], rel=0.3)


def test_low_densities_are_raised_to_the_minimum():
    held = np.zeros((31, 1), bool)
    held[-1] = True
    thin, least = (elastic_modes(np.full((31, 1), density), held, 2).frequencies for density in (0.01, 0.25))
    np.testing.assert_allclose(thin, least)


def test_modes_are_orthogonal_and_both_solvers_agree():
    modes = cantilever(20, 2)
    product = np.einsum("mdyx,ndyx,yx->mn", modes.shapes, modes.shapes, modes.mass)
    np.testing.assert_allclose(product, np.eye(4), atol=1e-8)
    import gid_core.sources.spring_mesh as mesh

    sparse, max_dense = cantilever(60, 2), mesh.MAX_DENSE_UNKNOWNS
    try:
        mesh.MAX_DENSE_UNKNOWNS = 10**6
        np.testing.assert_allclose(cantilever(60, 2).frequencies, sparse.frequencies, rtol=1e-5)
    finally:
        mesh.MAX_DENSE_UNKNOWNS = max_dense


def test_a_mesh_must_be_held_and_able_to_move():
    density = np.ones((5, 5))
    with pytest.raises(ValueError, match="held nowhere"):
        elastic_modes(density, np.zeros((5, 5), bool), 2)
    with pytest.raises(ValueError, match="leave some to move"):
        elastic_modes(density, np.ones((5, 5), bool), 2)
