"""The command `gid train`, from clips to a trained model, and its errors."""

import argparse
import json
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch

from gid_core.cli import main
from gid_core.media.video_io import write_video
from gid_core.models.checkpoint import load_model, read_header, save_model
from gid_core.models.motion_model import MotionModel
from gid_core.spectral_volume import SpectralVolume
from gid_core.synthetic.random_scene import random_scene
from gid_core.training import model_setup, train_command
from gid_core.training.motion_samples import find_motion_samples, load_motion_sample, write_motion_sample
from gid_core.training.rendering_samples import load_rendering_samples
from gid_core.training.splits import RESERVED_INDEX
from gid_core.training.stages import MOTION_STAGES
from gid_core.training.train_options import training_options
from tiny_models import TINY
from tiny_training import random_sample


@pytest.fixture(autouse=True)
def few_statistics(monkeypatch):
    """Measure statistics on few samples, to save time."""
    monkeypatch.setattr(model_setup, "SCALE_SAMPLES", 6)
    monkeypatch.setattr(train_command, "LATENT_STATISTICS_SAMPLES", 6)


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    """A clip of five seconds of swaying stems, one that is too short, and one that is not a video."""
    folder = tmp_path_factory.mktemp("clips")
    scene = random_scene(3, (64, 128), ("stems",), supersample=2)
    frames = torch.from_numpy(np.stack([scene.render(t) for t in range(0, 150, 5)]))
    write_video(folder / "stems.mp4", frames, 6)
    write_video(folder / "brief.mp4", frames[:5], 6)
    (folder / "broken.mp4").write_bytes(b"no video")
    return folder


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / "tiny.json"
    config = replace(TINY, volume=replace(TINY.volume, num_bins=16))
    path.write_text(json.dumps(config.to_dict()))
    return path


@pytest.fixture
def sample_folder(tmp_path):
    for i in range(3):
        sample = random_sample(f"s{i}", 16, seed=i)
        write_motion_sample(tmp_path / "samples", sample.name, sample.photo.float() / 255, sample.volume)
    return tmp_path / "samples"


def test_all_motion_stages_by_the_command_line(clip_folder, config_file, tmp_path):
    samples = tmp_path / "samples"
    assert main(["train", "prepare", "--clips", str(clip_folder), "--windows", "1", "--out", str(samples)]) == 0
    assert [path.stem for path in find_motion_samples(samples)] == ["stems_0"]
    sample = load_motion_sample(find_motion_samples(samples)[0])
    assert sample.photo.shape == (256, 512, 3)
    assert sample.volume.size == (64, 128)
    assert sample.volume.fps == pytest.approx(30)
    skipped = json.loads((samples / "skipped.json").read_text())
    assert set(skipped) == {"brief_0", "broken_0"}
    common = ["--samples", str(samples), "--size", "64", "128", "--train-batch-size", "1", "--test-fraction", "0"]
    common += ["--lr-warmup-steps", "1", "--max-train-steps", "2"]
    models = {stage: tmp_path / stage / "model.safetensors" for stage in MOTION_STAGES}
    start, independent = ["--config", str(config_file)], ["--set", "denoiser.layout=independent"]
    for stage in MOTION_STAGES:
        options = independent if stage == "denoiser" else []
        assert main(["train", stage, *common, "--out", str(models[stage].parent), *start, *options]) == 0
        start = ["--from", str(models[stage])]
    latent_std = load_model(models["encoder"]).autoencoder.latent_std
    assert not torch.equal(latent_std, torch.ones_like(latent_std))
    loaded = {stage: load_model(path) for stage, path in models.items()}
    assert loaded["denoiser"].config.denoiser.layout == "independent"
    assert loaded["frequency-attention"].config.denoiser.layout == "coordinated"
    shared = loaded["denoiser"].state_dict()
    final = loaded["frequency-attention"].state_dict()
    assert all(torch.equal(final[name], value) for name, value in shared.items())
    assert list((tmp_path / "denoiser" / "log").rglob("events*"))
    assert read_header(models["vae"])["steps"] == "2"
    # Repeating the command of a finished stage changes nothing.
    folder = str(tmp_path / "frequency-attention")
    again = ["train", "frequency-attention", *common, "--out", folder, "--from", str(models["denoiser"])]
    assert main(again) == 0
    repeated = load_model(models["frequency-attention"]).state_dict()
    assert all(torch.equal(final[name], value) for name, value in repeated.items())


def test_overfit_uses_few_samples_without_augmentation(sample_folder, config_file, tmp_path):
    arguments = ["train", "vae", "--samples", str(sample_folder), "--config", str(config_file), "--size", "32", "64"]
    arguments += ["--max-train-steps", "1", "--train-batch-size", "2", "--overfit", "2", "--test-fraction", "0"]
    arguments += ["--out", str(tmp_path / "out")]
    parser = argparse.ArgumentParser()
    training_options(parser)
    options = parser.parse_args(arguments[1:])
    config = model_setup.stage_config(options.stage, None, options.config, options.set)
    dataset = train_command._motion_dataset(options, config)
    photos = {tuple(dataset[i][0].flatten()[:20].tolist()) for i in range(12)}
    assert len(photos) == 2
    assert len(dataset) > RESERVED_INDEX
    assert main(arguments) == 0


def foreign_model(tmp_path):
    path = tmp_path / "other.safetensors"
    SpectralVolume(torch.zeros(1, 2, 4, 2, 2)).save(path)
    return str(path)


