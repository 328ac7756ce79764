"""Small models that benchmarks train, stage by stage. Finished stages are kept as files, so that a run that was cut
off goes on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch.utils.data import Dataset

from gid_core.evaluation.networks.pretrained_weights import fill, load_weights
from gid_core.models.checkpoint import load_model, save_model
from gid_core.models.config import ModelConfig
from gid_core.models.motion_model import MotionModel
from gid_core.models.normalization import measure_scale
from gid_core.training.stages import make_stage, whiten
from gid_core.training.train_command import APART, EARLY
from gid_core.training.trainer import Schedule, train

SINGLE = ("vae", "encoder", "denoiser")
SCALE_ITEMS, WHITENING_ITEMS = 100, 80


def new_model(config: ModelConfig, data: Dataset) -> MotionModel:
    """An untrained model that knows ImageNet and the scales of the data."""
    torch.manual_seed(0)
    model = MotionModel(config)
    fill(model.encoder.trunk.network, load_weights("efficientnet-lite0"), "efficientnet-lite0")
    model.normalizer.scale.copy_(measure_scale(config, (data[APART + i][1] for i in range(SCALE_ITEMS))))
    return model


def after_stage(name: str, model: MotionModel, data: Dataset, schedule: Schedule, done: Path, **options) -> MotionModel:
    """A model after a stage: the one kept at `done`, or else this one, trained now and kept there.

    options: of the stage.
    """
    if not done.is_file():
        train(make_stage(name, model, **options), data, schedule, done.with_suffix(""))
        if name in EARLY:
            whiten(model, (data[APART + i] for i in range(WHITENING_ITEMS)), divided=name == "encoder")
        save_model(done, model, torch.float32)
    return load_model(done)


def single_slices(config: ModelConfig, data: Dataset, schedules: Mapping[str, Schedule], folder: Path) -> MotionModel:
    """A model after the first three stages, whose denoiser knows single slices."""
    model = new_model(config, data)
    for name in SINGLE:
        model = after_stage(name, model, data, schedules[name], folder / f"{name}.safetensors")
    return model


def branch(name: str, start: MotionModel, data: Dataset, schedule: Schedule, folder: Path, **options) -> Path:
    """The file of a model that goes on from `start`: by "denoiser", slice by slice as it was, or by "coordinate"."""
    torch.manual_seed(schedule.seed)
    model = start.without("coordinated" if name == "coordinate" else "independent")
    done = folder / f"branch-{name}.safetensors"
    after_stage(name, model, data, schedule, done, **options)
    return done
