"""Training samples: their files, their split, their amplitude, and the ramp that is taken off."""

import math

import pytest
import torch

from gid_core.motion import loop, playback
from gid_core.spectral_volume import SpectralVolume, rfft_bins
from gid_core.training.motion_samples import Sample, find_samples, load_sample, split, write_sample
from gid_core.training.prepare_samples import remove_ramp


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def volume(seed=0, bins=4, size=(6, 8), **settings):
    return SpectralVolume(random(1, bins, 4, *size, seed=seed), **{"detrend": "ramp", **settings})


def named(group, name="a"):
    return Sample(name, group, torch.zeros(2, 2, 3, dtype=torch.uint8), volume())


# ---- files ----


def test_samples_come_back_as_they_were_written(tmp_path):
    photo, own = torch.rand(12, 16, 3), volume(fps=25.0, period=100)
    path = write_sample(tmp_path / "new" / "folder", "clip.v2_0", photo, own, "the source")
    assert find_samples(tmp_path / "new" / "folder") == [path]
    sample = load_sample(path)
    assert (sample.name, sample.group) == ("clip.v2_0", "the source")
    assert sample.photo.dtype == torch.uint8
    assert torch.equal(sample.photo, (photo * 255).round().byte())
    assert torch.equal(sample.volume.coefficients, own.coefficients)
    assert (sample.volume.fps, sample.volume.period, sample.volume.detrend) == (25, 100, "ramp")


def test_a_sample_without_a_group_is_its_own(tmp_path):
    assert load_sample(write_sample(tmp_path, "one", torch.zeros(4, 4, 3), volume())).group == "one"


def test_half_written_samples_are_not_found(tmp_path, monkeypatch):
    """The photo is written first; and a volume without its photo is none either."""
    write_sample(tmp_path, "whole", torch.zeros(4, 4, 3), volume())
    with monkeypatch.context() as patch:
        patch.setattr(SpectralVolume, "save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            write_sample(tmp_path, "cut", torch.zeros(4, 4, 3), volume())
    volume().save(tmp_path / "alone.safetensors")
    volume().save(tmp_path / ".whole-12345678.safetensors")  # what a kill leaves of `atomic_write`
    assert (tmp_path / "cut.png").is_file()
    assert [path.stem for path in find_samples(tmp_path)] == ["whole"]


def test_folders_are_found_in_order_and_missing_ones_named(tmp_path):
    for folder, name in (("b", "2"), ("b", "1"), ("a", "3")):
        write_sample(tmp_path / folder, name, torch.zeros(4, 4, 3), volume())
    assert [path.stem for path in find_samples([tmp_path / "b", tmp_path / "a"])] == ["1", "2", "3"]
    with pytest.raises(FileNotFoundError, match="absent"):
        find_samples(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty"):
        find_samples(tmp_path / "empty")


# ---- the split ----


def test_the_split_keeps_groups_together_and_forgets_nothing():
    samples = [named(f"group {i % 40}", str(i)) for i in range(200)]
    train, test = split(samples, 0.3)
    assert sorted(s.name for s in train + test) == sorted(s.name for s in samples)
    assert not {s.group for s in train} & {s.group for s in test}
    assert 0.1 < len(test) / 200 < 0.5
    assert split(samples, 0.0) == (samples, [])
    assert split(samples, 1.0) == ([], samples)


def test_the_split_does_not_depend_on_what_else_there_is():
    """Nor on the machine: these were held out before, and must be for ever."""
    groups = [f"group {i}" for i in range(60)]
    held_out = {s.group for s in split([named(g) for g in groups], 0.1)[1]}
    assert {s.group for s in split([named(g) for g in groups[::-2]], 0.1)[1]} == held_out & set(groups[::-2])
    larger = {s.group for s in split([named(g) for g in groups], 0.2)[1]}
    assert held_out < larger
    assert held_out == {f"group {i}" for i in (5, 8, 11, 18, 30, 54, 58)}


# ---- amplitude and rest ----


def swaying(swing, size=(6, 10), moving=30, period=60):
    """Volume in which `moving` pixels sway along x by swing px to each side, twice a period."""
    time = torch.arange(period) * (2 * math.pi * 2 / period)
    motion = torch.zeros(1, period, 2, *size)
    motion[:, :, 0].flatten(2)[..., :moving] = (swing * torch.sin(time))[None, :, None]
    return SpectralVolume(rfft_bins(motion, 5), period=period, detrend="ramp")


def test_the_amplitude_is_the_rms_swing_of_what_moves():
    assert float(swaying(3.0).amplitude) == pytest.approx(3 / math.sqrt(2) / 10, rel=1e-5)
    assert float(swaying(3.0, moving=2).amplitude) == pytest.approx(3 / math.sqrt(2) / 10, rel=1e-5)
    assert float(swaying(6.0).resize((12, 20)).amplitude) == pytest.approx(6 / math.sqrt(2) / 10, rel=0.1)
    assert float(swaying(0.0).amplitude) == 0.0


def test_a_constant_offset_is_no_motion():
    still = swaying(0.0)
    moved = still.coefficients.clone()
    moved[:, 0] = 100
    assert float(still.replace(coefficients=moved).amplitude) == 0.0


def test_a_tidy_volume_begins_at_rest_and_moves_as_before():
    own = volume(bins=6, period=30)
    tidied = own.at_rest()
    motion = playback(tidied).displacement()
    assert float(motion[:, 0].abs().max()) < 1e-5
    torch.testing.assert_close(motion, loop(own).displacement(), atol=1e-5, rtol=1e-5)
    assert (tidied.coefficients[:, 0, 1::2] == 0).all()
    assert torch.equal(tidied.coefficients[:, 1:], own.coefficients[:, 1:])
    torch.testing.assert_close(tidied.at_rest().coefficients, tidied.coefficients)
    assert not torch.equal(own.coefficients, tidied.coefficients)  # and the volume given is left alone


# ---- the ramp ----


def test_a_ramp_on_sway_is_taken_off():
    period, size = 150, (4, 5)
    time = torch.arange(period) / period
    phase = 2 * math.pi * time
    sway = sum(torch.sin(k * phase + k).view(1, -1, 1, 1, 1) * random(1, 1, 2, *size, seed=k) for k in (1, 3, 5))
    drift = 4 * random(1, 1, 2, *size, seed=9)
    ramp = time.view(1, -1, 1, 1, 1) * drift
    found = remove_ramp(SpectralVolume(rfft_bins(sway + ramp, 16)))
    assert found.detrend == "ramp"
    torch.testing.assert_close(found.coefficients, rfft_bins(sway, 16), atol=0.02, rtol=0)


def test_no_ramp_is_taken_off_where_there_is_none():
    phase = torch.arange(150) * (2 * math.pi / 150)
    sway = torch.sin(2 * phase).view(1, -1, 1, 1, 1) * random(1, 1, 2, 3, 4)
    own = SpectralVolume(rfft_bins(sway, 16))
    torch.testing.assert_close(remove_ramp(own).coefficients, own.coefficients, atol=2e-3, rtol=0)
