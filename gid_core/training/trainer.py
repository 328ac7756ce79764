"""The loop that all trainings share, on Accelerate: one CPU, one GPU or many.

Batch n of process r is the same whatever happened before: data and noise are drawn by their numbers. A run that was
cut off therefore goes on from its last state as if nothing had been.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from ..media.atomic import atomic_write
from ..models.checkpoint import save_model
from ..models.motion_model import MotionModel
from .motion_dataset import combine_seeds

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    steps: optimizer steps in all, over which the learning rate falls to a tenth by a cosine.
    minutes: stop after so many minutes of this run, with a state to go on from; 0: no limit.
    batch: samples a step and process.
    rate, warmup: of AdamW, reached after so many steps.
    ema: decay of the weights' moving average, which is what is kept; it starts faster.
    precision: "no", "bf16" or "fp16".
    save_every: minutes between saved states.
    """

    steps: int = 10_000
    minutes: float = 0.0
    batch: int = 4
    rate: float = 2e-4
    warmup: int = 100
    ema: float = 0.999
    precision: str = "no"
    save_every: float = 5.0
    seed: int = 0
    workers: int = 0


def train(
    stage: torch.nn.Module,
    data: Dataset,
    schedule: Schedule,
    folder: str | Path,
    *,
    pictures: Callable[[MotionModel], torch.Tensor] | None = None,
    on_save: Callable[[MotionModel, int], None] | None = None,
) -> dict[str, float]:
    """Train what a stage wants trained.

    Args:
        stage: of `stages`; its `model` is changed in place and in the end holds the moving average.
        data: items that the stage takes, as of `MotionDataset` or `RenderingDataset`.
        folder: `state/` to go on from, `log/` for TensorBoard, and `model.safetensors` with the moving average.
        pictures: makes a picture [H, W, 3] for the log whenever a state is saved.
        on_save: called then as well, with the model holding the moving average.

    Returns:
        The means over the last 50 steps: "loss" and its parts, and "step".
    """
    from accelerate import Accelerator
    from accelerate.utils import set_seed
    from diffusers.training_utils import EMAModel

    folder, model = Path(folder), stage.model
    accelerator = Accelerator(mixed_precision=schedule.precision, log_with="tensorboard", project_dir=folder)
    set_seed(schedule.seed)
    trained = [p for p in stage.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, schedule.rate, weight_decay=1e-2)
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, schedule))
    average = EMAModel(trained, schedule.ema, use_ema_warmup=True, inv_gamma=10, power=0.75)
    average.to(accelerator.device)
    progress = _Progress()
    stage, optimizer = accelerator.prepare(stage, optimizer)
    accelerator.register_for_checkpointing(average, rates, progress)
    if accelerator.is_main_process:
        _settle(folder)
    accelerator.wait_for_everyone()
    if (folder / "state" / "finished").is_file():
        accelerator.load_state(folder / "state")
        average.to(accelerator.device)  # it is read onto the CPU
        log.info("Going on from step %d.", progress.step)
    accelerator.init_trackers("log")
    loader = _loader(data, schedule, progress.step, accelerator)
    means, started, saved = _Means(), time.monotonic(), time.monotonic()

    def save() -> None:
        if accelerator.is_main_process:
            shutil.rmtree(folder / "state.new", ignore_errors=True)
        accelerator.wait_for_everyone()
        accelerator.save_state(folder / "state.new")
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            (folder / "state.new" / "finished").touch()
            _settle(folder)
            average.store(trained)
            average.copy_to(trained)
            save_model(folder / "model.safetensors", model, torch.float32, steps=str(progress.step))
            if on_save is not None:
                on_save(model, progress.step)
            if pictures is not None:
                tracker = accelerator.get_tracker("tensorboard", unwrap=True)
                tracker.add_image("samples", pictures(model), progress.step, dataformats="HWC")
            average.restore(trained)
            record = {"step": progress.step, **means.values(), "schedule": asdict(schedule)}
            with atomic_write(folder / "progress.json") as path:
                path.write_text(json.dumps(record, indent=1))
        accelerator.wait_for_everyone()

    stage.train()
    for batch in loader:
        seed = combine_seeds(schedule.seed, progress.step, accelerator.process_index)
        torch.manual_seed(seed)  # for dropout
        with accelerator.autocast():
            loss, parts = stage(*(item.to(accelerator.device) for item in batch), seed)
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"The loss is {loss.item()} at step {progress.step}; the last saved state is whole."
            )
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        rates.step()
        optimizer.zero_grad()
        average.step(trained)
        progress.step += 1
        means.add({"loss": float(loss.detach()), **parts})
        if progress.step % 50 == 0:
            accelerator.log(means.values(), step=progress.step)
            log.info("step %d: %s", progress.step, ", ".join(f"{k} {v:.4f}" for k, v in means.values().items()))
        now = time.monotonic()
        if schedule.minutes and now - started > schedule.minutes * 60:
            break
        if now - saved > schedule.save_every * 60:
            save()
            saved = now
    save()
    accelerator.end_training()
    average.copy_to(trained)
    return {"step": progress.step, **means.values()}


def _settle(folder: Path) -> None:
    """Put a whole new state in the place of the old one; there is a whole one at every moment."""
    if (folder / "state.new" / "finished").is_file():
        shutil.rmtree(folder / "state", ignore_errors=True)
        (folder / "state.new").rename(folder / "state")


def _rate(step: int, schedule: Schedule) -> float:
    """Share of the learning rate at a step: a linear rise, then a cosine to a tenth."""
    if step < schedule.warmup:
        return (step + 1) / schedule.warmup
    done = min(1.0, (step - schedule.warmup) / max(1, schedule.steps - schedule.warmup))
    return 0.1 + 0.9 * (1 + math.cos(math.pi * done)) / 2


def _loader(data: Dataset, schedule: Schedule, step: int, accelerator) -> DataLoader:
    """Batches from `step` on, of this process alone."""
    indices = _Numbers(step, schedule.steps, schedule.batch, accelerator.process_index, accelerator.num_processes)
    # A generator of its own: it would draw from the global one, and differently after a run was cut off.
    chance = torch.Generator().manual_seed(schedule.seed)
    return DataLoader(data, batch_sampler=indices, num_workers=schedule.workers, generator=chance)


class _Numbers(Sampler):
    """Lists of item numbers: process r of n takes batch r of every n that make a step."""

    def __init__(self, first: int, steps: int, batch: int, process: int, processes: int):
        self.first, self.steps, self.batch, self.process, self.processes = first, steps, batch, process, processes

    def __len__(self) -> int:
        return max(0, self.steps - self.first)

    def __iter__(self):
        for step in range(self.first, self.steps):
            start = (step * self.processes + self.process) * self.batch
            yield list(range(start, start + self.batch))


class _Progress:
    """The step, as something that Accelerate saves."""

    def __init__(self):
        self.step = 0

    def state_dict(self) -> dict:
        return {"step": self.step}

    def load_state_dict(self, state: dict) -> None:
        self.step = state["step"]


class _Means:
    """Means of the last 50 values of each name."""

    def __init__(self):
        self.history: dict[str, list[float]] = {}

    def add(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.history[name] = [*self.history.get(name, []), value][-50:]

    def values(self) -> dict[str, float]:
        return {name: sum(values) / len(values) for name, values in self.history.items()}
