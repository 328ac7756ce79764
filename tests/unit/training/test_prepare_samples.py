"""Motion samples from clips: existing samples are kept, and ramps are subtracted."""

import math
from types import SimpleNamespace

import pytest
import torch

from gid_core.cli import main
from gid_core.spectral_volume import SpectralVolume, temporal_dft
from gid_core.training.motion_samples import write_motion_sample
from gid_core.training.packed_corpus import remove_ramp
from gid_core.training.prepare_samples import motion_samples_from_clips
from random_tensors import random_normal
from tiny_training import random_sample


def test_existing_samples_are_not_made_again(tmp_path, monkeypatch):
    clips = [SimpleNamespace(path=tmp_path / "stems.mp4", group="stems")]
    sample = random_sample("stems_0", 16)
    write_motion_sample(tmp_path, "stems_0", sample.photo.float() / 255, sample.volume)
    (tmp_path / "skipped.json").write_text('{"stems_1": "too short"}')
    monkeypatch.setattr("gid_core.training.prepare_samples.read_video", lambda *_, **__: pytest.fail("read again"))
    assert list(motion_samples_from_clips(clips, tmp_path, 2)) == ["stems_0", "stems_1"]


def test_prepare_needs_clips_or_a_corpus(tmp_path, capsys):
    assert main(["train", "prepare", "--out", str(tmp_path)]) == 1
    assert "--clips" in capsys.readouterr().err


# ---- the ramp ----


def test_ramp_on_sway_is_removed():
    period, size = 150, (4, 5)
    time = torch.arange(period) / period
    phase = 2 * math.pi * time
    sway = sum(torch.sin(k * phase + k).view(1, -1, 1, 1, 1) * random_normal(1, 1, 2, *size, seed=k) for k in (1, 3, 5))
    drift = 4 * random_normal(1, 1, 2, *size, seed=9)
    ramp = time.view(1, -1, 1, 1, 1) * drift
    result = remove_ramp(SpectralVolume(temporal_dft(sway + ramp, 16)))
    assert result.detrend == "ramp"
    torch.testing.assert_close(result.coefficients, temporal_dft(sway, 16), atol=0.02, rtol=0)


def test_sway_without_a_ramp_is_unchanged():
    phase = torch.arange(150) * (2 * math.pi / 150)
    sway = torch.sin(2 * phase).view(1, -1, 1, 1, 1) * random_normal(1, 1, 2, 3, 4)
    volume = SpectralVolume(temporal_dft(sway, 16))
    torch.testing.assert_close(remove_ramp(volume).coefficients, volume.coefficients, atol=2e-3, rtol=0)
