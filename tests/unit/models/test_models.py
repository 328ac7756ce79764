"""The motion model's parts: normalization, autoencoder, denoiser, encoder, and its file."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from gid_core.models.checkpoint import FORMAT, FORMAT_VERSION, fill_model, load_model, read_header, save_model
from gid_core.models.config import (
    GID_BASE,
    GID_SMALL,
    NORMALIZATIONS,
    PRESETS,
    AutoencoderConfig,
    DiffusionConfig,
    EncoderConfig,
    ModelConfig,
    VolumeConfig,
)
from gid_core.models.denoiser import Denoiser, FrequencyAttention
from gid_core.models.motion_model import MotionModel
from gid_core.models.normalization import FrequencyNormalizer, measure_scale
from gid_core.spectral_volume import SpectralVolume
from tiny_models import BINS, TINY, random


def layout(name, config=TINY):
    return replace(config, denoiser=replace(config.denoiser, layout=name))


def tiny_model(config=TINY, seed=0):
    torch.manual_seed(seed)
    return MotionModel(config).eval()


def awake(module, seed=0):
    """The module with all weights random, also those that begin at zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return module.eval()


def falling_coefficients(*shape, seed=0):
    """[..., K, 4, H, W] whose sizes span as many powers of ten as motion does, many of them 0."""
    values = random(*shape, seed=seed)
    bins = shape[-4]
    values = values * (300 / (1 + torch.arange(bins)) ** 2).view(-1, 1, 1, 1) * random(*shape, seed=seed + 1).exp()
    return values * (random(*shape[:-3], 1, *shape[-2:], seed=seed + 2) > 0)


# ---- normalization ----


@pytest.mark.parametrize("mode", NORMALIZATIONS)
def test_normalization_is_undone_exactly(mode):
    scale = 10.0 ** torch.linspace(0, -4, BINS)
    normalizer = FrequencyNormalizer(TINY.volume, mode, scale)
    coefficients = falling_coefficients(2, BINS, 4, 9, 13) * torch.logspace(-6, 2, 13)
    back = normalizer.denormalize(normalizer.normalize(coefficients))
    torch.testing.assert_close(back, coefficients, rtol=1e-6, atol=0)
    assert (back[coefficients == 0] == 0).all()


@pytest.mark.parametrize("mode", NORMALIZATIONS)
def test_normalization_of_nothing_is_nothing_and_has_gradients(mode):
    normalizer = FrequencyNormalizer(TINY.volume, mode)
    still = torch.zeros(1, BINS, 4, 3, 3, requires_grad=True)
    assert (normalizer.normalize(still) == 0).all()
    assert (normalizer.denormalize(still) == 0).all()
    normalizer.denormalize(still).sum().backward()
    assert torch.isfinite(still.grad).all()


def test_normalized_by_the_square_root_is_equation_4():
    scale = torch.linspace(0.5, 2, BINS)
    normalizer = FrequencyNormalizer(TINY.volume, "sqrt", scale)
    coefficients = falling_coefficients(BINS, 4, 5, 7)
    expected = coefficients.sign() * (coefficients.abs() / 7 / scale.view(-1, 1, 1, 1)).sqrt()
    torch.testing.assert_close(normalizer.normalize(coefficients), expected)


def turn(coefficients, angle):
    """Multiply every complex number by exp(i angle): the same motion, begun at another time."""
    pairs = coefficients.unflatten(-3, (2, 2))
    real, imaginary = pairs.unbind(-3)
    c, s = np.cos(angle), np.sin(angle)
    return torch.stack([c * real - s * imaginary, s * real + c * imaginary], -3).flatten(-4, -3)


def test_polar_normalization_turns_with_the_phase_and_the_others_know_that_it_does():
    coefficients = falling_coefficients(BINS, 4, 5, 7)
    moved = {}
    for mode in NORMALIZATIONS:
        normalizer = FrequencyNormalizer(TINY.volume, mode, torch.linspace(0.5, 2, BINS))
        difference = normalizer.normalize(turn(coefficients, 0.7)) - turn(normalizer.normalize(coefficients), 0.7)
        moved[mode] = float(difference.abs().max() / normalizer.normalize(coefficients).abs().max())
    assert moved["polar"] < 1e-5
    assert moved["linear"] < 1e-5
    assert moved["sqrt"] > 0.05  # eq. 4 as printed treats real and imaginary part apart


