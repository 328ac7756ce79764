"""SpectralVolume as a file: nothing is lost, failures keep the old file, and other files are refused."""

import os

import pytest
import torch
from safetensors.torch import save_file

from gid_core.spectral_volume import FORMAT, SpectralVolume
from random_tensors import random_normal


def random_volume(seed=0, batch=1, **settings):
    return SpectralVolume(random_normal(batch, 6, 4, 9, 13, seed=seed) * 50, **settings)


def test_a_saved_volume_is_loaded_bit_for_bit(tmp_path):
    volume = random_volume(batch=2, fps=23.976, period=77, detrend="ramp", metadata={"source": "Bäume.mp4"})
    path = volume.save(tmp_path / "größe 1.safetensors", {"workflow": '{"a": 1}'})
    loaded = SpectralVolume.load(str(path))
    assert torch.equal(loaded.coefficients, volume.coefficients)
    assert (loaded.fps, loaded.period, loaded.detrend) == (23.976, 77, "ramp")
    assert loaded.metadata == {"source": "Bäume.mp4", "workflow": '{"a": 1}'}
    assert os.listdir(tmp_path) == ["größe 1.safetensors"]


def test_a_loaded_volume_is_saved_again_unchanged(tmp_path):
    first = SpectralVolume.load(random_volume(metadata={"a": "b"}).save(tmp_path / "1.safetensors"))
    second = SpectralVolume.load(first.save(tmp_path / "2.safetensors"))
    assert torch.equal(first.coefficients, second.coefficients)
    assert (first.fps, first.period, first.detrend) == (second.fps, second.period, second.detrend)
    assert first.metadata == second.metadata == {"a": "b"}


def test_metadata_cannot_replace_the_files_own_entries(tmp_path):
    clash = {"format": "other", "version": "99", "spectral_volume": "none"}
    path = random_volume(period=20).save(tmp_path / "v.safetensors", clash)
    assert SpectralVolume.load(path).period == 20


def test_a_view_is_saved_to_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    volume = SpectralVolume(random_normal(1, 3, 4, 5, 7).transpose(-1, -2))
    assert torch.equal(SpectralVolume.load(volume.save("v.safetensors")).coefficients, volume.coefficients)


@pytest.mark.parametrize("stage", ["write", "replace"])
def test_a_failing_save_keeps_the_old_file(tmp_path, monkeypatch, stage):
    path = random_volume(seed=1).save(tmp_path / "v.safetensors")
    before = path.read_bytes()

    def write_half(self, data):
        with open(self, "wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError("disk full")

    def fail(*_):
        raise OSError("disk full")

    if stage == "write":
        monkeypatch.setattr("pathlib.Path.write_bytes", write_half)
    else:
        monkeypatch.setattr("gid_core.media.atomic.os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        random_volume(seed=2).save(path)
    assert os.listdir(tmp_path) == ["v.safetensors"] and path.read_bytes() == before


def test_saving_into_a_missing_folder_names_it(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        random_volume().save(tmp_path / "nowhere" / "v.safetensors")
    assert os.listdir(tmp_path) == []


def test_a_saved_file_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    path = random_volume().save(tmp_path / "v.safetensors")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_file_of_another_format_is_refused_by_name(tmp_path):
    save_file({f"layer{i}": torch.zeros(2) for i in range(6)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"model\.safetensors is not a spectral volume.*'layer0'.*and more"):
        SpectralVolume.load(tmp_path / "model.safetensors")


def test_a_newer_version_is_refused(tmp_path):
    save_file({"coefficients": torch.zeros(1)}, tmp_path / "v.safetensors", {"format": FORMAT, "version": "2"})
    with pytest.raises(ValueError, match="version 2"):
        SpectralVolume.load(tmp_path / "v.safetensors")


@pytest.mark.parametrize("length", [0, 5, 60, -1, -200])
def test_a_truncated_file_is_refused(tmp_path, length):
    path = random_volume().save(tmp_path / "v.safetensors")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"v\.safetensors.*(cut short|damaged)"):
        SpectralVolume.load(path)


@pytest.mark.parametrize("place", ["nothing.safetensors", "."])
def test_a_missing_file_is_named(tmp_path, place):
    with pytest.raises(FileNotFoundError, match=str(tmp_path / place)):
        SpectralVolume.load(tmp_path / place)


def write_raw(path, coefficients, settings='{"fps": 30, "period": 150, "detrend": "none"}'):
    save_file({"coefficients": coefficients}, path, {"format": FORMAT, "version": "1", "spectral_volume": settings})
    return path


def test_a_pickle_is_never_opened(tmp_path):
    torch.save({"coefficients": torch.zeros(1, 2, 4, 3, 3)}, tmp_path / "v.safetensors")
    with pytest.raises(ValueError, match="cannot be read"):
        SpectralVolume.load(tmp_path / "v.safetensors")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_nan_in_a_file_is_refused(tmp_path, bad):
    with pytest.raises(ValueError, match="NaN or infinite"):
        SpectralVolume.load(write_raw(tmp_path / "v.safetensors", torch.full((1, 2, 4, 3, 3), bad)))


def test_half_precision_files_are_read(tmp_path):
    loaded = SpectralVolume.load(write_raw(tmp_path / "v.safetensors", torch.ones(1, 2, 4, 3, 3).half()))
    assert loaded.coefficients.dtype == torch.float32


@pytest.mark.parametrize(
    "settings",
    [
        "no json",
        '{"fps": 0, "period": 150, "detrend": "none"}',
        "{}",
        "3",
    ],
)
def test_damaged_settings_are_refused(tmp_path, settings):
    with pytest.raises(ValueError):
        SpectralVolume.load(write_raw(tmp_path / "v.safetensors", torch.ones(1, 2, 4, 3, 3), settings))
