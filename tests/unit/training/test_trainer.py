"""The training loop: resuming, two processes, moving average, log and learning rate."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from gid_core.models.checkpoint import load_model, read_header
from gid_core.training import trainer
from gid_core.training.stages import MOTION_STAGES, make_stage
from gid_core.training.trainer import TrainingConfig, _lr_factor, train
from tiny_training import QUICK, RecordingStage, SwayingBlobs, equal_tensors, saved_tensors, tiny_model

# ---- resuming ----


@pytest.mark.parametrize("name", MOTION_STAGES)
def test_interrupted_training_resumes_bit_identically(name, tmp_path):
    complete = RecordingStage(make_stage(name, tiny_model(name)))
    train(complete, SwayingBlobs(), QUICK, tmp_path / "complete")
    interrupted = RecordingStage(make_stage(name, tiny_model(name)))
    frequent = replace(QUICK, checkpointing_minutes=0)
    with pytest.raises(KeyboardInterrupt):
        train(
            interrupted,
            SwayingBlobs(interrupt_at=6),
            frequent,
            tmp_path / "interrupted",
            on_checkpoint=lambda *_: torch.rand(5),
        )
    resumed = RecordingStage(make_stage(name, tiny_model(name, seed=7)))  # its initial weights must not matter
    dataset = SwayingBlobs()
    result = train(resumed, dataset, QUICK, tmp_path / "interrupted")
    assert result["step"] == 6
    assert dataset.requested == list(range(6, 12))
    assert interrupted.losses + resumed.losses == complete.losses
    assert equal_tensors(saved_tensors(tmp_path / "complete"), saved_tensors(tmp_path / "interrupted"))
    assert equal_tensors(complete.model.state_dict(), resumed.model.state_dict())


def test_training_in_short_runs_equals_one_run(tmp_path):
    train(make_stage("vae", tiny_model()), SwayingBlobs(), replace(QUICK, max_train_steps=3), tmp_path / "complete")
    for run in range(3):
        short = replace(QUICK, max_train_steps=3, max_minutes=1e-9)
        means = train(make_stage("vae", tiny_model(seed=run)), SwayingBlobs(), short, tmp_path / "short")
        assert means["step"] == run + 1
    assert equal_tensors(saved_tensors(tmp_path / "complete"), saved_tensors(tmp_path / "short"))


def test_finished_training_is_not_continued(tmp_path):
    model = tiny_model()
    train(make_stage("vae", model), SwayingBlobs(), QUICK, tmp_path)
    before = saved_tensors(tmp_path)
    dataset = SwayingBlobs()
    again = tiny_model(seed=1)
    assert train(make_stage("vae", again), dataset, QUICK, tmp_path)["step"] == 6
    assert dataset.requested == []
    assert equal_tensors(saved_tensors(tmp_path), before)
    assert equal_tensors(again.state_dict(), model.state_dict())


@pytest.mark.parametrize("moment", ["save_state", "rename"])
def test_interruption_while_saving_loses_at_most_the_steps_since_the_last_state(tmp_path, monkeypatch, moment):
    from accelerate import Accelerator

    train(make_stage("vae", tiny_model()), SwayingBlobs(), replace(QUICK, max_train_steps=3), tmp_path)

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        target = (Accelerator, "save_state", interrupt) if moment == "save_state" else (Path, "rename", interrupt)
        patch.setattr(*target)
        with pytest.raises(KeyboardInterrupt):
            train(make_stage("vae", tiny_model()), SwayingBlobs(), QUICK, tmp_path)
    dataset = SwayingBlobs()
    assert train(make_stage("vae", tiny_model()), dataset, QUICK, tmp_path)["step"] == 6
    assert dataset.requested == (list(range(6, 12)) if moment == "save_state" else [])


def test_the_last_state_is_never_half_removed(tmp_path, monkeypatch):
    """Only a folder that is no state any more is removed file by file."""
    for name in ("state", "state.new"):
        (tmp_path / name).mkdir()
        for file in ("model.safetensors", "finished"):
            (tmp_path / name / file).touch()

    def interrupted(folder, ignore_errors):
        if folder.is_dir():
            (folder / "model.safetensors").unlink()
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer.shutil, "rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer._commit_state(tmp_path)
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == ["finished", "model.safetensors"]


# ---- two processes ----

WORKER = """
import torch
from dataclasses import replace
from accelerate import PartialState
from gid_core.training.stages import make_stage
from gid_core.training.trainer import train
from tiny_training import QUICK, SwayingBlobs, tiny_model

