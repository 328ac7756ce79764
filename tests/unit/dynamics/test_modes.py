"""Modes: what the forces need to know about a volume, each computed once."""

import math

import numpy as np
import pytest
import torch

import gid_core as gid
from dynamics_volumes import natural_volume, plants
from gid_core.dynamics import modes as modes_module
from gid_core.dynamics.modes import Modes
from gid_core.spectral_volume import SpectralVolume


def test_frequencies_are_those_of_the_bins():
    modes = Modes(natural_volume(bins=6, fps=24.0, period=60))
    np.testing.assert_allclose(modes.frequencies, [0, 0.4, 0.8, 1.2, 1.6, 2.0])
    np.testing.assert_allclose(modes.omega, 2 * math.pi * modes.frequencies)
    np.testing.assert_allclose(modes.frequencies, modes.volume.frequencies, rtol=1e-6)


def test_activity_gives_the_rms_displacement_of_the_loop():
    volume = natural_volume()
    modes = Modes(volume)
    moved = gid.loop(volume).displacement()
    rms = (moved - moved.mean(1, keepdim=True)).square().sum(2).mean(1).sqrt()
    torch.testing.assert_close(modes.activity * math.sqrt(2) / volume.period, rms, atol=1e-5, rtol=1e-4)
    assert modes.max_rms_displacement == pytest.approx(float(rms.max()), rel=1e-4)
    coordinates = gid.loop(volume).coordinates[:, 1]
    magnitude = (coordinates - coordinates.mean(0)).norm(dim=-1)
    torch.testing.assert_close(magnitude, torch.full_like(magnitude, modes.loop_magnitude))


@pytest.mark.parametrize("loops", [False, True])
def test_a_wind_computes_the_activity_once(monkeypatch, loops):
    calls = []
    compute = modes_module._activity
    monkeypatch.setattr(modes_module, "_activity", lambda coefficients: calls.append(1) or compute(coefficients))
    gid.wind(natural_volume(), num_frames=30, loops=loops)
    assert len(calls) == 1


def test_ten_pokes_compute_the_activity_and_its_quantile_once(monkeypatch):
    calls = []
    quantile = np.quantile
    monkeypatch.setattr(modes_module.np, "quantile", lambda *arguments: calls.append(1) or quantile(*arguments))
    gid.poke(natural_volume(), [gid.Poke(0.9, 0.05 + 0.1 * i, 0.02) for i in range(10)], num_frames=10)
    assert len(calls) == 1


def test_alignment_is_the_phase_along_the_direction_and_how_well_the_mode_follows_it():
    modes = Modes(plants())
    alignment = modes.alignment(0.0)
    assert alignment[0] == 0
    rotated = alignment * np.exp(1j * np.linspace(0, 5, 8))  # the phases of the modes along x cancel
    np.testing.assert_allclose(rotated[1:], 1 / math.hypot(1, 0.2), atol=1e-4)
    np.testing.assert_allclose(modes.alignment(90.0)[1:] / alignment[1:], 0.2, atol=1e-4)
    opposite = torch.ones(1, 3, 4, 4, 8)
    opposite[..., :4] = -1  # halves that move against each other cannot both move along the wind
    np.testing.assert_allclose(Modes(gid.SpectralVolume(opposite)).alignment(0.0), 0, atol=1e-6)


def test_step_energy_measures_how_far_a_step_moves_the_image():
    volume = gid.SpectralVolume(
        torch.cat([natural_volume(bins=4).coefficients, natural_volume(bins=4, seed=1).coefficients])
    )
    step = np.random.default_rng(0).normal(size=(1, 4, 2))
    field = gid.Motion(volume, torch.from_numpy(step).float(), 30.0).displacement()[:, 0]
    modes = Modes(volume)
    expected = (field.square().sum(1) * modes.activity.square()).sum()
    assert step.ravel() @ modes.step_energy @ step.ravel() == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize(("size", "bins", "stride"), [((20, 160), 17, 1), ((20, 320), 17, 2), ((20, 160), 33, 2)])
def test_step_energy_subsamples_large_volumes(size, bins, stride):
    modes = Modes(natural_volume(size, bins))
    rows = modes.volume.coefficients[..., ::stride, ::stride].unflatten(2, (2, 2))
    rows = rows * modes.activity[..., ::stride, ::stride]
    rows = (rows[0] * torch.tensor([1.0, -1]).view(2, 1, 1)).transpose(1, 2).flatten(2).flatten(0, 1).double().numpy()
    np.testing.assert_allclose(modes.step_energy, rows @ rows.T, rtol=1e-3, atol=1e-5 * (rows**2).sum())


def test_beside_moving_pixels_the_most_active_point_nearby_is_taken():
    activity = torch.zeros(50, 100)
    activity[20:30, 60:] = 1
    activity[25, 60] = 2
    coefficients = torch.zeros(1, 2, 4, 50, 100)
    coefficients[0, 1, 0] = activity
    modes = Modes(SpectralVolume(coefficients))
    assert torch.equal(modes.activity, activity[None])
    assert modes.find_point(0.7, 0.5) == (69.5, 24.5)
    assert modes.find_point(0.595, 0.51) == (60, 25)  # one pixel beside
    assert modes.find_point(0.55, 0.51) is None  # more than 2 % of the width away
    assert Modes(SpectralVolume(torch.zeros(1, 2, 4, 50, 100))).find_point(0.5, 0.5) is None