def test_statistics_refuse_volumes_of_another_kind():
    normalizer = FrequencyNormalizer(TINY.volume)
    coefficients = torch.zeros(1, BINS, 4, 2, 2)
    good = SpectralVolume(coefficients, fps=30, period=150, detrend="ramp")
    normalizer.check(good)
    normalizer.check(good.replace(fps=29.97))
    for other in (
        good.replace(period=300),
        good.replace(detrend="none"),
        good.replace(coefficients=torch.zeros(1, BINS + 1, 4, 2, 2)),
        good.replace(fps=60),
    ):
        with pytest.raises(ValueError, match="statistics hold for"):
            normalizer.check(other)


@pytest.mark.parametrize("scale", [torch.ones(BINS - 1), torch.zeros(BINS), torch.full((BINS,), torch.nan)])
def test_a_scale_that_is_none_is_refused(scale):
    with pytest.raises(ValueError, match=f"{BINS} numbers > 0"):
        FrequencyNormalizer(TINY.volume, scale=scale)


@pytest.mark.parametrize("mode", NORMALIZATIONS)
def test_one_motion_on_a_finer_grid_is_normalized_to_the_same_numbers(mode):
    normalizer = FrequencyNormalizer(TINY.volume, mode)
    coarse = SpectralVolume(falling_coefficients(1, BINS, 4, 6, 8))
    fine = coarse.coefficients.repeat_interleave(2, -1).repeat_interleave(2, -2) * 2
    expected = normalizer.normalize(coarse.coefficients).repeat_interleave(2, -1).repeat_interleave(2, -2)
    torch.testing.assert_close(normalizer.normalize(fine), expected)


def modulus_shares(volumes):
    """[K, N] moduli of x and y as shares of the width, in numpy."""
    parts = [v.unflatten(-3, (2, 2)).norm(dim=-3).div(v.shape[-1]).transpose(0, 1).flatten(1) for v in volumes]
    return torch.cat(parts, 1).double().numpy()


def test_the_scale_is_the_95th_percentile_of_the_modulus_to_a_bins_width():
    volumes = [falling_coefficients(2, BINS, 4, 20, 30, seed=s) for s in range(3)]
    volumes.append(falling_coefficients(1, BINS, 4, 40, 60, seed=9))
    expected = np.percentile(modulus_shares(volumes), 95, axis=1)
    measured = measure_scale(TINY, volumes)
    octaves = np.log2(measured.numpy() / expected)
    assert np.abs(octaves).max() < 1 / 64 + 0.01


def test_linear_normalization_has_one_scale_for_all_frequencies():
    volumes = [falling_coefficients(2, BINS, 4, 20, 30, seed=s) for s in range(3)]
    linear = measure_scale(replace(TINY, normalization="linear"), volumes)
    assert (linear == linear[0]).all()
    expected = np.percentile(modulus_shares(volumes), 95)
    assert abs(np.log2(float(linear[0]) / expected)) < 1 / 64 + 0.01
    assert len(set(measure_scale(TINY, volumes).tolist())) == BINS


def test_scales_of_still_clips_are_tiny_but_usable():
    scale = measure_scale(TINY, [torch.zeros(1, BINS, 4, 8, 8)])
    normalizer = FrequencyNormalizer(TINY.volume, "sqrt", scale)
    assert torch.isfinite(normalizer.normalize(torch.ones(1, BINS, 4, 8, 8))).all()


# ---- the autoencoder ----