BAD_OPTIONS = {
    "missing folder": (["vae", "--samples", "absent"], "absent"),
    "unknown preset": (["vae", "--config", "gid-huge"], "gid-huge"),
    "unknown setting": (["vae", "--set", "denoiser.depth=3"], "denoiser.depth"),
    "unknown group": (["vae", "--set", "wings.size=3"], "wings.size"),
    "setting of a single value": (["vae", "--set", "name.first=x"], "name.first"),
    "value of another type": (
        ["vae", "--set", "denoiser.num_attention_heads=many"],
        "denoiser.num_attention_heads=many",
    ),
    "setting without a value": (["vae", "--set", "denoiser.num_attention_heads"], "denoiser.num_attention_heads"),
    "unknown layout": (["vae", "--set", "denoiser.layout=woven"], "woven"),
    "too many weights": (["vae", "--weights", "1", "2"], "weights"),
    "size that does not fit": (["vae", "--size", "30", "64"], "30"),
    "no earlier stage": (["denoiser"], "--from"),
    "missing model": (["denoiser", "--from", "absent.safetensors"], "absent.safetensors"),
    "volumes with other bins": (["vae", "--set", "volume.num_bins=9"], "s0"),
    "volumes with another detrending": (["vae", "--set", "volume.detrend=none"], "s0"),
    "no training samples": (["vae", "--test-fraction", "1"], "empty"),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_bad_options_give_one_clear_line(case, sample_folder, config_file, tmp_path, capsys):
    (stage, *options), expected = BAD_OPTIONS[case]
    defaults = {"--samples": [str(sample_folder)], "--config": [str(config_file)], "--size": ["32", "64"]}
    defaults |= {"--test-fraction": ["0"], "--max-train-steps": ["1"], "--train-batch-size": ["1"]}
    defaults |= {"--out": [str(tmp_path / "out")]}
    arguments = [word for name, values in defaults.items() if name not in options for word in (name, *values)]
    assert main(["train", stage, *arguments, *options]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("gid train: ")
    assert expected in lines[-1]
    assert not any("Traceback" in line for line in lines)


def test_a_stage_continues_only_a_suitable_model(sample_folder, config_file, tmp_path, capsys):
    common = ["--samples", str(sample_folder), "--size", "32", "64", "--test-fraction", "0"]
    common += ["--max-train-steps", "1", "--train-batch-size", "1"]
    assert main(["train", "denoiser", *common, "--out", str(tmp_path), "--from", foreign_model(tmp_path)]) == 1
    assert "other.safetensors is not a motion model" in capsys.readouterr().err
    stacked = replace(TINY, volume=replace(TINY.volume, num_bins=16), denoiser=replace(TINY.denoiser, layout="stacked"))
    path = save_model(tmp_path / "stacked.safetensors", MotionModel(stacked))
    assert main(["train", "frequency-attention", *common, "--out", str(tmp_path), "--from", str(path)]) == 1
    assert "stacked" in capsys.readouterr().err


def test_training_is_not_resumed_with_another_config(sample_folder, config_file, tmp_path, capsys):
    arguments = ["train", "vae", "--samples", str(sample_folder), "--config", str(config_file), "--size", "32", "64"]
    arguments += ["--test-fraction", "0", "--max-train-steps", "1", "--train-batch-size", "1"]
    arguments += ["--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    assert main([*arguments, "--set", "autoencoder.block_out_channels=[8, 16, 24]"]) == 1
    assert "another config" in capsys.readouterr().err


def test_renderer_by_the_command_line(clip_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("gid_core.training.rendering_samples.SCENE_SIZE", (48, 64))
    clips, scenes, model = tmp_path / "clips", tmp_path / "scenes", tmp_path / "model.safetensors"
    prepare = ["train", "prepare", "--rendering"]
    assert main([*prepare, "--clips", str(clip_folder), "--windows", "1", "--out", str(clips)]) == 0
    assert main([*prepare, "--scenes", "2", "--out", str(scenes)]) == 0
    assert main([*prepare, "--out", str(scenes)]) == 1
    assert sorted(path.stem for path in clips.glob("*.safetensors")) == ["stems_0"]
    half = scenes / ".scene_00002-12345678.safetensors"  # left behind if `atomic_write` is killed
    half.write_bytes(b"half")
    assert [sample.name for sample in load_rendering_samples(scenes)] == ["scene_00000", "scene_00001"]
    save_model(model, MotionModel(TINY))
    arguments = ["train", "renderer", "--samples", str(clips), str(scenes), "--from", str(model), "--crop-size", "48"]
    arguments += ["--lpips-weight", "0", "--test-fraction", "0", "--train-batch-size", "1"]
    arguments += ["--lr-warmup-steps", "1", "--max-train-steps", "3"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    before, after = load_model(model).state_dict(), load_model(tmp_path / "out" / "model.safetensors").state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed and all(name.startswith("renderer.") for name in changed)
    with pytest.raises(FileNotFoundError, match="prepare --rendering"):
        load_rendering_samples(tmp_path / "nowhere")
    safetensors.torch.save_file({"coefficients": torch.zeros(1)}, tmp_path / "motion.safetensors")
    with pytest.raises(ValueError, match="is no rendering sample: .*prepare --rendering"):
        load_rendering_samples(tmp_path)
