"""The file of a model: what is restored, and what is refused with which reason."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from gid_core.models.checkpoint import FORMAT, FORMAT_VERSION, load_model, load_tensors, read_header, save_model
from gid_core.models.config import (
    GID_SMALL,
    ModelConfig,
    VolumeConfig,
)
from gid_core.models.motion_model import MotionModel
from random_tensors import random_normal
from tiny_models import BINS, TINY, make_tiny_model, randomize_weights


@pytest.fixture
def saved(tmp_path):
    model = randomize_weights(make_tiny_model())
    model.normalizer.scale.copy_(torch.linspace(1, 1e-7, BINS))
    return model, save_model(tmp_path / "tiny.safetensors", model, torch.float32, trained="by a test")


def test_float32_models_are_restored_exactly(saved):
    model, path = saved
    loaded = load_model(path)
    assert loaded.config == model.config
    state = model.state_dict()
    assert set(loaded.state_dict()) == set(state)
    assert all(torch.equal(value, state[name]) for name, value in loaded.state_dict().items())
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    assert read_header(path)["trained"] == "by a test"


def test_float16_files_round_weights_but_not_statistics(saved, tmp_path):
    model, full = saved
    path = save_model(tmp_path / "half.safetensors", model)
    assert path.stat().st_size < 0.6 * full.stat().st_size
    loaded, state = load_model(path).state_dict(), model.state_dict()
    for name, value in loaded.items():
        assert value.dtype == state[name].dtype
        torch.testing.assert_close(value, state[name], rtol=1e-3, atol=1e-6)
    for name in ("normalizer.scale", "autoencoder.latent_mean", "autoencoder.latent_std"):
        assert torch.equal(loaded[name], state[name])


def test_notes_cannot_override_the_header(tmp_path):
    path = save_model(tmp_path / "tiny.safetensors", make_tiny_model(), format="something", version="9", config="{}")
    assert load_model(path).config == TINY


def test_gid_small_fits_into_60_mb_in_half_precision(tmp_path):
    path = save_model(tmp_path / "small.safetensors", MotionModel(GID_SMALL))
    assert path.stat().st_size <= 60e6


def test_interrupted_save_keeps_the_old_file(saved, monkeypatch):
    model, path = saved
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        save_model(path, make_tiny_model(seed=1))
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def write_tensors(folder, name, tensors, metadata=None):
    path = folder / name
    save_file({key: torch.zeros(2) for key in tensors}, path, metadata)
    return path


@pytest.mark.parametrize(
    ("keys", "metadata", "reason"),
    [
        (["model.diffusion_model.input_blocks.0.0.weight"], None, "a Stable Diffusion checkpoint"),
        (["lora_unet_down_blocks_0.lora_up.weight"], None, "a LoRA"),
        (["weight"], None, "something that holds weight"),
        (["coefficients"], {"format": "gid.spectral_volume"}, "a file of kind 'gid.spectral_volume'"),
        (["weight"], {"format": FORMAT, "version": "3"}, "version 3; this software reads versions 1 and 2"),
        (["weight"], {"format": FORMAT, "version": FORMAT_VERSION}, "no usable config"),
        (["weight"], {"format": FORMAT, "version": FORMAT_VERSION, "config": "{"}, "no usable config"),
        (["weight"], {"format": FORMAT, "version": FORMAT_VERSION, "config": '{"x": 1}'}, "does not know: x"),
        (["weight"], {"format": FORMAT, "version": FORMAT_VERSION, "config": "[]"}, "no usable config"),
    ],
)
def test_other_files_are_refused_with_name_and_reason(tmp_path, keys, metadata, reason):
    path = write_tensors(tmp_path, "other.safetensors", keys, metadata)
    with pytest.raises(ValueError, match="other.safetensors") as caught:
        load_model(path)
    assert reason in str(caught.value)


@pytest.mark.parametrize("suffix", ["ckpt", "pt", "pth", "bin", "pkl", "PTH"])
def test_pickles_are_refused_without_reading(tmp_path, suffix):
    path = tmp_path / f"model.{suffix}"
    path.write_bytes(b"\x80\x04.")
    with pytest.raises(ValueError, match=f"model.{suffix} is a pickle"):
        load_model(path)


def test_errors_name_truncated_and_missing_files(saved, tmp_path):
    _, path = saved
    truncated = tmp_path / "truncated.safetensors"
    for length in (0, 5, 5000, path.stat().st_size - 10):
        truncated.write_bytes(path.read_bytes()[:length])
        with pytest.raises(ValueError, match="truncated.safetensors cannot be read"):
            load_model(truncated)
    with pytest.raises(FileNotFoundError, match="absent.safetensors"):
        load_model(tmp_path / "absent.safetensors")


def rewrite(path, tensors=lambda tensors: tensors, config=lambda config: config):
    header = read_header(path)
    header["config"] = json.dumps(config(json.loads(header["config"])))
    save_file(tensors(load_file(path)), path, header)
    return path


def test_files_that_do_not_match_their_config_are_refused(saved):
    _, path = saved
    original = path.read_bytes()

    def assert_refused(match, **changes):
        path.write_bytes(original)
        with pytest.raises(ValueError, match=match):
            load_model(rewrite(path, **changes))

    assert_refused(
        "tiny.safetensors .*autoencoder.latent_mean is missing",
        tensors=lambda t: t.pop("autoencoder.latent_mean") is None or t,
    )
    assert_refused("denoiser.extra is unknown", tensors=lambda t: {**t, "denoiser.extra": torch.zeros(1)})
    assert_refused(
        r"normalizer.scale is \[3\] instead of \[8\]", tensors=lambda t: {**t, "normalizer.scale": torch.ones(3)}
    )
    assert_refused("does not know: wings", config=lambda c: {**c, "wings": 2})
    assert_refused("is .* instead of", config=lambda c: {**c, "volume": {**c["volume"], "num_bins": 9}})


def test_refused_tensors_leave_the_model_unchanged(saved):
    model, path = saved
    before = {name: value.clone() for name, value in model.state_dict().items()}
    tensors = load_file(path)
    tensors = {name: value + 1 for name, value in tensors.items()}
    del tensors["normalizer.scale"]
    with pytest.raises(ValueError, match="missing"):
        load_tensors(model, tensors, "a file")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_models_loaded_in_inference_mode_support_gradients(saved):
    """ComfyUI runs nodes in inference mode; loop guidance needs gradients through the decoder."""
    _, path = saved
    with torch.inference_mode():
        model = load_model(path)
    latents = random_normal(1, BINS, 4, 2, 2).requires_grad_()
    model.to_coefficients(latents, torch.ones(1, BINS, 2, 2, 2)).sum().backward()
    assert torch.isfinite(latents.grad).all()


def test_volume_settings_are_part_of_the_file(saved):
    _, path = saved
    assert ModelConfig.from_dict(json.loads(read_header(path)["config"])).volume == VolumeConfig(
        num_bins=BINS, image_area=64 * 128
    )
