"""The training loop of all stages, on Accelerate: one CPU, one GPU or several.

Batch n of process r does not depend on earlier batches: data and noise are drawn by index. An interrupted run
therefore resumes from its last checkpoint with bit-identical results.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from ..media.atomic import atomic_write
from ..models.checkpoint import save_model
from ..models.motion_model import MotionModel
from .splits import combine_seeds

if TYPE_CHECKING:
    from accelerate import Accelerator

    from .stages import TrainingStage

logger = logging.getLogger(__name__)

WEIGHT_DECAY = 1e-2  # of AdamW
MAX_GRAD_NORM = 1.0
FINAL_LR_FACTOR = 0.1  # of the cosine schedule
EMA_INV_GAMMA, EMA_POWER = 10, 0.75  # of the warmup of the moving average, see diffusers' EMAModel
LOG_STEPS = 50  # steps between log entries, and over which they are averaged


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of a training run, named as in diffusers' training scripts.

    Attributes:
        max_train_steps: optimizer steps; the learning rate falls to a tenth over them by a cosine.
        max_minutes: stop this run after so many minutes with a checkpoint; 0 is no limit.
        train_batch_size: samples per step and process.
        learning_rate: of AdamW.
        lr_warmup_steps: steps over which the learning rate rises linearly.
        ema_decay: decay of the moving average of the weights, which is the result; it is faster at the start.
        mixed_precision: "no", "bf16" or "fp16".
        checkpointing_minutes: minutes between checkpoints.
        seed: of everything random.
        dataloader_num_workers: processes that prepare data; 0 uses the main process.
    """

    max_train_steps: int = 10_000
    max_minutes: float = 0.0
    train_batch_size: int = 4
    learning_rate: float = 2e-4
    lr_warmup_steps: int = 100
    ema_decay: float = 0.999
    mixed_precision: str = "no"
    checkpointing_minutes: float = 5.0
    seed: int = 0
    dataloader_num_workers: int = 0


def train(
    stage: TrainingStage,
    dataset: Dataset,
    config: TrainingConfig,
    output_dir: str | Path,
    *,
    make_preview: Callable[[MotionModel], torch.Tensor] | None = None,
    on_checkpoint: Callable[[MotionModel, int], None] | None = None,
) -> dict[str, float]:
    """Train the parameters that a stage has unfrozen.

    Args:
        stage: its `model` is changed in place and ends with the moving average of the weights.
        dataset: items that the stage takes, as of `MotionDataset` or `RenderingDataset`.
        config: length, learning rate and other settings.
        output_dir: holds `state/` to resume from, `log/` for TensorBoard, and `model.safetensors` with the moving
            average.
        make_preview: makes an image [H, W, 3] for the log at every checkpoint, from the model with the moving average.
        on_checkpoint: called with that model and the step at every checkpoint.

    Returns:
        "step", and the means over the last 50 steps of "loss" and its terms.

    Raises:
        FloatingPointError: if the loss is not finite.
    """
    from accelerate import Accelerator
    from accelerate.utils import set_seed
    from diffusers.training_utils import EMAModel

    output_dir, model = Path(output_dir), stage.model
    accelerator = Accelerator(mixed_precision=config.mixed_precision, log_with="tensorboard", project_dir=output_dir)
    set_seed(config.seed)
    parameters = [p for p in stage.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, config.learning_rate, weight_decay=WEIGHT_DECAY)
    lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _lr_factor(step, config))
    ema = EMAModel(parameters, config.ema_decay, use_ema_warmup=True, inv_gamma=EMA_INV_GAMMA, power=EMA_POWER)
    ema.to(accelerator.device)
    progress = _Progress()
    prepared_stage, optimizer = accelerator.prepare(stage, optimizer)
    accelerator.register_for_checkpointing(ema, lr_scheduler, progress)
    if accelerator.is_main_process:
        _commit_state(output_dir)
    accelerator.wait_for_everyone()
    if (output_dir / "state" / "finished").is_file():
        accelerator.load_state(output_dir / "state")
        ema.to(accelerator.device)  # it is loaded on the CPU
        logger.info("Resuming from step %d.", progress.step)
    accelerator.init_trackers("log")
    dataloader = _make_dataloader(dataset, config, progress.step, accelerator)
    means, started, last_checkpoint = _RunningMeans(), time.monotonic(), time.monotonic()

    def save_checkpoint() -> None:
        if accelerator.is_main_process:
            shutil.rmtree(output_dir / "state.new", ignore_errors=True)
        accelerator.wait_for_everyone()
        accelerator.save_state(output_dir / "state.new")
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            (output_dir / "state.new" / "finished").touch()
            _commit_state(output_dir)
            ema.store(parameters)
            ema.copy_to(parameters)
            save_model(output_dir / "model.safetensors", model, torch.float32, steps=str(progress.step))
            if on_checkpoint is not None:
                on_checkpoint(model, progress.step)
            if make_preview is not None:
                tracker: Any = accelerator.get_tracker("tensorboard", unwrap=True)
                tracker.add_image("samples", make_preview(model), progress.step, dataformats="HWC")
            ema.restore(parameters)
            record = {"step": progress.step, **means.values(), "config": asdict(config)}
            with atomic_write(output_dir / "progress.json") as path:
                path.write_text(json.dumps(record, indent=1))
        accelerator.wait_for_everyone()

    prepared_stage.train()
    for batch in dataloader:
        seed = combine_seeds(config.seed, progress.step, accelerator.process_index)
        torch.manual_seed(seed)  # for dropout
        with accelerator.autocast():
            loss, terms = prepared_stage(*(item.to(accelerator.device) for item in batch), seed=seed)
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"The loss is {loss.item()} at step {progress.step}; the last checkpoint is complete."
            )
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(parameters, MAX_GRAD_NORM)
        optimizer.step()
        lr_scheduler.step()
        optimizer.zero_grad()
        ema.step(parameters)
        progress.step += 1
        means.add({"loss": float(loss.detach()), **terms})
        if progress.step % LOG_STEPS == 0:
            accelerator.log(means.values(), step=progress.step)
            values = ", ".join(f"{name} {value:.4f}" for name, value in means.values().items())
            logger.info("step %d: %s", progress.step, values)
        now = time.monotonic()
        if config.max_minutes and now - started > config.max_minutes * 60:
            break
        if now - last_checkpoint > config.checkpointing_minutes * 60:
            save_checkpoint()
            last_checkpoint = now
    save_checkpoint()
    accelerator.end_training()
    ema.copy_to(parameters)
    return {"step": progress.step, **means.values()}