def slices_of(count, size=(16, 32), seed=0):
    """Smooth slices as motion's are: a few blobs that sway."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, size[0]), torch.linspace(-1, 1, size[1]), indexing="ij")
    numbers = torch.rand(count, 4, 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    blob = torch.exp(-((x - numbers[..., :1, None]) ** 2 + (y - numbers[..., 1:2, None]) ** 2) * 4)
    return 2 * blob * numbers[..., 2:3, None] + 0.5 * numbers[..., 3:, None]


def test_the_autoencoder_halves_sides_as_often_as_its_config_says():
    autoencoder = tiny_model().autoencoder
    assert TINY.autoencoder.factor == 4
    slices = random(2, BINS, 4, 24, 40)
    latents = autoencoder.encode(slices)
    assert latents.shape == (2, BINS, 4, 6, 10)
    assert autoencoder.decode(latents).shape == slices.shape
    shallow = replace(TINY, autoencoder=AutoencoderConfig((8, 16)))
    assert shallow.latent_stride == 8
    assert tiny_model(shallow).autoencoder.encode(slices).shape == (2, BINS, 4, 12, 20)


def test_every_slice_is_encoded_by_itself():
    autoencoder = tiny_model().autoencoder
    slices = random(2, BINS, 4, 8, 8)
    whole = autoencoder.encode(slices)
    changed = slices.clone()
    changed[0, 3] += 1
    other = autoencoder.encode(changed)
    same = torch.ones(2, BINS, dtype=torch.bool)
    same[0, 3] = False
    torch.testing.assert_close(other[same], whole[same])
    assert not torch.allclose(other[0, 3], whole[0, 3])


def test_whitened_latents_have_mean_0_and_variance_1_in_every_frequency_and_channel():
    model = tiny_model()
    sizes = torch.linspace(2, 0.1, BINS).view(-1, 1, 1, 1)
    batches = [slices_of(2 * BINS, seed=s).unflatten(0, (2, BINS)) * sizes for s in range(3)]
    before = model.autoencoder.decode(model.autoencoder.encode(batches[0]))
    model.autoencoder.measure((each, 1.0) for each in batches)
    latents = torch.cat([model.autoencoder.encode(each) for each in batches]).double()
    mean, variance = latents.mean((0, 3, 4)), latents.var((0, 3, 4), unbiased=False)
    torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-4, rtol=0)
    torch.testing.assert_close(variance, torch.ones_like(variance), atol=1e-3, rtol=0)
    # Whitening is undone by decoding, and measuring again changes nothing.
    restored = model.autoencoder.decode(model.autoencoder.encode(batches[0]))
    torch.testing.assert_close(restored, before, atol=1e-4, rtol=0)
    kept = model.autoencoder.mean.clone(), model.autoencoder.std.clone()
    model.autoencoder.measure((each, 1.0) for each in batches)
    assert torch.equal(model.autoencoder.mean, kept[0])
    assert torch.equal(model.autoencoder.std, kept[1])
    # With the prior that latents are divided by, it is the quotient that is whitened.
    spread = 0.2 + random(2, BINS, 4, 4, 8).abs()
    model.autoencoder.measure((each, spread) for each in batches)
    latents = torch.cat([model.autoencoder.encode(each, spread) for each in batches]).double()
    torch.testing.assert_close(latents.var((0, 3, 4), unbiased=False), torch.ones(BINS, 4).double(), atol=1e-3, rtol=0)
    restored = model.autoencoder.decode(model.autoencoder.encode(batches[0], spread), spread)
    torch.testing.assert_close(restored, before, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("skip", "left"), [(False, 0.25), (True, 0.02)])
def test_the_autoencoder_learns_four_slices_by_heart(skip, left):
    torch.manual_seed(0)
    autoencoder = MotionModel(replace(TINY, autoencoder=replace(TINY.autoencoder, skip=skip))).autoencoder.train()
    slices = slices_of(4)
    optimizer = torch.optim.Adam(autoencoder.parameters(), 3e-3)
    rates = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, 200)
    for _ in range(200):
        loss, _ = autoencoder.loss(slices)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rates.step()
    with torch.no_grad():
        restored = autoencoder.decode(autoencoder.encode(slices[:, None].expand(-1, BINS, -1, -1, -1)))[:, 0]
    assert float((restored - slices).abs().mean()) < left * float(slices.abs().mean())


# ---- the denoiser ----


def inputs(config=TINY, batch=2, size=(4, 8), bins=BINS, seed=0):
    latents = random(batch, bins, config.autoencoder.latent_channels, *size, seed=seed)
    features = random(batch, config.encoder.channels, *size, seed=seed + 1)
    prior = random(batch, bins, 2, *size, seed=seed + 2).abs()
    return latents, torch.tensor([10, 700])[:batch], features, prior


def test_coordination_begins_as_if_it_were_not_there():
    """Stage 2 must start where stage 1 ended."""
    independent = tiny_model(layout("independent"))
    awake(independent.denoiser)
    coordinated = independent.without("coordinated").eval()
    assert len(coordinated.denoiser.coordination()) > 0
    assert independent.denoiser.coordination() == []
    torch.testing.assert_close(coordinated.denoiser(*inputs()), independent.denoiser(*inputs()), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("name", "meet"), [("independent", False), ("coordinated", True), ("stacked", True)])
def test_slices_see_each_other_only_where_they_should(name, meet):
    denoiser = awake(Denoiser(layout(name)))
    latents, *rest = inputs()
    changed = latents.clone()
    changed[:, 2] += 1
    others = [k for k in range(BINS) if k != 2]
    before, after = denoiser(latents, *rest), denoiser(changed, *rest)
    assert not torch.allclose(before[:, 2], after[:, 2], atol=1e-3)
    assert torch.allclose(before[:, others], after[:, others], atol=1e-5) != meet


@pytest.mark.parametrize("name", ["independent", "coordinated", "stacked"])
def test_photos_of_a_batch_do_not_meet(name):
    denoiser = awake(Denoiser(layout(name)))
    batch = inputs(batch=2)
    turned = [each.flip(0) for each in batch]
    torch.testing.assert_close(denoiser(*turned), denoiser(*batch).flip(0), atol=1e-4, rtol=1e-4)
    alone = [each[:1] for each in batch]
    torch.testing.assert_close(denoiser(*alone), denoiser(*batch)[:1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["independent", "coordinated", "stacked"])
@pytest.mark.parametrize("size", [(4, 4), (5, 7), (3, 13), (1, 1)])
def test_latents_may_have_any_size(name, size):
    batch = inputs(size=size)
    out = awake(Denoiser(layout(name)))(*batch)
    assert out.shape == batch[0].shape
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("name", ["independent", "coordinated", "stacked"])
def test_a_new_denoiser_says_zero(name):
    assert (Denoiser(layout(name))(*inputs()) == 0).all()


def test_some_frequencies_alone_are_treated_as_among_all():
    denoiser = awake(Denoiser(layout("independent")))
    latents, times, features, prior = inputs()
    chosen = torch.tensor([5, 1])
    alone = denoiser(latents[:, chosen], times, features, prior[:, chosen], bins=chosen)
    torch.testing.assert_close(alone, denoiser(latents, times, features, prior)[:, chosen], atol=1e-5, rtol=1e-5)
    wrong = denoiser(latents[:, chosen], times, features, prior[:, chosen])
    assert not torch.allclose(alone, wrong, atol=1e-3)


def test_every_slice_may_have_a_noise_level_of_its_own():
    denoiser = awake(Denoiser(layout("independent")))
    latents, times, features, prior = inputs()
    each = times[:, None].repeat(1, BINS)
    expected = denoiser(latents, times, features, prior)
    torch.testing.assert_close(denoiser(latents, each, features, prior), expected, atol=1e-5, rtol=1e-5)
    each[0, 3] = 500
    changed = (denoiser(latents, each, features, prior) - expected).abs().amax((2, 3, 4)) > 1e-3
    assert changed.nonzero().tolist() == [[0, 3]]


def test_the_attention_tells_frequencies_apart_and_mixes_nothing_between_places():
    torch.manual_seed(0)
    attention = awake(FrequencyAttention(16, 2))
    x = random(BINS, 16, 3, 5)
    moved = x.clone()
    moved[3, :, 1, 2] += 2
    # The normalization before it is over a whole slice, so compare by attention alone.
    attention.norm = torch.nn.Identity()
    difference = (attention(moved, BINS) - attention(x, BINS)).abs().amax((0, 1))
    assert (difference > 1e-5).nonzero().tolist() == [[1, 2]]


# ---- the encoder ----


@pytest.mark.parametrize("kind", ["resnet", "efficientnet"])
def test_the_encoder_is_on_the_latents_grid(kind):
    model = tiny_model(replace(TINY, encoder=EncoderConfig(kind, 4, 16)))
    with torch.no_grad():
        features, prior = model.encoder(torch.rand(2, 3, 48, 80))
    assert features.shape == (2, 4, 3, 5)
    assert prior.shape == (2, BINS, 2, 3, 5)
    assert (prior > 0).all()


def test_the_prior_can_be_left_out():
    model = awake(tiny_model(replace(TINY, encoder=replace(TINY.encoder, prior=False))))
    with torch.no_grad():
        features, prior = model.encoder(torch.rand(2, 3, 48, 80))
        assert prior is None
        latents = random(2, BINS, 4, 3, 5)
        assert model.denoiser(latents, torch.tensor([3, 4]), features, None).shape == latents.shape
        assert model.to_coefficients(latents, None).shape == (2, BINS, 4, 12, 20)


def test_the_pretrained_part_of_the_encoder_stays_as_it_is_in_training():
    encoder = tiny_model(replace(TINY, encoder=EncoderConfig("efficientnet", 4, 16))).encoder
    network = encoder.trunk.network
    before = {name: value.clone() for name, value in network.state_dict().items()}
    encoder.train()
    sum(out.sum() for out in encoder(torch.rand(2, 3, 64, 64))).backward()
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())
    assert not network.training


# ---- configs ----


@pytest.mark.parametrize("config", [*PRESETS.values(), TINY], ids=lambda config: config.name)
def test_configs_survive_json(config):
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"color": 3}, "color"),
        ({"denoiser": {"depth": 2}}, "depth"),
        ({"denoiser": {"layout": "woven"}}, "woven"),
        ({"normalization": "cubic"}, "cubic"),
        ({"encoder": {"kind": "vit"}}, "vit"),
        ({"volume": {"detrend": "sometimes"}}, "sometimes"),
        ({"diffusion": {"prediction": "noise"}}, "noise"),
        ({"volume": 3}, "config.volume"),
        ({"denoiser": {"channels": 3}}, "channels"),
        ({"volume": {"num_bins": 100}}, "100"),
    ],
)
def test_configs_name_what_they_do_not_know(change, named):
    with pytest.raises(ValueError, match=named):
        ModelConfig.from_dict(change)


def test_the_presets_have_the_sizes_they_are_said_to_have():
    counts = {}
    for name, config in PRESETS.items():
        with torch.device("meta"):
            model = MotionModel(config)
        counts[name] = sum(p.numel() for p in model.parameters())
        tensors = model.state_dict().values()
        if name == "gid-small":
            assert sum(t.numel() for t in tensors) * 2 + 100_000 < 60e6
    assert 10e6 < counts["gid-small"] < 30e6
    assert 300e6 < counts["gid-base"] < 400e6
    assert GID_BASE.latent_stride == 4
    assert GID_SMALL.latent_stride == 16


# ---- the file ----


@pytest.fixture
def saved(tmp_path):
    model = awake(tiny_model())
    model.normalizer.scale.copy_(torch.linspace(1, 1e-7, BINS))
    return model, save_model(tmp_path / "tiny.safetensors", model, torch.float32, trained="by a test")


def test_a_model_in_float32_comes_back_bit_by_bit(saved):
    model, path = saved
    back = load_model(path)
    assert back.config == model.config
    state = model.state_dict()
    assert set(back.state_dict()) == set(state)
    assert all(torch.equal(value, state[name]) for name, value in back.state_dict().items())
    assert not back.training
    assert not any(p.requires_grad for p in back.parameters())
    assert read_header(path)["trained"] == "by a test"


def test_a_model_in_float16_comes_back_nearly_and_its_statistics_exactly(saved, tmp_path):
    model, full = saved
    path = save_model(tmp_path / "half.safetensors", model)
    assert path.stat().st_size < 0.6 * full.stat().st_size
    back, state = load_model(path).state_dict(), model.state_dict()
    for name, value in back.items():
        assert value.dtype == state[name].dtype
        torch.testing.assert_close(value, state[name], rtol=1e-3, atol=1e-6)
    for name in ("normalizer.scale", "autoencoder.mean", "autoencoder.std"):
        assert torch.equal(back[name], state[name])


def test_notes_cannot_hide_what_a_file_is(tmp_path):
    path = save_model(tmp_path / "tiny.safetensors", tiny_model(), format="something", version="9", config="{}")
    assert load_model(path).config == TINY


def test_gid_small_fits_into_60_mb_in_half_precision(tmp_path):
    path = save_model(tmp_path / "small.safetensors", MotionModel(GID_SMALL))
    assert path.stat().st_size <= 60e6


def test_an_interrupted_save_leaves_what_was_there(saved, monkeypatch):
    model, path = saved
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        save_model(path, tiny_model(seed=1))
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def foreign(folder, name, tensors, metadata=None):
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
        (["weight"], {"format": FORMAT, "version": "2"}, "version 2; this software reads version 1"),
        (["weight"], {"format": FORMAT, "version": FORMAT_VERSION}, "no usable config"),
        (["weight"], {"format": FORMAT, "version": FORMAT_VERSION, "config": "{"}, "no usable config"),
        (["weight"], {"format": FORMAT, "version": FORMAT_VERSION, "config": '{"x": 1}'}, "does not know: x"),
        (["weight"], {"format": FORMAT, "version": FORMAT_VERSION, "config": "[]"}, "no usable config"),
    ],
)
def test_other_files_are_refused_by_name_and_reason(tmp_path, keys, metadata, reason):
    path = foreign(tmp_path, "other.safetensors", keys, metadata)
    with pytest.raises(ValueError, match="other.safetensors") as caught:
        load_model(path)
    assert reason in str(caught.value)


@pytest.mark.parametrize("suffix", ["ckpt", "pt", "pth", "bin", "pkl", "PTH"])
def test_pickles_are_refused_unread(tmp_path, suffix):
    path = tmp_path / f"model.{suffix}"
    path.write_bytes(b"\x80\x04.")
    with pytest.raises(ValueError, match=f"model.{suffix} is a pickle"):
        load_model(path)


def test_cut_and_missing_files_are_named(saved, tmp_path):
    _, path = saved
    cut = tmp_path / "cut.safetensors"
    for length in (0, 5, 5000, path.stat().st_size - 10):
        cut.write_bytes(path.read_bytes()[:length])
        with pytest.raises(ValueError, match="cut.safetensors cannot be read"):
            load_model(cut)
    with pytest.raises(FileNotFoundError, match="absent.safetensors"):
        load_model(tmp_path / "absent.safetensors")


def rewritten(path, tensors=lambda tensors: tensors, config=lambda config: config):
    header = read_header(path)
    header["config"] = json.dumps(config(json.loads(header["config"])))
    save_file(tensors(load_file(path)), path, header)
    return path


def test_files_that_do_not_hold_their_config_are_refused(saved):
    _, path = saved
    whole = path.read_bytes()

    def refused(match, **changes):
        path.write_bytes(whole)
        with pytest.raises(ValueError, match=match):
            load_model(rewritten(path, **changes))

    refused("tiny.safetensors .*autoencoder.mean is missing", tensors=lambda t: t.pop("autoencoder.mean") is None or t)
    refused("denoiser.extra is unknown", tensors=lambda t: {**t, "denoiser.extra": torch.zeros(1)})
    refused(r"normalizer.scale is \[3\] instead of \[8\]", tensors=lambda t: {**t, "normalizer.scale": torch.ones(3)})
    refused("does not know: wings", config=lambda c: {**c, "wings": 2})
    refused("is .* instead of", config=lambda c: {**c, "volume": {**c["volume"], "num_bins": 9}})


def test_a_refused_file_leaves_the_model_as_it_was(saved):
    model, path = saved
    before = {name: value.clone() for name, value in model.state_dict().items()}
    tensors = load_file(path)
    tensors = {name: value + 1 for name, value in tensors.items()}
    del tensors["normalizer.scale"]
    with pytest.raises(ValueError, match="missing"):
        fill_model(model, tensors, "a file")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_models_loaded_in_inference_mode_can_still_give_gradients(saved):
    """ComfyUI runs nodes in inference mode; loop guidance needs gradients through the decoder."""
    _, path = saved
    with torch.inference_mode():
        model = load_model(path)
    latents = random(1, BINS, 4, 2, 2).requires_grad_()
    model.to_coefficients(latents, torch.ones(1, BINS, 2, 2, 2)).sum().backward()
    assert torch.isfinite(latents.grad).all()


def test_latents_are_divided_by_the_prior_of_their_axis_but_not_by_noise():
    model = tiny_model()
    coefficients = random(2, BINS, 4, 16, 24)
    prior = 0.5 + random(2, BINS, 2, 4, 6).abs()
    with torch.no_grad():
        plain, divided = model.to_latents(coefficients, None), model.to_latents(coefficients, prior)
        torch.testing.assert_close(divided[:, :, :2] * prior[:, :, :1], plain[:, :, :2], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(divided[:, :, 2:] * prior[:, :, 1:], plain[:, :, 2:], atol=1e-5, rtol=1e-4)
        back = model.to_coefficients(divided, prior)
        torch.testing.assert_close(back, model.to_coefficients(plain, None), atol=1e-3, rtol=1e-3)
        assert torch.isfinite(model.to_latents(coefficients, 0 * prior)).all()


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_zero_snr_leaves_nothing_of_the_signal_at_the_last_level(prediction):
    for zero_snr in (True, False):
        config = replace(TINY, diffusion=DiffusionConfig(prediction=prediction, zero_snr=zero_snr))
        alphas = MotionModel(config).schedule().alphas_cumprod
        assert (float(alphas[-1]) < 1e-6) == zero_snr
        assert float(alphas[0]) > 0.99


def test_volume_settings_are_part_of_the_file(saved):
    _, path = saved
    assert ModelConfig.from_dict(json.loads(read_header(path)["config"])).volume == VolumeConfig(
        num_bins=BINS, pixels=64 * 128
    )
