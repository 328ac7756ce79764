"""Motion samples: their files, their amplitude, and rest at the first frame."""

import math

import pytest
import torch

from gid_core.motion import loop, playback
from gid_core.spectral_volume import SpectralVolume, temporal_dft
from gid_core.training.motion_samples import find_motion_samples, load_motion_sample, write_motion_sample
from random_tensors import random_normal


def volume(seed=0, bins=4, size=(6, 8), **settings):
    return SpectralVolume(random_normal(1, bins, 4, *size, seed=seed), **{"detrend": "ramp", **settings})


# ---- files ----


def test_samples_are_loaded_as_written(tmp_path):
    photo, written = torch.rand(12, 16, 3), volume(fps=25.0, period=100)
    path = write_motion_sample(tmp_path / "new" / "folder", "clip.v2_0", photo, written, "the source")
    assert find_motion_samples(tmp_path / "new" / "folder") == [path]
    sample = load_motion_sample(path)
    assert (sample.name, sample.group) == ("clip.v2_0", "the source")
    assert sample.photo.dtype == torch.uint8
    assert torch.equal(sample.photo, (photo * 255).round().byte())
    assert torch.equal(sample.volume.coefficients, written.coefficients)
    assert (sample.volume.fps, sample.volume.period, sample.volume.detrend) == (25, 100, "ramp")


def test_group_defaults_to_the_name(tmp_path):
    assert load_motion_sample(write_motion_sample(tmp_path, "one", torch.zeros(4, 4, 3), volume())).group == "one"


def test_incomplete_samples_are_not_found(tmp_path, monkeypatch):
    """The photo is written first, and a volume without its photo is incomplete as well."""
    write_motion_sample(tmp_path, "complete", torch.zeros(4, 4, 3), volume())
    with monkeypatch.context() as patch:
        patch.setattr(SpectralVolume, "save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            write_motion_sample(tmp_path, "interrupted", torch.zeros(4, 4, 3), volume())
    volume().save(tmp_path / "no_photo.safetensors")
    volume().save(tmp_path / ".complete-12345678.safetensors")  # left behind if `atomic_write` is killed
    assert (tmp_path / "interrupted.png").is_file()
    assert [path.stem for path in find_motion_samples(tmp_path)] == ["complete"]


def test_samples_are_in_order_and_missing_folders_are_named(tmp_path):
    for folder, name in (("b", "2"), ("b", "1"), ("a", "3")):
        write_motion_sample(tmp_path / folder, name, torch.zeros(4, 4, 3), volume())
    assert [path.stem for path in find_motion_samples([tmp_path / "b", tmp_path / "a"])] == ["1", "2", "3"]
    with pytest.raises(FileNotFoundError, match="absent"):
        find_motion_samples(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty"):
        find_motion_samples(tmp_path / "empty")


# ---- amplitude and rest ----


def sinusoidal(amplitude, size=(6, 10), moving=30, period=60):
    """Volume in which `moving` pixels sway along x by `amplitude` px to each side, twice per period."""
    time = torch.arange(period) * (2 * math.pi * 2 / period)
    motion = torch.zeros(1, period, 2, *size)
    motion[:, :, 0].flatten(2)[..., :moving] = (amplitude * torch.sin(time))[None, :, None]
    return SpectralVolume(temporal_dft(motion, 5), period=period, detrend="ramp")


def test_amplitude_is_the_rms_displacement_of_moving_pixels():
    assert float(sinusoidal(3.0).amplitude) == pytest.approx(3 / math.sqrt(2) / 10, rel=1e-5)
    assert float(sinusoidal(3.0, moving=2).amplitude) == pytest.approx(3 / math.sqrt(2) / 10, rel=1e-5)
    assert float(sinusoidal(6.0).resize((12, 20)).amplitude) == pytest.approx(6 / math.sqrt(2) / 10, rel=0.1)
    assert float(sinusoidal(0.0).amplitude) == 0.0


def test_constant_offset_is_not_motion():
    static = sinusoidal(0.0)
    shifted = static.coefficients.clone()
    shifted[:, 0] = 100
    assert float(static.replace(coefficients=shifted).amplitude) == 0.0


def test_at_rest_starts_at_zero_and_keeps_the_motion():
    original = volume(bins=6, period=30)
    rested = original.at_rest()
    motion = playback(rested).displacement()
    assert float(motion[:, 0].abs().max()) < 1e-5
    torch.testing.assert_close(motion, loop(original).displacement(), atol=1e-5, rtol=1e-5)
    assert (rested.coefficients[:, 0, 1::2] == 0).all()
    assert torch.equal(rested.coefficients[:, 1:], original.coefficients[:, 1:])
    torch.testing.assert_close(rested.at_rest().coefficients, rested.coefficients)
    assert not torch.equal(original.coefficients, rested.coefficients)  # the input is not changed
