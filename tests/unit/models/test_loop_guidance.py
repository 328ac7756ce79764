"""Loop guidance: seams vanish, volumes that loop stay, and gradients work in inference mode."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from gid_core.evaluation.motion_metrics import seam_ratio
from gid_core.models.config import (
    GID_SMALL,
    AutoencoderConfig,
    DenoiserConfig,
    DiffusionConfig,
    ImageEncoderConfig,
    VolumeConfig,
)
from gid_core.models.loop_guidance import LoopGuidance
from gid_core.models.motion_model import MotionModel
from gid_core.models.pipeline import GIDPipeline
from gid_core.models.sampling import Condition, sample_latents
from gid_core.models.seam import seam_loss
from gid_core.motion import loop, playback
from gid_core.spectral_volume import SpectralVolume, temporal_dft

PERIOD, BINS, FPS, SIDE = 150, 16, 30.0, 16


def gust_volume(seed: int, detrend: str = "none") -> SpectralVolume:
    """Trees in gusts: three damped modes per pixel, driven by slow noise. Frame 150 differs from frame 0."""
    rng, count, warm_up = np.random.default_rng(seed), 2 * SIDE**2, 300
    paths = np.zeros((warm_up + PERIOD + 1, count))
    for frequency, amplitude in ((0.35, 1.0), (0.8, 0.5), (1.6, 0.2)):
        w = 2 * math.pi * frequency
        system = torch.tensor([[0.0, 1.0], [-w * w, -0.16 * w]], dtype=torch.float64)
        step = torch.matrix_exp(system / FPS).numpy()
        state, gust, path = np.zeros((2, count)), np.zeros(count), np.zeros_like(paths)
        for t in range(len(paths)):
            gust = 0.9 * gust + rng.standard_normal(count)
            state = step @ state
            state[1] += gust
            path[t] = state[0]
        paths += path * (amplitude / path[warm_up:].std())
    paths = 1.5 * (paths[warm_up:] - paths[warm_up])
    if detrend == "ramp":
        paths -= np.linspace(0, 1, PERIOD + 1)[:, None] * paths[-1]
    frames = torch.tensor(paths[:PERIOD]).view(1, PERIOD, 2, SIDE, SIDE)
    return SpectralVolume(temporal_dft(frames, BINS), FPS, PERIOD, detrend)


def batch(*volumes: SpectralVolume) -> SpectralVolume:
    return volumes[0].replace(coefficients=torch.cat([v.coefficients for v in volumes]))


def relative_change(before: SpectralVolume, after: SpectralVolume) -> float:
    """Relative rms change of motion without bin 0, which only sets the origin of displacements."""
    a, b = before.coefficients[:, 1:], after.coefficients[:, 1:]
    return float((b - a).norm() / a.norm())


@pytest.fixture(scope="module")
def leaky():
    return [gust_volume(seed) for seed in range(2)]


@pytest.fixture(scope="module")
def periodic():
    return gust_volume(5, "ramp")


def small_model(seed: int = 0) -> MotionModel:
    config = dataclasses.replace(
        GID_SMALL,
        volume=VolumeConfig(image_area=64 * 64),
        autoencoder=AutoencoderConfig((8, 16, 16)),
        encoder=ImageEncoderConfig("resnet", 4, 8),
        denoiser=DenoiserConfig((16, 32), 1, (1,), 2),
        diffusion=DiffusionConfig(),  # white noise over the photo, so that the seams of few cells are not all alike
    )
    torch.manual_seed(seed)
    model = MotionModel(config)
    for parameter in model.denoiser.parameters():  # weights that start at 0 would ignore the photo
        if not parameter.detach().any():
            torch.nn.init.normal_(parameter, std=0.05)
    return model


@pytest.fixture(scope="module")
def pipeline():
    return GIDPipeline(small_model())


PHOTO = torch.rand(64, 64, 3, generator=torch.Generator().manual_seed(3))


def sample(pipeline, guidance, steps=4, **options):
    options = {"guidance_scale": 1.0, "resolution": 16, "seed": 1, **options}
    return pipeline(options.pop("photo", PHOTO), num_inference_steps=steps, loop_guidance=guidance, **options)


# ---- projection ----


@pytest.mark.parametrize("seed", [0, 1])
def test_projection_removes_the_jerk(leaky, seed):
    fixed = LoopGuidance().apply(leaky[seed])
    assert seam_ratio(loop(leaky[seed])) > 2
    assert seam_ratio(loop(fixed)) <= 1.1
    assert 0.02 < relative_change(leaky[seed], fixed) <= 0.25
    assert (fixed.period, fixed.fps, fixed.num_bins) == (PERIOD, FPS, BINS)


def test_projection_reports_the_change(leaky):
    fixed = LoopGuidance().apply(leaky[0])
    percent = round(100 * relative_change(leaky[0], fixed))
    assert fixed.metadata["loop_guidance"] == f"projection, changed by {percent} %"


def test_strength_reduces_the_jerk(leaky):
    ratios = [seam_ratio(loop(LoopGuidance(strength=s).apply(leaky[0]))) for s in (0.05, 0.3, 1.0, 3.0)]
    assert ratios == sorted(ratios, reverse=True)


def test_volumes_that_loop_hardly_change(periodic):
    assert relative_change(periodic, LoopGuidance().apply(periodic)) < 0.03
    assert LoopGuidance(mode="crossfade").apply(periodic) is periodic


@pytest.mark.parametrize("bins, period", [(4, 150), (16, 30), (60, 150), (2, 20)])
def test_other_bins_and_periods(bins, period):
    generator = torch.Generator().manual_seed(0)
    slices = torch.randn(1, bins, 4, 8, 8, generator=generator) / torch.arange(1, bins + 1).view(-1, 1, 1, 1)
    slices[:, 1:, 0::2] += 4  # an impulse in frame 0
    volume = SpectralVolume(slices, FPS, period)
    for mode in ("projection", "crossfade"):
        fixed = LoopGuidance(mode=mode).apply(volume)
        assert fixed.coefficients.isfinite().all()
        assert fixed.num_bins == bins


def test_static_volumes_do_not_change():
    static = SpectralVolume(torch.zeros(2, BINS, 4, 8, 8))
    constant = SpectralVolume(torch.ones(1, 1, 4, 8, 8))
    for mode in ("projection", "crossfade"):
        torch.testing.assert_close(LoopGuidance(mode=mode).apply(static).coefficients, static.coefficients)
        assert LoopGuidance(mode=mode).apply(constant) is constant


# ---- crossfade ----


@pytest.mark.parametrize("frames", [15, 30])
def test_crossfade_removes_the_jerk_and_shortens_the_loop(leaky, frames):
    faded = LoopGuidance(mode="crossfade", frames=frames).apply(leaky[0])
    motion = loop(faded)
    assert seam_ratio(motion) <= 1.1
    assert (faded.period, faded.fps, faded.num_bins) == (PERIOD - frames, FPS, BINS)
    assert len(motion) == PERIOD - frames and motion.fps == FPS


def test_crossfade_keeps_frames_outside_the_fade(leaky):
    length = 20
    faded = LoopGuidance(mode="crossfade", frames=length).apply(leaky[0])
    kept = slice(length, PERIOD - length)
    before, after = loop(leaky[0]).displacement()[0, kept], loop(faded).displacement()[0, kept]
    difference = after - before
    difference = difference - difference.mean(0)  # the origin of displacements
    assert float(difference.norm() / (before - before.mean(0)).norm()) <= 0.1


def test_crossfade_is_at_most_half_the_period(leaky):
    assert LoopGuidance(mode="crossfade", frames=1000).apply(leaky[0]).period == PERIOD // 2
    narrow = leaky[0].replace(period=2 * (BINS - 1))
    assert LoopGuidance(mode="crossfade").apply(narrow) is narrow


# ---- both ----


@pytest.mark.parametrize("mode", ["projection", "crossfade"])
class TestClosedForms:
    def test_strength_zero_changes_nothing(self, leaky, mode):
        assert LoopGuidance(mode=mode, strength=0).apply(leaky[0]) is leaky[0]

    def test_volumes_begin_at_rest(self, leaky, mode):
        fixed = LoopGuidance(mode=mode).apply(leaky[0])
        assert playback(fixed).displacement(0, 1).abs().max() < 1e-4
        assert not fixed.coefficients[:, 0, 1::2].any()

    @pytest.mark.parametrize("factor", [1e-6, 3.0, 1e6])
    def test_scaled_motion_gives_scaled_motion(self, leaky, mode, factor):
        scaled = LoopGuidance(mode=mode).apply(leaky[0].amplify(factor)).coefficients
        expected = LoopGuidance(mode=mode).apply(leaky[0]).coefficients * factor
        assert (scaled - expected).norm() / expected.norm() < 1e-4

    def test_items_of_a_batch_are_independent(self, leaky, mode):
        both = LoopGuidance(mode=mode).apply(batch(*leaky)).coefficients
        for item, volume in zip(both, leaky, strict=True):
            single = LoopGuidance(mode=mode).apply(volume).coefficients[0]
            torch.testing.assert_close(item, single, atol=1e-3, rtol=1e-4)


# ---- in the pipeline ----

GUIDANCES = [
    LoopGuidance(),
    LoopGuidance(during_sampling=True, recurrences=2),
    LoopGuidance(mode="crossfade"),
    LoopGuidance(mode="gradient"),
    LoopGuidance(mode="gradient", constraint="published", through_network=True),
]


@pytest.mark.parametrize("guidance", GUIDANCES)
@pytest.mark.parametrize("sampler", ["dpm", "ddim"])
def test_finite_and_at_rest_from_the_first_noise_level(pipeline, guidance, sampler):
    for steps in (1, 3):  # one step: only the noise level without signal
        volume = sample(pipeline, guidance, steps, sampler=sampler)
        assert volume.coefficients.shape == (1, BINS, 4, 16, 16)
        assert volume.coefficients.isfinite().all()
        assert playback(volume).displacement(0, 1).abs().max() < 1e-4


@pytest.mark.parametrize("mode", ["projection", "crossfade", "gradient"])
def test_strength_zero_is_unguided(pipeline, mode):
    plain = sample(pipeline, None)
    idle = sample(pipeline, LoopGuidance(mode=mode, strength=0, recurrences=1))
    torch.testing.assert_close(idle.coefficients, plain.coefficients)


@pytest.mark.parametrize("constraint", ["natural", "published"])
@pytest.mark.parametrize("through_network", [False, True])
def test_gradients_lower_the_loss(pipeline, constraint, through_network):
    options = {"constraint": constraint, "through_network": through_network}
    plain = float(seam_loss(sample(pipeline, None, 6), constraint))
    guided = float(seam_loss(sample(pipeline, LoopGuidance(mode="gradient", recurrences=1, **options), 6), constraint))
    assert guided < 0.8 * plain


def test_gradients_without_weight_change_nothing(pipeline):
    guided = sample(pipeline, LoopGuidance(mode="gradient", weight=0, recurrences=1))
    torch.testing.assert_close(guided.coefficients, sample(pipeline, None).coefficients)


def test_projection_while_sampling_reduces_the_seam_loss(pipeline):
    plain, guided = sample(pipeline, None), sample(pipeline, LoopGuidance(during_sampling=True))
    assert seam_loss(guided) < seam_loss(plain)


def test_photos_of_a_batch_are_independent(pipeline):
    """Seeds count up over a batch. (Recurrences: `test_recurrences_draw_noise_for_every_photo`.)"""
    photos = torch.stack([PHOTO.flip(0), PHOTO])
    for guidance in (LoopGuidance(mode="gradient", recurrences=1), LoopGuidance(during_sampling=True)):
        both = sample(pipeline, guidance, photo=photos, seed=0)
        single = sample(pipeline, guidance, seed=1)
        torch.testing.assert_close(both.coefficients[1:], single.coefficients, atol=1e-4, rtol=1e-3)


def test_recurrences_draw_noise_for_every_photo():
    model = small_model().requires_grad_(False).eval()
    generator = torch.Generator().manual_seed(0)
    noise, features = torch.randn(2, BINS, 4, 4, 4, generator=generator), torch.randn(2, 4, 4, 4, generator=generator)
    prior = torch.zeros(2, BINS, 2, 4, 4)

    def run(photos: slice):
        generators = [torch.Generator().manual_seed(seed) for seed in (10, 11)][photos]
        condition = Condition(features[photos], prior[photos])
        return sample_latents(
            model, condition, noise[photos], steps=3, guidance=LoopGuidance(mode="gradient"), generator=generators
        )

    both = run(slice(0, 2))
    torch.testing.assert_close(both[1:], run(slice(1, 2)), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("guidance", GUIDANCES)
def test_pipeline_in_inference_mode(guidance):
    """ComfyUI loads and runs models in inference mode: weights and photos are inference tensors."""
    expected = sample(GIDPipeline(small_model()), guidance, 2)
    with torch.inference_mode():
        pipeline = GIDPipeline(small_model())
        volume = sample(pipeline, guidance, 2, photo=PHOTO.clone())
    assert torch.equal(volume.coefficients, expected.coefficients)
    if guidance.mode == "gradient":
        names = [n for n, p in pipeline.model.autoencoder.named_parameters() if p.is_inference()]
        assert not names
        assert not any(p.requires_grad for p in pipeline.model.parameters())


@pytest.mark.parametrize("through_network", [False, True])
def test_guidance_after_weights_were_moved_in_inference_mode(through_network):
    """ComfyUI unloads a model and loads it again in inference mode, which makes its weights inference tensors."""
    pipeline, guidance = GIDPipeline(small_model()), LoopGuidance(mode="gradient", through_network=through_network)
    expected = sample(pipeline, guidance, 2)
    with torch.inference_mode():
        pipeline.model.to(torch.float64).to(torch.float32)  # a device that has no other moves by another dtype
        assert any(parameter.is_inference() for parameter in pipeline.model.parameters())
        volume = sample(pipeline, guidance, 2, photo=PHOTO.clone())
    assert torch.equal(volume.coefficients, expected.coefficients)


def test_sampling_in_inference_mode():
    model = small_model().requires_grad_(False)
    for through_network in (False, True):
        with torch.inference_mode():
            features, prior, noise = (
                torch.zeros(1, 4, 4, 4),
                torch.zeros(1, BINS, 2, 4, 4),
                torch.randn(1, BINS, 4, 4, 4),
            )
            guidance = LoopGuidance(mode="gradient", through_network=through_network)
            condition = Condition(features, prior)
            latents = sample_latents(model, condition, noise, steps=2, guidance_scale=1.5, guidance=guidance)
        assert latents.isfinite().all()


# ---- parameters ----


@pytest.mark.parametrize(
    "options, message",
    [
        ({"mode": "magic"}, "mode of loop guidance must be one of projection, crossfade, gradient"),
        ({"constraint": "none"}, "constraint"),
        ({"strength": -0.1}, "strength"),
        ({"strength": math.nan}, "strength"),
        ({"weight": -1}, "weight"),
        ({"weight": math.inf}, "weight"),
        ({"frames": 0}, "frames"),
        ({"frames": 2.5}, "frames"),
        ({"recurrences": 0}, "recurrences"),
        ({"mode": "gradient", "during_sampling": True}, "during_sampling"),
        ({"through_network": True}, "through_network"),
    ],
)
def test_invalid_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        LoopGuidance(**options)


def test_default_recurrences():
    assert LoopGuidance(mode="gradient").recurrences == 2
    assert LoopGuidance().recurrences == 1


def test_seam_loss(leaky, periodic):
    assert seam_loss(leaky[0]).shape == (1,)
    assert seam_loss(leaky[0]) > 2 * seam_loss(periodic)
    frames = loop(leaky[0]).displacement()[0]
    jump = (frames[0] - frames[1]).abs().sum() + ((frames[0] - frames[-1]) - (frames[2] - frames[1])).abs().sum()
    published = seam_loss(leaky[0], "published")
    torch.testing.assert_close(published[0], jump / SIDE**2, atol=1e-4, rtol=1e-3)
    with pytest.raises(ValueError, match="constraint"):
        seam_loss(leaky[0], "other")