def _commit_state(output_dir: Path) -> None:
    """Replace the last state by a complete new one. One of them exists at every moment, and `state` is never half."""
    state, new, old = (output_dir / name for name in ("state", "state.new", "state.old"))
    if (new / "finished").is_file():
        shutil.rmtree(old, ignore_errors=True)
        if state.is_dir():
            state.rename(old)
        new.rename(state)
    shutil.rmtree(old, ignore_errors=True)


def _lr_factor(step: int, config: TrainingConfig) -> float:
    """Factor of the learning rate at a step: a linear rise, then a cosine to a tenth."""
    if step < config.lr_warmup_steps:
        return (step + 1) / config.lr_warmup_steps
    decay_steps = max(1, config.max_train_steps - config.lr_warmup_steps)
    done = min(1.0, (step - config.lr_warmup_steps) / decay_steps)
    return FINAL_LR_FACTOR + (1 - FINAL_LR_FACTOR) * (1 + math.cos(math.pi * done)) / 2


def _make_dataloader(dataset: Dataset, config: TrainingConfig, step: int, accelerator: Accelerator) -> DataLoader:
    """Batches of this process from `step` on."""
    batch_sampler = _BatchSampler(
        step,
        config.max_train_steps,
        config.train_batch_size,
        accelerator.process_index,
        accelerator.num_processes,
    )
    # With a generator of its own the loader does not draw from the global one, which would differ after resuming.
    generator = torch.Generator().manual_seed(config.seed)
    return DataLoader(
        dataset, batch_sampler=batch_sampler, num_workers=config.dataloader_num_workers, generator=generator
    )


class _BatchSampler(Sampler[list[int]]):
    """Lists of item indices: of the n batches of a step, process r takes the one with index r."""

    def __init__(self, first_step: int, last_step: int, batch_size: int, process: int, num_processes: int) -> None:
        self.first_step, self.last_step, self.batch_size = first_step, last_step, batch_size
        self.process, self.num_processes = process, num_processes

    def __len__(self) -> int:
        return max(0, self.last_step - self.first_step)

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.first_step, self.last_step):
            start = (step * self.num_processes + self.process) * self.batch_size
            yield list(range(start, start + self.batch_size))


class _Progress:
    """The current step, as an object that Accelerate can save."""

    def __init__(self) -> None:
        self.step = 0

    def state_dict(self) -> dict[str, int]:
        return {"step": self.step}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.step = state["step"]


class _RunningMeans:
    """Means of the last `LOG_STEPS` values of each name."""

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}

    def add(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.history[name] = [*self.history.get(name, []), value][-LOG_STEPS:]

    def values(self) -> dict[str, float]:
        return {name: sum(values) / len(values) for name, values in self.history.items()}
