"""Loop guidance: seams vanish, what loops stays, and gradients work where ComfyUI runs them."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from gid_core.evaluation.motion_metrics import seam_ratio
from gid_core.models.config import GID_SMALL, AutoencoderConfig, DenoiserConfig, EncoderConfig, VolumeConfig
from gid_core.models.loop_guidance import LoopGuidance, seam_loss
from gid_core.models.motion_model import MotionModel
from gid_core.models.pipeline import GIDPipeline
from gid_core.models.sampling import Condition, sample_latents
from gid_core.motion import loop, playback
from gid_core.spectral_volume import SpectralVolume, rfft_bins

PERIOD, BINS, FPS, SIDE = 150, 16, 30.0, 16


def toy(seed: int, detrend: str = "none") -> SpectralVolume:
    """Trees in gusts: three damped modes a pixel, driven by slow noise; frame 150 is nowhere near frame 0."""
    random, count, warm = np.random.default_rng(seed), 2 * SIDE**2, 300
    paths = np.zeros((warm + PERIOD + 1, count))
    for frequency, amplitude in ((0.35, 1.0), (0.8, 0.5), (1.6, 0.2)):
        w = 2 * math.pi * frequency
        system = torch.tensor([[0.0, 1.0], [-w * w, -0.16 * w]], dtype=torch.float64)
        step = torch.matrix_exp(system / FPS).numpy()
        state, gust, path = np.zeros((2, count)), np.zeros(count), np.zeros_like(paths)
        for t in range(len(paths)):
            gust = 0.9 * gust + random.standard_normal(count)
            state = step @ state
            state[1] += gust
            path[t] = state[0]
        paths += path * (amplitude / path[warm:].std())
    paths = 1.5 * (paths[warm:] - paths[warm])
    if detrend == "ramp":
        paths -= np.linspace(0, 1, PERIOD + 1)[:, None] * paths[-1]
    frames = torch.tensor(paths[:PERIOD]).view(1, PERIOD, 2, SIDE, SIDE)
    return SpectralVolume(rfft_bins(frames, BINS), FPS, PERIOD, detrend)


def batch(*volumes: SpectralVolume) -> SpectralVolume:
    return volumes[0].replace(coefficients=torch.cat([v.coefficients for v in volumes]))


def change(before: SpectralVolume, after: SpectralVolume) -> float:
    """Relative rms change of motion; bin 0 apart, which only says where motion is counted from."""
    a, b = before.coefficients[:, 1:], after.coefficients[:, 1:]
    return float((b - a).norm() / a.norm())


@pytest.fixture(scope="module")
def leaky():
    return [toy(seed) for seed in range(2)]


@pytest.fixture(scope="module")
def periodic():
    return toy(5, "ramp")


def small_model(seed: int = 0) -> MotionModel:
    config = dataclasses.replace(
        GID_SMALL,
        volume=VolumeConfig(pixels=64 * 64),
        autoencoder=AutoencoderConfig((8, 16, 16)),
        encoder=EncoderConfig("resnet", 4, 8),
        denoiser=DenoiserConfig((16, 32), 1, (1,), 2),
    )
    torch.manual_seed(seed)
    model = MotionModel(config)
    for parameter in model.denoiser.parameters():  # those that begin at 0 would leave the photo out
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
def test_projection_takes_the_jerk_out_of_leaky_volumes(leaky, seed):
    fixed = LoopGuidance().finish(leaky[seed])
    assert seam_ratio(loop(leaky[seed])) > 2
    assert seam_ratio(loop(fixed)) <= 1.1
    assert 0.02 < change(leaky[seed], fixed) <= 0.25
    assert (fixed.period, fixed.fps, fixed.num_bins) == (PERIOD, FPS, BINS)


def test_projection_reports_what_it_changed(leaky):
    fixed = LoopGuidance().finish(leaky[0])
    percent = round(100 * change(leaky[0], fixed))
    assert fixed.metadata["loop_guidance"] == f"projection, changed by {percent} %"


def test_more_strength_is_less_jerk(leaky):
    ratios = [seam_ratio(loop(LoopGuidance(strength=s).finish(leaky[0]))) for s in (0.05, 0.3, 1.0, 3.0)]
    assert ratios == sorted(ratios, reverse=True)


def test_volumes_that_loop_are_hardly_changed(periodic):
    assert change(periodic, LoopGuidance().finish(periodic)) < 0.03
    assert LoopGuidance(mode="crossfade").finish(periodic) is periodic


@pytest.mark.parametrize("bins, period", [(4, 150), (16, 30), (60, 150), (2, 20)])
def test_other_bins_and_periods(bins, period):
    random = torch.Generator().manual_seed(0)
    slices = torch.randn(1, bins, 4, 8, 8, generator=random) / torch.arange(1, bins + 1).view(-1, 1, 1, 1)
    slices[:, 1:, 0::2] += 4  # an impulse in frame 0
    volume = SpectralVolume(slices, FPS, period)
    for mode in ("projection", "crossfade"):
        fixed = LoopGuidance(mode=mode).finish(volume)
        assert fixed.coefficients.isfinite().all()
        assert fixed.num_bins == bins


def test_what_cannot_move_stays_as_it_is():
    still = SpectralVolume(torch.zeros(2, BINS, 4, 8, 8))
    constant = SpectralVolume(torch.ones(1, 1, 4, 8, 8))
    for mode in ("projection", "crossfade"):
        torch.testing.assert_close(LoopGuidance(mode=mode).finish(still).coefficients, still.coefficients)
        assert LoopGuidance(mode=mode).finish(constant) is constant


# ---- crossfade ----


@pytest.mark.parametrize("frames", [15, 30])
def test_crossfade_takes_the_jerk_out_and_shortens_the_loop(leaky, frames):
    faded = LoopGuidance(mode="crossfade", frames=frames).finish(leaky[0])
    motion = loop(faded)
    assert seam_ratio(motion) <= 1.1
    assert (faded.period, faded.fps, faded.num_bins) == (PERIOD - frames, FPS, BINS)
    assert len(motion) == PERIOD - frames and motion.fps == FPS


def test_crossfade_keeps_what_it_does_not_fade(leaky):
    length = 20
    faded = LoopGuidance(mode="crossfade", frames=length).finish(leaky[0])
    kept = slice(length, PERIOD - length)
    before, after = loop(leaky[0]).displacement()[0, kept], loop(faded).displacement()[0, kept]
    difference = after - before
    difference = difference - difference.mean(0)  # where motion is counted from
    assert float(difference.norm() / (before - before.mean(0)).norm()) <= 0.1


def test_crossfade_takes_at_most_half_the_period(leaky):
    assert LoopGuidance(mode="crossfade", frames=1000).finish(leaky[0]).period == PERIOD // 2
    narrow = leaky[0].replace(period=2 * (BINS - 1))
    assert LoopGuidance(mode="crossfade").finish(narrow) is narrow


# ---- both ----


@pytest.mark.parametrize("mode", ["projection", "crossfade"])
class TestClosedForms:
    def test_strength_zero_changes_nothing(self, leaky, mode):
        assert LoopGuidance(mode=mode, strength=0).finish(leaky[0]) is leaky[0]

    def test_begins_at_rest(self, leaky, mode):
        fixed = LoopGuidance(mode=mode).finish(leaky[0])
        assert playback(fixed).displacement(0, 1).abs().max() < 1e-4
        assert not fixed.coefficients[:, 0, 1::2].any()

    @pytest.mark.parametrize("factor", [1e-6, 3.0, 1e6])
    def test_scaled_motion_gives_scaled_motion(self, leaky, mode, factor):
        scaled = LoopGuidance(mode=mode).finish(leaky[0].amplify(factor)).coefficients
        wanted = LoopGuidance(mode=mode).finish(leaky[0]).coefficients * factor
        assert (scaled - wanted).norm() / wanted.norm() < 1e-4

    def test_a_batch_is_its_items(self, leaky, mode):
        both = LoopGuidance(mode=mode).finish(batch(*leaky)).coefficients
        for one, alone in zip(both, leaky, strict=True):
            alone = LoopGuidance(mode=mode).finish(alone).coefficients[0]
            torch.testing.assert_close(one, alone, atol=1e-3, rtol=1e-4)


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
    for steps in (1, 3):  # one step: only the level without signal
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


def test_projection_brings_samples_to_rest_at_the_seam(pipeline):
    plain, guided = sample(pipeline, None), sample(pipeline, LoopGuidance(during_sampling=True))
    assert seam_loss(guided) < seam_loss(plain)


def test_photos_of_a_batch_do_not_depend_on_each_other(pipeline):
    """Seeds count up over a batch. (Recurrences: `test_recurrences_draw_for_every_photo`.)"""
    photos = torch.stack([PHOTO.flip(0), PHOTO])
    for guidance in (LoopGuidance(mode="gradient", recurrences=1), LoopGuidance(during_sampling=True)):
        both = sample(pipeline, guidance, photo=photos, seed=0)
        alone = sample(pipeline, guidance, seed=1)
        torch.testing.assert_close(both.coefficients[1:], alone.coefficients, atol=1e-4, rtol=1e-3)


def test_recurrences_draw_for_every_photo():
    model = small_model().requires_grad_(False).eval()
    random = torch.Generator().manual_seed(0)
    noise, features = torch.randn(2, BINS, 4, 4, 4, generator=random), torch.randn(2, 4, 4, 4, generator=random)
    prior = torch.zeros(2, BINS, 2, 4, 4)

    def run(of: slice):
        generators = [torch.Generator().manual_seed(seed) for seed in (10, 11)][of]
        condition = Condition(features[of], prior[of])
        return sample_latents(
            model, condition, noise[of], steps=3, guide=LoopGuidance(mode="gradient"), generator=generators
        )

    both = run(slice(0, 2))
    torch.testing.assert_close(both[1:], run(slice(1, 2)), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("guidance", GUIDANCES)
def test_inference_mode(guidance):
    """As in ComfyUI, which loads and runs in it: weights, photo and all are inference tensors."""
    wanted = sample(GIDPipeline(small_model()), guidance, 2)
    with torch.inference_mode():
        pipeline = GIDPipeline(small_model())
        volume = sample(pipeline, guidance, 2, photo=PHOTO.clone())
    assert torch.equal(volume.coefficients, wanted.coefficients)
    if guidance.mode == "gradient":
        names = [n for n, p in pipeline.model.autoencoder.named_parameters() if p.is_inference()]
        assert not names
        assert not any(p.requires_grad for p in pipeline.model.parameters())


def test_sampling_itself_in_inference_mode():
    model = small_model().requires_grad_(False)
    for through_network in (False, True):
        with torch.inference_mode():
            features, prior, noise = (
                torch.zeros(1, 4, 4, 4),
                torch.zeros(1, BINS, 2, 4, 4),
                torch.randn(1, BINS, 4, 4, 4),
            )
            guide = LoopGuidance(mode="gradient", through_network=through_network)
            latents = sample_latents(model, Condition(features, prior), noise, steps=2, guidance_scale=1.5, guide=guide)
        assert latents.isfinite().all()


# ---- parameters ----


@pytest.mark.parametrize(
    "options, said",
    [
        ({"mode": "magic"}, "mode of loop guidance is one of projection, crossfade, gradient"),
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
def test_bad_parameters_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        LoopGuidance(**options)


def test_recurrences_default_to_the_papers():
    assert LoopGuidance(mode="gradient").recurrences == 2
    assert LoopGuidance().recurrences == 1


def test_seam_loss_says_what_it_means(leaky, periodic):
    assert seam_loss(leaky[0]).shape == (1,)
    assert seam_loss(leaky[0]) > 2 * seam_loss(periodic)
    frames = loop(leaky[0]).displacement()[0]
    jump = (frames[0] - frames[1]).abs().sum() + ((frames[0] - frames[-1]) - (frames[2] - frames[1])).abs().sum()
    published = seam_loss(leaky[0], "published")
    torch.testing.assert_close(published[0], jump / SIDE**2, atol=1e-4, rtol=1e-3)
    with pytest.raises(ValueError, match="constraint"):
        seam_loss(leaky[0], "other")