stage, dataset = make_stage("denoiser", tiny_model("denoiser")), SwayingBlobs()
train(stage, dataset, replace(QUICK, max_train_steps=2), {out!r})
rank = PartialState().process_index
torch.save(dict(requested=dataset.requested, weights=stage.model.state_dict()), {out!r} + f"/rank{{rank}}.pt")
"""


def test_two_processes_see_different_samples_and_end_with_the_same_weights(tmp_path, repo):
    script = tmp_path / "worker.py"
    script.write_text(WORKER.format(out=str(tmp_path)))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    paths = os.pathsep.join([str(repo), str(repo / "tests")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths, "ACCELERATE_USE_CPU": "true"}
    result = subprocess.run(launch, env=environment, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr[-3000:]
    ranks = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert ranks[0]["requested"] == [0, 1, 4, 5]
    assert ranks[1]["requested"] == [2, 3, 6, 7]
    assert equal_tensors(ranks[0]["weights"], ranks[1]["weights"])
    assert not equal_tensors(ranks[0]["weights"], tiny_model("denoiser").state_dict())
    # The gradients of both processes are used: a single process ends with other weights.
    single = make_stage("denoiser", tiny_model("denoiser"))
    train(single, SwayingBlobs(), replace(QUICK, max_train_steps=2), tmp_path / "single")
    assert not equal_tensors(single.model.state_dict(), ranks[0]["weights"])
    assert read_header(tmp_path / "model.safetensors")["steps"] == "2"


# ---- results and log ----


def test_result_is_the_moving_average(tmp_path):
    steps = []
    stage = make_stage("vae", tiny_model())
    train(stage, SwayingBlobs(), QUICK, tmp_path, on_checkpoint=lambda model, step: steps.append(step))
    raw = load_file(tmp_path / "state" / "model.safetensors")
    result = load_model(tmp_path / "model.safetensors").state_dict()
    different = {name for name, value in result.items() if not torch.equal(value, raw[f"model.{name}"])}
    assert different
    assert all(name.startswith("autoencoder.vae.") for name in different)
    start = tiny_model().state_dict()
    name = "autoencoder.vae.decoder.conv_in.weight"
    assert (result[name] - start[name]).norm() < (raw[f"model.{name}"] - start[name]).norm()
    assert steps == [6]


def test_progress_is_logged_to_tensorboard_with_images(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    calls = iter(range(100))

    class CountingStage(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model.requires_grad_(False)
            model.autoencoder.vae.quant_conv.requires_grad_(True)

        def forward(self, photos, coefficients, seed):
            weight = self.model.autoencoder.vae.quant_conv.weight
            return weight.square().sum(), {"calls": next(calls)}

    train(
        CountingStage(tiny_model()),
        SwayingBlobs(),
        replace(QUICK, max_train_steps=100, train_batch_size=1),
        tmp_path,
        make_preview=lambda model: torch.full((4, 6, 3), 0.5),
    )
    log = EventAccumulator(str(tmp_path / "log"))
    log.Reload()
    assert {"loss", "calls"} <= set(log.Tags()["scalars"])
    assert [event.step for event in log.Scalars("calls")] == [50, 100]
    assert [event.value for event in log.Scalars("calls")] == [24.5, 74.5]
    assert log.Tags()["images"] == ["samples"]
    progress = json.loads((tmp_path / "progress.json").read_text())
    assert progress["step"] == 100
    assert progress["config"]["train_batch_size"] == 1


def test_non_finite_loss_stops_training(tmp_path):
    class BrokenData(SwayingBlobs):
        def __getitem__(self, index):
            photo, coefficients = super().__getitem__(index)
            return photo, coefficients * (torch.nan if index == 4 else 1)

    with pytest.raises(ArithmeticError, match="step 2"):
        train(make_stage("vae", tiny_model()), BrokenData(), QUICK, tmp_path)


def test_learning_rate_rises_and_falls():
    config = TrainingConfig(max_train_steps=100, lr_warmup_steps=10)
    factors = [_lr_factor(step, config) for step in range(120)]
    assert factors[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert factors[10] == pytest.approx(1)
    assert factors[99:] == pytest.approx([0.1] * 21, abs=1e-3)
    assert sorted(factors[10:], reverse=True) == factors[10:]
