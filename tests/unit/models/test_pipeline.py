"""Sampling against a problem whose answer is known, then `GIDPipeline` with any photo and any setting."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from gid_core.models.checkpoint import save_model
from gid_core.models.config import DiffusionConfig
from gid_core.models.motion_model import MotionModel
from gid_core.models.pipeline import STEADINESS, GIDPipeline, match_expected_energy, model_input_size
from gid_core.models.sampling import SAMPLERS, Condition, sample_latents
from gid_core.motion import playback
from tiny_models import BINS, TINY, random

PREDICTIONS = [("v_prediction", True), ("v_prediction", False), ("epsilon", False)]


def tiny_model(config=TINY, seed=0):
    """A model with random weights everywhere, so that all of its parts have a say."""
    torch.manual_seed(seed)
    model = MotionModel(config)
    with torch.no_grad():
        for parameter in model.denoiser.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    return model.requires_grad_(False).eval()


# ---- sampling ----


class Gaussian(nn.Module):
    """The perfect denoiser of latents that are normal with deviation `spread`, their mean being the photo's features.

    All noise levels have closed forms: the posterior mean, and where sampling ends when it begins at some noise.
    """

    def __init__(self, config, spread):
        super().__init__()
        self.spread = nn.Parameter(torch.tensor(spread))
        self.alphas = MotionModel(config).schedule().alphas_cumprod.double()
        self.prediction = config.diffusion.prediction
        self.levels = []

    def forward(self, latents, timesteps, features, prior):
        alpha = self.alphas[timesteps].view(-1, 1, 1, 1, 1)
        self.levels.append(int(timesteps[0]))
        signal, sigma, s, z = alpha.sqrt(), (1 - alpha).sqrt(), self.spread.double(), latents.double()
        mean = features.mean(1)[:, None, None].double()
        clean = mean + s**2 * signal * (z - signal * mean) / (signal**2 * s**2 + sigma**2)
        epsilon = mean_epsilon = sigma * (z - signal * mean) / (signal**2 * s**2 + sigma**2)
        if self.prediction == "v_prediction":
            return (signal * mean_epsilon - sigma * clean).float()
        return epsilon.float()

    def answer(self, noise, mean, last=None):
        """Where the probability flow leads from `noise` at the highest level: to the end, or to the level `last` and
        from there in one step, as samplers do."""
        s = self.spread.double()

        def deviation(level):
            return (self.alphas[level] * s**2 + 1 - self.alphas[level]).sqrt()

        unit = (noise.double() - self.alphas[-1].sqrt() * mean) / deviation(-1)
        shrunk = 1.0 if last is None else self.alphas[last].sqrt() * s / deviation(last)
        return (mean + s * shrunk * unit).float()


def gaussian_problem(prediction, zero_snr, spread=0.6, mean=0.8):
    config = replace(TINY, diffusion=DiffusionConfig(prediction=prediction, zero_snr=zero_snr))
    model = MotionModel(config).requires_grad_(False)
    model.denoiser = Gaussian(config, spread).requires_grad_(False)
    condition = Condition(torch.full((3, 4, 5, 6), mean), torch.zeros(3, BINS, 2, 5, 6))
    return model, condition, random(3, BINS, 4, 5, 6)


@pytest.mark.parametrize(("prediction", "zero_snr"), PREDICTIONS)
@pytest.mark.parametrize(
    ("sampler", "steps", "error"),
    [("dpm", 25, 0.02), ("dpm", 200, 0.004), ("ddim", 250, 0.02), ("ddim", 700, 0.01), ("ddim", 1000, 0.006)],
)
def test_samplers_find_the_known_answer(prediction, zero_snr, sampler, steps, error):
    model, condition, noise = gaussian_problem(prediction, zero_snr)
    found = sample_latents(model, condition, noise, steps=steps, sampler=sampler)
    answer = model.denoiser.answer(noise, 0.8, last=model.denoiser.levels[-1])
    torch.testing.assert_close(found, answer, atol=error, rtol=0)


@pytest.mark.parametrize(("prediction", "zero_snr"), PREDICTIONS)
def test_both_samplers_come_to_the_same_answer(prediction, zero_snr):
    model, condition, noise = gaussian_problem(prediction, zero_snr)
    dpm, ddim = (sample_latents(model, condition, noise, steps=500, sampler=name) for name in SAMPLERS)
    torch.testing.assert_close(dpm, ddim, atol=0.02, rtol=0)
    torch.testing.assert_close(dpm, model.denoiser.answer(noise, 0.8), atol=0.02, rtol=0)


@pytest.mark.parametrize(("prediction", "zero_snr"), PREDICTIONS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_more_steps_come_nearer_to_the_known_answer(prediction, zero_snr, sampler):
    model, condition, noise = gaussian_problem(prediction, zero_snr)
    answer = model.denoiser.answer(noise, 0.8)
    errors = [
        float((sample_latents(model, condition, noise, steps=n, sampler=sampler) - answer).abs().max())
        for n in (12, 50, 200)
    ]
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize(("prediction", "zero_snr"), PREDICTIONS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_guidance_moves_the_mean_by_its_scale(prediction, zero_snr, sampler):
    """The perfect denoiser is linear in the mean, so guidance of w is a mean of w times the photo's."""
    model, condition, noise = gaussian_problem(prediction, zero_snr, mean=0.5)
    found = sample_latents(model, condition, noise, steps=300, guidance_scale=3, sampler=sampler)
    torch.testing.assert_close(found, model.denoiser.answer(noise, 1.5), atol=0.03, rtol=0)
    unguided = sample_latents(model, condition, noise, steps=300, guidance_scale=0, sampler=sampler)
    torch.testing.assert_close(unguided, model.denoiser.answer(noise, 0.0), atol=0.03, rtol=0)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_latents_that_must_be_still_are(sampler):
    model, condition, noise = gaussian_problem("v_prediction", True)
    keep = torch.ones(3, 1, 1, 5, 6)
    keep[..., :2] = 0
    still = random(1, BINS, 4, 1, 1, seed=5)
    found = sample_latents(model, condition, noise, steps=20, sampler=sampler, keep=keep, still=still)
    torch.testing.assert_close(found[..., :2], still.expand(3, -1, -1, 5, 2), atol=1e-4, rtol=0)
    free = sample_latents(model, condition, noise, steps=20, sampler=sampler)
    torch.testing.assert_close(found[..., 2:], free[..., 2:])


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 2, 7, 61, 103, 122])
def test_the_network_is_asked_once_a_step_at_falling_levels_from_the_last(sampler, steps):
    """Also where 1000 / steps is rounded: diffusers makes a step too many of 61, at level -1."""
    model, condition, noise = gaussian_problem("v_prediction", True)
    found = sample_latents(model, condition, noise[..., :1, :1], steps=steps, sampler=sampler)
    levels = model.denoiser.levels
    assert len(levels) == steps
    assert levels[0] == 999
    assert levels == sorted(set(levels), reverse=True)
    assert levels[-1] >= 0
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_one_step_gives_the_first_estimate(sampler):
    model, condition, noise = gaussian_problem("v_prediction", True)
    found = sample_latents(model, condition, noise, steps=1, sampler=sampler)
    torch.testing.assert_close(found, torch.full_like(found, 0.8), atol=2e-3, rtol=0)


