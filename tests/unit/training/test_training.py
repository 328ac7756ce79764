"""Training: what each stage learns, resuming, two processes, the loop's bookkeeping, and the command `gid train`."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import Dataset

from gid_core.cli import main
from gid_core.media.video_io import write_video
from gid_core.models.checkpoint import load_model, read_header, save_model
from gid_core.models.config import DiffusionConfig
from gid_core.models.motion_model import MotionModel
from gid_core.spectral_volume import SpectralVolume
from gid_core.synthetic.random_scene import random_scene
from gid_core.training import train_command as command
from gid_core.training.augmentation import Augmentation
from gid_core.training.motion_dataset import Mixture, MotionDataset, combine_seeds
from gid_core.training.motion_samples import Sample, find_samples, load_sample, write_sample
from gid_core.training.prepare_samples import prepare_clips
from gid_core.training.rendering_samples import load_rendering_samples
from gid_core.training.stages import DROP_CONDITION, MOTION_STAGES, Denoising, make_stage, modulus_target
from gid_core.training.trainer import Schedule, train
from tiny_models import BINS, TINY, random

LAYOUTS = {"denoiser": "independent"}


def tiny_model(stage="coordinate", seed=0):
    torch.manual_seed(seed)
    layout = LAYOUTS.get(stage, "coordinated")
    return MotionModel(replace(TINY, denoiser=replace(TINY.denoiser, layout=layout)))


class Items(Dataset):
    """Blobs that sway, `kinds` of them; remembers what was asked for and may be cut off at an item."""

    def __init__(self, kinds=10**6, stop_at=None):
        self.kinds, self.stop_at, self.asked = kinds, stop_at, []

    def __len__(self):
        return 10**6

    def __getitem__(self, index):
        if index == self.stop_at:
            raise KeyboardInterrupt
        self.asked.append(index)
        chance = np.random.default_rng(index % self.kinds)
        y, x = np.mgrid[-1:1:16j, -1:1:32j]
        blob = np.exp(-8 * ((x - chance.uniform(-1, 1)) ** 2 + (y - chance.uniform(-1, 1)) ** 2))
        swing = chance.standard_normal((BINS, 4)) * 20 / (1 + np.arange(BINS))[:, None]
        photo = np.kron(blob, np.ones((4, 4)))[None] * chance.uniform(0.3, 1, (3, 1, 1))
        return torch.from_numpy(photo).float(), torch.from_numpy(swing[..., None, None] * blob).float()


class Listening(nn.Module):
    """A stage that remembers its losses."""

    def __init__(self, stage):
        super().__init__()
        self.stage, self.losses, self.parts = stage, [], []

    @property
    def model(self):
        return self.stage.model

    def forward(self, *batch):
        loss, parts = self.stage(*batch)
        self.losses.append(float(loss.detach()))
        self.parts.append(parts)
        return loss, parts


QUICK = Schedule(steps=6, batch=2, warmup=2, rate=1e-3, ema=0.9)


def state_of(folder):
    """All tensors that a run keeps: raw weights, optimizer, moving average."""
    found = {f"raw.{name}": value for name, value in load_file(folder / "state" / "model.safetensors").items()}
    found |= {f"kept.{name}": value for name, value in load_file(folder / "model.safetensors").items()}
    optimizer = torch.load(folder / "state" / "optimizer.bin", weights_only=True)
    for number, values in optimizer["state"].items():
        found |= {f"optimizer.{number}.{name}": torch.as_tensor(value) for name, value in values.items()}
    average = torch.load(folder / "state" / "custom_checkpoint_0.pkl", weights_only=True)
    found |= {f"average.{number}": value for number, value in enumerate(average["shadow_params"])}
    found["rate"] = torch.tensor([group["lr"] for group in optimizer["param_groups"]])
    return found


def same(first, second):
    return set(first) == set(second) and all(torch.equal(value, second[name]) for name, value in first.items())


# ---- resuming ----


@pytest.mark.parametrize("name", MOTION_STAGES)
def test_training_that_was_cut_off_goes_on_as_if_nothing_had_been(name, tmp_path):
    whole = Listening(make_stage(name, tiny_model(name)))
    train(whole, Items(), QUICK, tmp_path / "whole")
    cut = Listening(make_stage(name, tiny_model(name)))
    often = replace(QUICK, save_every=0)
    with pytest.raises(KeyboardInterrupt):
        train(cut, Items(stop_at=6), often, tmp_path / "cut", on_save=lambda *_: torch.rand(5))
    resumed = Listening(make_stage(name, tiny_model(name, seed=7)))  # its own weights must not matter
    items = Items()
    result = train(resumed, items, QUICK, tmp_path / "cut")
    assert result["step"] == 6
    assert items.asked == list(range(6, 12))
    assert cut.losses + resumed.losses == whole.losses
    assert same(state_of(tmp_path / "whole"), state_of(tmp_path / "cut"))
    assert same(whole.model.state_dict(), resumed.model.state_dict())


def test_training_in_short_sessions_is_the_same_training(tmp_path):
    train(make_stage("vae", tiny_model()), Items(), replace(QUICK, steps=3), tmp_path / "whole")
    for session in range(3):
        short = replace(QUICK, steps=3, minutes=1e-9)
        means = train(make_stage("vae", tiny_model(seed=session)), Items(), short, tmp_path / "short")
        assert means["step"] == session + 1
    assert same(state_of(tmp_path / "whole"), state_of(tmp_path / "short"))


def test_finished_training_stays_as_it_is(tmp_path):
    model = tiny_model()
    train(make_stage("vae", model), Items(), QUICK, tmp_path)
    before = state_of(tmp_path)
    items = Items()
    again = tiny_model(seed=1)
    assert train(make_stage("vae", again), items, QUICK, tmp_path)["step"] == 6
    assert items.asked == []
    assert same(state_of(tmp_path), before)
    assert same(again.state_dict(), model.state_dict())


@pytest.mark.parametrize("moment", ["save_state", "rename"])
def test_a_state_cut_off_while_it_is_saved_costs_only_what_came_after_the_last(tmp_path, monkeypatch, moment):
    from accelerate import Accelerator

    train(make_stage("vae", tiny_model()), Items(), replace(QUICK, steps=3), tmp_path)

    def cut(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*((Accelerator, "save_state", cut) if moment == "save_state" else (Path, "rename", cut)))
        with pytest.raises(KeyboardInterrupt):
            train(make_stage("vae", tiny_model()), Items(), QUICK, tmp_path)
    items = Items()
    assert train(make_stage("vae", tiny_model()), items, QUICK, tmp_path)["step"] == 6
    assert items.asked == (list(range(6, 12)) if moment == "save_state" else [])


# ---- two processes ----

WORKER = """
import sys, torch
sys.path.insert(0, {folder!r})
import test_training as here
from accelerate import PartialState

