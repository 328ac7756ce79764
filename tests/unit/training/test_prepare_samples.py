"""Motion samples: existing ones are kept, ramps are subtracted, cut-outs sway over photos."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gid_core.cli import main
from gid_core.evaluation.clip_folder import Clip
from gid_core.media.image_io import write_image
from gid_core.spectral_volume import SpectralVolume, temporal_dft
from gid_core.training.motion_samples import find_motion_samples, load_motion_sample, write_motion_sample
from gid_core.training.packed_corpus import remove_ramp
from gid_core.training.prepare_samples import motion_samples_from_clips
from gid_core.training.rendering_samples import rendering_samples_from_clips
from peak_memory import PeakMemory
from random_tensors import random_normal
from tiny_training import random_sample
from video_files import write_file


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


@pytest.mark.parametrize("make", [motion_samples_from_clips, rendering_samples_from_clips])
def test_a_large_clip_is_reduced_while_it_is_read(make, tmp_path):
    path = write_file(tmp_path / "a.mp4", [np.zeros((540, 960, 3), np.uint8)] * 60, codec="mpeg4")
    with PeakMemory() as memory:
        assert list(make([Clip(path)], tmp_path / "samples", 1)) == ["a_0"]
    assert memory.peak < 120e6  # all frames in full size and floats are 373 MB


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


def test_cutouts_over_still_photos(tmp_path):
    rng = np.random.default_rng(0)
    plant = np.zeros((150, 90, 4), np.float32)
    plant[20:, 30:60] = (0.3, 0.7, 0.2, 1)
    (tmp_path / "plants").mkdir()
    (tmp_path / "stills").mkdir()
    write_image(tmp_path / "plants" / "plant.png", torch.from_numpy(plant))
    write_image(tmp_path / "stills" / "wall.png", torch.from_numpy(rng.random((60, 100, 3), np.float32)))
    command = ["train", "prepare", "--cutouts", str(tmp_path / "plants"), "--out", str(tmp_path / "samples")]
    assert main(command) == 1  # no backgrounds
    assert main([*command, "--still-photos", str(tmp_path / "stills"), "--scenes", "2"]) == 0
    samples = [load_motion_sample(path) for path in find_motion_samples(tmp_path / "samples")]
    assert [sample.group for sample in samples] == ["cutouts_wall"] * 2
    for sample in samples:
        assert sample.volume.size == (sample.photo.shape[0] // 4, sample.photo.shape[1] // 4)
        moving = sample.volume.coefficients[0, 1:].abs().amax((0, 1)) > 0
        assert 0.01 < moving.float().mean() < 0.9


def test_photos_of_plants(tmp_path):
    photos, samples = tmp_path / "photos", tmp_path / "samples"
    photos.mkdir()
    command = ["train", "prepare", "--plant-photos", str(photos), "--out", str(samples)]
    for name in ("meadow", "wall"):
        write_image(photos / f"{name}.jpg", torch.full((60, 80, 3), 0.4))
    write_image(photos / "wall.plant.png", torch.zeros(30, 40, 3))
    assert main(command) == 1  # nobody has said where the plants are
    write_image(photos / "meadow.plant.png", torch.cat([torch.ones(15, 40, 3), torch.zeros(15, 40, 3)]))
    assert main(command) == 0
    (path,) = find_motion_samples(samples)
    sample = load_motion_sample(path)
    assert (sample.name, sample.photo.shape[1]) == ("meadow", 512)
    moving = sample.volume.coefficients[0].abs().amax((0, 1)) > 0.5
    rows = moving.shape[0] // 2
    assert moving[: rows - 2].all()
    assert not moving[rows + 2 :].any()