# ---- the pipeline ----


@pytest.fixture(scope="module")
def pipe():
    return GIDPipeline(tiny_model())


def photo(height, width, channels=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(1, channels, 5, 5, generator=generator)
    return torch.nn.functional.interpolate(small, size=(height, width), mode="bilinear")[0].permute(1, 2, 0)


FEW = dict(num_inference_steps=3, resolution=64)


@pytest.mark.parametrize("size", [(1, 1), (17, 300), (40, 1000), (1000, 40), (64, 64), (90, 160), (2, 700), (301, 173)])
def test_photos_may_have_any_size_and_aspect(pipe, size):
    volume = pipe(photo(*size), **FEW)
    height, width = volume.size
    assert max(height, width) == min(64, max(size))
    assert abs(height - size[0] * max(height, width) / max(size)) <= 1
    assert (len(volume), volume.num_bins, volume.period) == (1, BINS, 150)
    assert volume.detrend == "ramp"
    assert "tiny" in volume.metadata["source"]


def test_the_model_sees_every_photo_at_its_own_area_and_a_multiple_of_its_stride(pipe):
    for size in ((1, 1), (17, 300), (2160, 3840), (512, 512), (300, 5000)):
        height, width = model_input_size(size, pipe.model)
        assert height % 16 == width % 16 == 0
        assert 0.5 < height * width / (64 * 128) < 1.6
        aspect = min(4, max(0.25, size[1] / size[0]))
        assert 0.6 < width / height / aspect < 1.6


def test_the_volume_is_as_large_as_asked_for_but_no_larger_than_the_photo(pipe):
    assert pipe(photo(90, 160), num_inference_steps=1, resolution=320).size == (90, 160)
    assert pipe(photo(90, 160), num_inference_steps=1, resolution=80).size == (45, 80)
    assert pipe(photo(900, 1600), num_inference_steps=1).size == (288, 512)


def test_bytes_and_numpy_are_photos_too(pipe):
    bytes_ = (photo(32, 48) * 255).byte()
    expected = pipe(bytes_.float() / 255, **FEW).coefficients
    for image in (bytes_, bytes_.numpy(), bytes_.numpy().astype(np.float64) / 255):
        torch.testing.assert_close(pipe(image, **FEW).coefficients, expected, rtol=1e-4, atol=1e-4)


def test_one_seed_is_one_motion(pipe):
    picture = photo(40, 60)
    first = pipe(picture, seed=3, **FEW)
    torch.manual_seed(99)
    torch.testing.assert_close(pipe(picture, seed=3, **FEW).coefficients, first.coefficients, rtol=0, atol=0)
    assert not torch.allclose(pipe(picture, seed=4, **FEW).coefficients, first.coefficients, atol=0.1)


def test_several_seeds_come_photo_by_photo_and_photo_b_draws_from_seed_plus_b(pipe):
    pictures = torch.stack([photo(40, 60), photo(40, 60, seed=1)])
    volumes = pipe(pictures, seed=[7, 20], **FEW)
    assert len(volumes) == 4
    for place, (b, seed) in enumerate([(0, 7), (0, 20), (1, 8), (1, 21)]):
        alone = pipe(pictures[b], seed=seed, **FEW).coefficients[0]
        torch.testing.assert_close(volumes.coefficients[place], alone, rtol=1e-3, atol=1e-3)


def test_seeds_of_comfyui_and_numpy_are_seeds(pipe):
    """ComfyUI's largest is 2^64 - 1; photo 1 of a batch draws from the one after it."""
    pictures = torch.stack([photo(20, 30), photo(20, 30)])
    largest = pipe(pictures, seed=2**64 - 1, num_inference_steps=1)
    zero = pipe(photo(20, 30), seed=0, num_inference_steps=1)
    torch.testing.assert_close(largest.coefficients[1], zero.coefficients[0], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(
        pipe(photo(20, 30), seed=np.int64(0), num_inference_steps=1).coefficients, zero.coefficients, rtol=0, atol=0
    )


def test_nothing_moves_where_the_mask_is_black(pipe):
    picture = photo(60, 100)
    mask = torch.zeros(60, 100)
    mask[20:50, 40:90] = 1
    volume = pipe(picture, mask=mask, num_inference_steps=3)
    moves = volume.coefficients.abs().amax((0, 1, 2)) > 0
    assert not moves[mask == 0].any()
    assert moves[25:45, 45:85].float().mean() > 0.95


def test_masks_are_one_for_all_or_one_for_each_photo_and_of_any_size(pipe):
    pictures = torch.stack([photo(40, 60), photo(40, 60)])
    each = torch.stack([torch.zeros(20, 30), torch.ones(20, 30)])
    volume = pipe(pictures, mask=each, seed=[0, 1], **FEW)
    moving = volume.coefficients.abs().amax((1, 2, 3, 4)) > 0
    assert moving.tolist() == [False, False, True, True]
    assert (pipe(pictures, mask=torch.zeros(7, 9), **FEW).coefficients == 0).all()


def test_a_white_mask_is_no_mask(pipe):
    picture = photo(40, 60)
    without = pipe(picture, **FEW).coefficients
    white = pipe(picture, mask=torch.ones(40, 60), **FEW).coefficients
    torch.testing.assert_close(white, without, rtol=1e-2, atol=1e-3 * float(without.abs().max()))


def test_what_is_transparent_is_still_and_has_no_color(pipe):
    picture = torch.cat([photo(40, 60), torch.ones(40, 60, 1)], -1)
    picture[:, 30:, 3] = 0
    volume = pipe(picture, **FEW)
    assert (volume.coefficients[..., 30:] == 0).all()
    assert (volume.coefficients[..., :25] != 0).any()
    torch.testing.assert_close(pipe._seen(torch.zeros(1, 4, 8, 8)), torch.full((1, 3, 96, 96), 0.5))
    opaque = torch.cat([photo(40, 60), torch.ones(40, 60, 1)], -1)
    expected = pipe(photo(40, 60), **FEW).coefficients
    torch.testing.assert_close(
        pipe(opaque, **FEW).coefficients, expected, rtol=1e-2, atol=1e-3 * float(expected.abs().max())
    )


def test_amplitude_is_a_factor(pipe):
    picture = photo(40, 60)
    once = pipe(picture, **FEW).coefficients
    torch.testing.assert_close(pipe(picture, amplitude=2.5, **FEW).coefficients, 2.5 * once, rtol=1e-4, atol=1e-5)
    assert (pipe(picture, amplitude=0, **FEW).coefficients == 0).all()


def test_every_volume_begins_at_rest(pipe):
    volume = pipe(photo(45, 77), seed=[0, 1], **FEW)
    first = playback(volume).displacement(0, 1)
    motion = playback(volume).displacement(0, 150)
    assert float(first.abs().max()) < 1e-5 * float(motion.abs().max())
    assert (volume.coefficients[:, 0, 1::2] == 0).all()
    rest = -2 * volume.coefficients[:, 1:, 0::2].sum(1)
    scale = float(volume.coefficients.abs().max())
    torch.testing.assert_close(volume.coefficients[:, 0, 0::2], rest, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_callback_is_called_after_every_step_with_the_motion_so_far(pipe, sampler):
    calls = []

    def callback(done, total, preview):
        calls.append((done, total, preview().shape))

    pipe(photo(40, 60), num_inference_steps=5, sampler=sampler, callback=callback, seed=[0, 1])
    height, width = (side // 4 for side in model_input_size((40, 60), pipe.model))
    assert calls == [(i + 1, 5, (2, BINS, 4, height, width)) for i in range(5)]


def test_a_callback_can_cancel_and_the_pipeline_goes_on(pipe):
    expected = pipe(photo(40, 60), **FEW).coefficients

    class Canceled(Exception):
        pass

    def callback(done, total, preview):
        if done == 2:
            raise Canceled

    with pytest.raises(Canceled):
        pipe(photo(40, 60), num_inference_steps=5, callback=callback)
    torch.testing.assert_close(pipe(photo(40, 60), **FEW).coefficients, expected, rtol=0, atol=0)
    assert torch.is_grad_enabled()


def test_guidance_changes_the_motion(pipe):
    picture = photo(40, 60)
    plain = pipe(picture, guidance_scale=1, **FEW).coefficients
    for scale in (0, 2):
        assert not torch.allclose(pipe(picture, guidance_scale=scale, **FEW).coefficients, plain, atol=0.1)


def test_half_precision_gives_nearly_the_same(pipe):
    half = GIDPipeline(tiny_model()).to(dtype=torch.bfloat16)
    assert half.model.dtype == torch.bfloat16
    assert half.model.normalizer.scale.dtype == half.model.autoencoder.mean.dtype == torch.float32
    full = pipe(photo(40, 60), num_inference_steps=8).coefficients
    other = half(photo(40, 60), num_inference_steps=8).coefficients
    assert other.dtype == torch.float32
    assert float((other - full).norm() / full.norm()) < 0.05


def test_it_runs_in_inference_mode(pipe, tmp_path):
    path = save_model(tmp_path / "tiny.safetensors", pipe.model, torch.float32)
    expected = pipe(photo(40, 60), mask=torch.ones(40, 60), **FEW).coefficients
    with torch.inference_mode():
        own = GIDPipeline.from_pretrained(path)
        volume = own(photo(40, 60), mask=torch.ones(40, 60), **FEW)
        half = GIDPipeline.from_pretrained(path, dtype=torch.bfloat16)
    torch.testing.assert_close(volume.coefficients, expected, rtol=1e-5, atol=1e-5)
    # What was made in inference mode could never take part in gradients, as loop guidance asks.
    for each in (own, half):
        assert not any(t.is_inference() for t in each.model.state_dict().values())


@pytest.mark.parametrize("name", ["independent", "stacked"])
def test_other_layouts_and_predictions_sample_too(name):
    config = replace(
        TINY,
        denoiser=replace(TINY.denoiser, layout=name),
        volume=replace(TINY.volume, unit_amplitude=False),
        normalization="polar",
        diffusion=DiffusionConfig(prediction="epsilon", zero_snr=False),
    )
    volume = GIDPipeline(tiny_model(config))(photo(40, 60), **FEW)
    assert torch.isfinite(volume.coefficients).all()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (dict(num_inference_steps=0), "0"),
        (dict(num_inference_steps=1001), "1001"),
        (dict(num_inference_steps=2.5), "2.5"),
        (dict(guidance_scale=-1), "-1"),
        (dict(guidance_scale=float("nan")), "nan"),
        (dict(amplitude=-2), "-2"),
        (dict(amplitude=float("inf")), "inf"),
        (dict(resolution=3), "3"),
        (dict(sampler="euler"), "euler"),
        (dict(seed=[]), "none"),
        (dict(seed=1.5), "1.5"),
        (dict(mask=torch.ones(3, 4, 5)), "3"),
        (dict(mask=torch.full((4, 5), torch.nan)), "NaN"),
        (dict(image=torch.rand(10, 10, 1)), "channels"),
        (dict(image=torch.rand(10, 10)), "image"),
        (dict(image=torch.full((4, 4, 3), torch.nan)), "NaN"),
        (dict(image=torch.rand(0, 4, 3)), "pixel"),
    ],
)
def test_bad_arguments_are_named(pipe, changes, named):
    arguments = dict(image=photo(20, 30)) | changes
    with pytest.raises(ValueError, match=named):
        pipe(arguments.pop("image"), **arguments)


def test_other_dtypes_are_refused(pipe):
    with pytest.raises(ValueError, match="float64"):
        pipe.to(dtype=torch.float64)


def test_a_sample_moves_more_nearly_where_it_is_expected_to():
    model = MotionModel(TINY)
    prior = torch.ones(1, BINS, 2, 4, 8)
    prior[..., 4:] = 2  # the right half is expected to move four times as far: sqrt normalization
    sample = random(1, BINS, 4, 16, 32)
    after = match_expected_energy(model, sample, prior)

    def shares(volume):
        energy = volume[:, 1:].square().sum((0, 1, 2))
        return float(energy[:, :12].sum() / energy[:, 20:].sum())

    assert shares(sample) == pytest.approx(1, abs=0.1)
    assert shares(after) == pytest.approx(16**-STEADINESS, rel=0.2)
    # Phases, directions and which frequency moves stay as they were drawn.
    angle = torch.nn.functional.cosine_similarity(after.flatten(1, 2), sample.flatten(1, 2), 1)
    assert angle.min() > 0.999999
    assert torch.equal(match_expected_energy(model, 0 * sample, prior), 0 * sample)
    torch.testing.assert_close(match_expected_energy(model, 5 * sample, prior), 5 * after)
    assert match_expected_energy(model, sample, None) is sample