stage, items = here.make_stage("denoiser", here.tiny_model("denoiser")), here.Items()
here.train(stage, items, here.replace(here.QUICK, steps=2), {out!r})
rank = PartialState().process_index
torch.save(dict(asked=items.asked, weights=stage.model.state_dict()), {out!r} + f"/rank{{rank}}.pt")
"""


def test_two_processes_see_different_samples_and_keep_the_same_weights(tmp_path, repo):
    script = tmp_path / "worker.py"
    script.write_text(WORKER.format(folder=str(Path(__file__).parent), out=str(tmp_path)))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    paths = os.pathsep.join([str(repo), str(repo / "tests")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths, "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(launch, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    ranks = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert ranks[0]["asked"] == [0, 1, 4, 5]
    assert ranks[1]["asked"] == [2, 3, 6, 7]
    assert same(ranks[0]["weights"], ranks[1]["weights"])
    assert not same(ranks[0]["weights"], tiny_model("denoiser").state_dict())
    # Both of them together have trained: one of them alone ends elsewhere.
    alone = make_stage("denoiser", tiny_model("denoiser"))
    train(alone, Items(), replace(QUICK, steps=2), tmp_path / "alone")
    assert not same(alone.model.state_dict(), ranks[0]["weights"])
    assert read_header(tmp_path / "model.safetensors")["steps"] == "2"


# ---- bookkeeping ----


def test_what_is_kept_is_the_moving_average(tmp_path):
    seen = []
    train(make_stage("vae", tiny_model()), Items(), QUICK, tmp_path, on_save=lambda model, step: seen.append(step))
    raw = load_file(tmp_path / "state" / "model.safetensors")
    kept = load_model(tmp_path / "model.safetensors").state_dict()
    differ = {name for name, value in kept.items() if not torch.equal(value, raw[f"model.{name}"])}
    assert differ
    assert all(name.startswith("autoencoder.vae.") for name in differ)
    start = tiny_model().state_dict()
    name = "autoencoder.vae.decoder.conv_in.weight"
    assert (kept[name] - start[name]).norm() < (raw[f"model.{name}"] - start[name]).norm()
    assert seen == [6]


def test_progress_goes_to_tensorboard_with_pictures(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    calls = iter(range(100))

    class Counting(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model.requires_grad_(False)
            model.autoencoder.vae.quant_conv.requires_grad_(True)

        def forward(self, photos, coefficients, seed):
            weight = self.model.autoencoder.vae.quant_conv.weight
            return weight.square().sum(), {"calls": next(calls)}

    train(
        Counting(tiny_model()),
        Items(),
        replace(QUICK, steps=100, batch=1),
        tmp_path,
        pictures=lambda model: torch.full((4, 6, 3), 0.5),
    )
    log = EventAccumulator(str(tmp_path / "log"))
    log.Reload()
    assert {"loss", "calls"} <= set(log.Tags()["scalars"])
    assert [event.step for event in log.Scalars("calls")] == [50, 100]
    assert [event.value for event in log.Scalars("calls")] == [24.5, 74.5]
    assert log.Tags()["images"] == ["samples"]
    progress = json.loads((tmp_path / "progress.json").read_text())
    assert progress["step"] == 100
    assert progress["schedule"]["batch"] == 1


def test_a_loss_that_is_not_finite_stops_the_training(tmp_path):
    class Broken(Items):
        def __getitem__(self, index):
            photo, coefficients = super().__getitem__(index)
            return photo, coefficients * (torch.nan if index == 4 else 1)

    with pytest.raises(ArithmeticError, match="step 2"):
        train(make_stage("vae", tiny_model()), Broken(), QUICK, tmp_path)


def test_the_rate_rises_and_falls():
    from gid_core.training.trainer import _rate

    schedule = Schedule(steps=100, warmup=10)
    rates = [_rate(step, schedule) for step in range(120)]
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert rates[10] == pytest.approx(1)
    assert rates[99:] == pytest.approx([0.1] * 21, abs=1e-3)
    assert sorted(rates[10:], reverse=True) == rates[10:]


# ---- the stages ----


def after(name, steps=2, **options):
    """Names of the tensors that some training changed."""
    model = tiny_model(name)
    with torch.no_grad():
        model.denoiser.leave[-1].weight.normal_()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    stage = make_stage(name, model, **options)
    optimizer = torch.optim.SGD([p for p in stage.parameters() if p.requires_grad], 0.1)
    items = Items()
    photos, coefficients = (torch.stack(each) for each in zip(*(items[i] for i in range(3)), strict=True))
    for step in range(steps):
        loss, _ = stage.train()(photos, coefficients, step)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}


def test_every_stage_trains_its_own_part_and_nothing_else():
    assert all(name.startswith("autoencoder.vae.") for name in after("vae"))
    assert all(name.startswith("encoder.") and "features" not in name for name in after("encoder"))
    changed = after("denoiser")
    assert {name.split(".")[0] for name in changed} == {"denoiser", "encoder"}
    assert all("features" in name for name in changed if name.startswith("encoder."))


def test_coordination_trains_the_attention_between_frequencies_only():
    changed = after("coordinate")
    assert changed
    assert all(name.startswith("denoiser.") and ".coordinate." in name for name in changed)
    unfrozen = after("coordinate", unfreeze=True)
    assert changed < unfrozen
    assert all(name.startswith("denoiser.") for name in unfrozen)


def test_coordination_needs_the_attention():
    with pytest.raises(ValueError, match="independent"):
        make_stage("coordinate", tiny_model("denoiser"))
    with pytest.raises(ValueError, match="juggle"):
        make_stage("juggle", tiny_model())


class Oracle(nn.Module):
    """Knows the latents, so it knows the noise and the velocity too; remembers what it was told of the photo."""

    def __init__(self, model, latents):
        super().__init__()
        self.latents, self.alphas = latents, model.schedule().alphas_cumprod
        self.prediction, self.told = model.config.diffusion.prediction, []

    def forward(self, noisy, timesteps, features, prior):
        self.told.append((timesteps, features, prior))
        levels = timesteps if timesteps.ndim == 2 else timesteps[:, None]
        alpha = self.alphas[levels][..., None, None, None]
        noise = (noisy - alpha.sqrt() * self.latents) / (1 - alpha).sqrt()
        return alpha.sqrt() * noise - (1 - alpha).sqrt() * self.latents if self.prediction != "epsilon" else noise


@pytest.mark.parametrize("name", ["denoiser", "coordinate"])
@pytest.mark.parametrize(("prediction", "zero_snr"), [("v_prediction", True), ("epsilon", False)])
def test_who_knows_the_answer_has_no_loss(name, prediction, zero_snr):
    model = tiny_model(name)
    model = MotionModel(replace(model.config, diffusion=DiffusionConfig(prediction=prediction, zero_snr=zero_snr)))
    stage = Denoising(model, coordinate=name == "coordinate")
    latents = random(300, BINS, 4, 2, 3)
    model.denoiser = Oracle(model, latents)
    features, prior = torch.ones(300, 4, 2, 3), torch.ones(300, BINS, 2, 2, 3)
    loss = stage._noise_loss(latents, features, prior, torch.Generator().manual_seed(0))
    assert float(loss) < 1e-4
    timesteps, features, prior = model.denoiser.told[0]
    # Every slice has a noise level of its own, or all of a photo share one.
    assert timesteps.shape == ((300, BINS) if name == "denoiser" else (300,))
    assert int(timesteps.min()) < 20
    assert int(timesteps.max()) > 980
    # Some photos are withheld, features and prior together.
    withheld = (features == 0).flatten(1).all(1)
    assert torch.equal(withheld, (prior == 0).flatten(1).all(1))
    assert torch.equal(~withheld, (features == 1).flatten(1).all(1))
    assert abs(float(withheld.float().mean()) - DROP_CONDITION) < 0.06


def test_the_prior_is_trained_toward_the_modulus_on_the_latents_grid():
    normalized = torch.zeros(1, BINS, 4, 8, 8)
    normalized[:, 3, :2, :4] = 2.0
    normalized[:, 5, 3, :, 4:] = -1.0
    target = modulus_target(normalized, (2, 2))
    assert target.shape == (1, BINS, 2, 2, 2)
    assert target[0, 3].tolist() == [[[2, 2], [0, 0]], [[0, 0], [0, 0]]]
    torch.testing.assert_close(target[0, 5, 1], torch.tensor([[0, 0.5**0.5], [0, 0.5**0.5]]))
    assert int((target.sum((-1, -2)) > 0).sum()) == 2


@pytest.mark.parametrize(("name", "steps", "left"), [("vae", 100, 0.65), ("encoder", 60, 0.5), ("denoiser", 100, 0.6)])
def test_four_samples_are_learned(name, steps, left, tmp_path):
    model = tiny_model(name)
    items = Items(kinds=4)
    volumes = [items[i][1][None] for i in range(4)]
    model.normalizer.scale.copy_(torch.stack(volumes).abs().flatten(3).amax((0, 1, 3)) / 32)
    with torch.no_grad():
        model.autoencoder.measure((model.normalizer.normalize(volume), 1.0) for volume in volumes)
        if name == "denoiser":
            nn.init.zeros_(model.encoder.prior.weight), nn.init.constant_(model.encoder.prior.bias, 0.5)
    options = {"repeats": 2} if name == "denoiser" else {}
    schedule = Schedule(steps=steps, batch=4, warmup=5, rate=3e-3)
    stage = Listening(make_stage(name, model, **options))
    train(stage, items, schedule, tmp_path)
    seen = [parts[{"vae": "l1", "encoder": "error", "denoiser": "noise"}[name]] for parts in stage.parts]
    assert np.mean(seen[-15:]) < left * np.mean(seen[:3])


# ---- data ----


def sample(name="one", bins=BINS, size=(32, 64), seed=0):
    volume = SpectralVolume(20 * random(1, bins, 4, 8, 16, seed=seed), detrend="ramp")
    photo = torch.rand(*size, 3, generator=torch.Generator().manual_seed(seed))
    return Sample(name, name, (photo * 255).byte(), volume)


def test_items_are_drawn_by_their_numbers_alone():
    sources = [[sample("a", seed=1), sample("b", seed=2)], [sample("c", seed=3)]]
    plain = Augmentation(size=(32, 64))
    data = MotionDataset(sources, Mixture((1.0, 2.0)), plain, 1000, seed=5)
    there, back = [data[i] for i in range(6)], [data[i] for i in reversed(range(6))][::-1]
    for one, other in zip(there, back, strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])
    assert there[0][0].shape == (3, 32, 64)
    assert there[0][1].shape == (BINS, 4, 8, 16)
    assert not torch.equal(there[0][0], there[1][0])
    other = MotionDataset(sources, Mixture((1.0, 2.0)), plain, 1000, seed=6)
    assert not torch.equal(other[0][0], there[0][0])


@pytest.mark.parametrize("numbers", [(0, 0), (0, 1), (1, 0), (2**40, 0), (0, 10**9), (5, 3, 1)])
def test_seeds_of_several_numbers_differ_in_what_torch_heeds_of_them(numbers):
    others = [(0, 0), (0, 1), (1, 0), (2**40, 0), (0, 10**9), (5, 3, 1), (5, 3, 2)]
    draws = {n: torch.rand(2, generator=torch.Generator().manual_seed(combine_seeds(*n))).tolist() for n in others}
    assert [n for n in others if draws[n] == draws[numbers]] == [numbers]
    assert combine_seeds(5, 3, 1) == combine_seeds(5, 3, 1)


def test_items_are_of_unit_amplitude_if_asked_for():
    for unit in (True, False):
        data = MotionDataset([[sample()]], Mixture((1.0,), 0.0), Augmentation(size=(32, 64)), 10, unit_amplitude=unit)
        sizes = [float(SpectralVolume(data[i][1][None]).amplitude) for i in range(3)]
        assert (sizes == pytest.approx([1, 1, 1], rel=1e-4)) == unit


@pytest.mark.parametrize(("sources", "weights"), [([[]], (1.0,)), ([[sample()]], (1.0, 2.0)), ([], ())])
def test_sources_and_weights_must_fit(sources, weights):
    with pytest.raises(ValueError, match="weights"):
        MotionDataset(sources, Mixture(weights), Augmentation(size=(32, 64)), 10)


# ---- the command ----


@pytest.fixture
def few(monkeypatch):
    """Statistics from few samples, so that it takes seconds."""
    monkeypatch.setattr(command, "SCALE_SAMPLES", 6)
    monkeypatch.setattr(command, "WHITENING_SAMPLES", 6)


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    """One clip of five seconds of swaying stems, one too short, one that is none."""
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
        one = sample(f"s{i}", 16, seed=i)
        write_sample(tmp_path / "samples", one.name, one.photo.float() / 255, one.volume)
    return tmp_path / "samples"


def test_clips_become_a_model_by_the_command_line(clip_folder, config_file, tmp_path, few):
    samples = tmp_path / "samples"
    assert main(["train", "prepare", "--clips", str(clip_folder), "--windows", "1", "--out", str(samples)]) == 0
    assert [path.stem for path in find_samples(samples)] == ["stems_0"]
    one = load_sample(find_samples(samples)[0])
    assert one.photo.shape == (256, 512, 3)
    assert one.volume.size == (64, 128)
    assert one.volume.fps == pytest.approx(30)
    skipped = json.loads((samples / "skipped.json").read_text())
    assert set(skipped) == {"brief_0", "broken_0"}
    common = ["--samples", str(samples), "--size", "64", "128", "--batch", "1", "--held-out", "0", "--warmup", "1"]
    common += ["--steps", "2"]
    models = {stage: tmp_path / stage / "model.safetensors" for stage in MOTION_STAGES}
    start, single = ["--config", str(config_file)], ["--set", "denoiser.layout=independent"]
    for stage in MOTION_STAGES:
        options = single if stage == "denoiser" else []
        assert main(["train", stage, *common, "--out", str(models[stage].parent), *start, *options]) == 0
        start = ["--from", str(models[stage])]
    whitened = load_model(models["encoder"]).autoencoder.std
    assert not torch.equal(whitened, torch.ones_like(whitened))
    loaded = {stage: load_model(path) for stage, path in models.items()}
    assert loaded["denoiser"].config.denoiser.layout == "independent"
    assert loaded["coordinate"].config.denoiser.layout == "coordinated"
    shared = loaded["denoiser"].state_dict()
    final = loaded["coordinate"].state_dict()
    assert all(torch.equal(final[name], value) for name, value in shared.items())
    assert list((tmp_path / "denoiser" / "log").rglob("events*"))
    assert read_header(models["vae"])["steps"] == "2"
    # And again: what is done is done.
    again = ["train", "coordinate", *common, "--out", str(tmp_path / "coordinate"), "--from", str(models["denoiser"])]
    assert main(again) == 0
    assert all(torch.equal(final[name], v) for name, v in load_model(models["coordinate"]).state_dict().items())


def test_a_check_on_few_samples_leaves_them_unaugmented(sample_folder, config_file, tmp_path, few):
    arguments = ["train", "vae", "--samples", str(sample_folder), "--config", str(config_file), "--size", "32", "64"]
    arguments += ["--steps", "1", "--batch", "2", "--overfit", "2", "--held-out", "0", "--out", str(tmp_path / "out")]
    options = command.argparse.ArgumentParser()
    command.training_options(options)
    parsed = options.parse_args(arguments[1:])
    data, shown = command._data(parsed, command._config(parsed, None))
    photos = {tuple(data[i][0].flatten()[:20].tolist()) for i in range(12)}
    assert len(photos) == 2
    assert len(shown) > 0
    assert main(arguments) == 0


def test_prepared_clips_are_not_prepared_again(clip_folder, tmp_path, monkeypatch):
    from types import SimpleNamespace

    clips = [SimpleNamespace(path=clip_folder / "stems.mp4", group="stems")]
    one = sample("stems_0", 16)
    write_sample(tmp_path, "stems_0", one.photo.float() / 255, one.volume)
    (tmp_path / "skipped.json").write_text('{"stems_1": "too short"}')
    monkeypatch.setattr("gid_core.training.prepare_samples.read_video", lambda *_, **__: pytest.fail("read again"))
    assert list(prepare_clips(clips, tmp_path, 2)) == ["stems_0", "stems_1"]


def foreign_model(tmp_path):
    path = tmp_path / "other.safetensors"
    SpectralVolume(torch.zeros(1, 2, 4, 2, 2)).save(path)
    return str(path)


BAD = {
    "no such folder": (["vae", "--samples", "absent"], "absent"),
    "no such preset": (["vae", "--config", "gid-huge"], "gid-huge"),
    "no such setting": (["vae", "--set", "denoiser.depth=3"], "denoiser.depth"),
    "no such group": (["vae", "--set", "wings.size=3"], "wings.size"),
    "a setting of a value": (["vae", "--set", "name.first=x"], "name.first"),
    "a value that is none": (["vae", "--set", "denoiser.heads=many"], "denoiser.heads=many"),
    "a setting without a value": (["vae", "--set", "denoiser.heads"], "denoiser.heads"),
    "an unknown layout": (["vae", "--set", "denoiser.layout=woven"], "woven"),
    "one weight too many": (["vae", "--weights", "1", "2"], "weights"),
    "a size that does not fit": (["vae", "--size", "30", "64"], "30"),
    "no earlier stage": (["denoiser"], "--from"),
    "no such model": (["denoiser", "--from", "absent.safetensors"], "absent.safetensors"),
    "volumes with other bins": (["vae", "--set", "volume.num_bins=9"], "s0"),
    "volumes with another detrending": (["vae", "--set", "volume.detrend=none"], "s0"),
    "everything held out": (["vae", "--held-out", "1"], "empty"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_options_give_one_clear_line(case, sample_folder, config_file, tmp_path, capsys, few):
    (stage, *options), named = BAD[case]
    given = {"--samples": [str(sample_folder)], "--config": [str(config_file)], "--size": ["32", "64"]}
    given |= {"--held-out": ["0"], "--steps": ["1"], "--batch": ["1"], "--out": [str(tmp_path / "out")]}
    arguments = [word for name, values in given.items() if name not in options for word in (name, *values)]
    assert main(["train", stage, *arguments, *options]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("gid_core train: ")
    assert named in lines[-1]
    assert not any("Traceback" in line for line in lines)


def test_a_stage_goes_on_only_from_a_model_that_fits(sample_folder, config_file, tmp_path, capsys, few):
    common = ["--samples", str(sample_folder), "--size", "32", "64", "--held-out", "0", "--steps", "1", "--batch", "1"]
    assert main(["train", "denoiser", *common, "--out", str(tmp_path), "--from", foreign_model(tmp_path)]) == 1
    assert "other.safetensors is not a motion model" in capsys.readouterr().err
    stacked = replace(TINY, volume=replace(TINY.volume, num_bins=16), denoiser=replace(TINY.denoiser, layout="stacked"))
    path = save_model(tmp_path / "stacked.safetensors", MotionModel(stacked))
    assert main(["train", "coordinate", *common, "--out", str(tmp_path), "--from", str(path)]) == 1
    assert "stacked" in capsys.readouterr().err


def test_a_folder_is_not_gone_on_from_with_another_config(sample_folder, config_file, tmp_path, capsys, few):
    arguments = ["train", "vae", "--samples", str(sample_folder), "--config", str(config_file), "--size", "32", "64"]
    arguments += ["--held-out", "0", "--steps", "1", "--batch", "1", "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    assert main([*arguments, "--set", "autoencoder.channels=[8, 16, 24]"]) == 1
    assert "another config" in capsys.readouterr().err


def test_prepare_needs_something_to_prepare(tmp_path, capsys):
    assert main(["train", "prepare", "--out", str(tmp_path)]) == 1
    assert "--clips" in capsys.readouterr().err


def test_passages_become_a_renderer_by_the_command_line(clip_folder, config_file, tmp_path, few, monkeypatch):
    monkeypatch.setattr("gid_core.training.rendering_samples.SCENE_SIZE", (48, 64))
    clips, scenes, model = tmp_path / "clips", tmp_path / "scenes", tmp_path / "model.safetensors"
    prepare = ["train", "prepare", "--passages"]
    assert main([*prepare, "--clips", str(clip_folder), "--windows", "1", "--out", str(clips)]) == 0
    assert main([*prepare, "--scenes", "2", "--out", str(scenes)]) == 0
    assert main([*prepare, "--out", str(scenes)]) == 1
    assert sorted(path.stem for path in clips.glob("*.safetensors")) == ["stems_0"]
    assert [passage.name for passage in load_rendering_samples(scenes)] == ["scene_00000", "scene_00001"]
    save_model(model, MotionModel(TINY))
    arguments = ["train", "renderer", "--passages", str(clips), str(scenes), "--from", str(model), "--crop", "48"]
    arguments += ["--perceptual", "0", "--held-out", "0", "--batch", "1", "--warmup", "1", "--steps", "3"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    before, after = load_model(model).state_dict(), load_model(tmp_path / "out" / "model.safetensors").state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed and all(name.startswith("renderer.") for name in changed)
    with pytest.raises(FileNotFoundError, match="prepare --passages"):
        load_rendering_samples(tmp_path / "nowhere")
