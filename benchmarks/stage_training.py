"""Small models that benchmarks train stage by stage. Finished stages are saved, so an interrupted run resumes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from gid_core.evaluation.networks.pretrained_weights import load_frozen, load_weights
from gid_core.models.checkpoint import load_model, save_model
from gid_core.models.config import ModelConfig
from gid_core.models.motion_model import MotionModel
from gid_core.models.normalization import fit_frequency_scale
from gid_core.training.splits import RESERVED_INDEX
from gid_core.training.stages import LATENT_STAGES, fit_latent_statistics, make_stage
from gid_core.training.trainer import TrainingConfig, train

SINGLE_SLICE_STAGES = ("vae", "encoder", "denoiser")
SCALE_ITEMS, LATENT_ITEMS = 100, 80  # items that the frequency scale and the latent statistics are fitted on


def new_model(config: ModelConfig, data: Dataset) -> MotionModel:
    """An untrained model with ImageNet weights and the frequency scale of the data."""
    torch.manual_seed(0)
    model = MotionModel(config)
    load_frozen(model.encoder.backbone.network, load_weights("efficientnet-lite0"), "efficientnet-lite0")
    model.normalizer.scale.copy_(fit_frequency_scale(config, (data[RESERVED_INDEX + i][1] for i in range(SCALE_ITEMS))))
    return model


def train_stage(
    name: str, model: MotionModel, data: Dataset, config: TrainingConfig, checkpoint: Path, **options: Any
) -> MotionModel:
    """Train a stage and save the model at `checkpoint`; if the file exists, load it instead.

    Args:
        name: a stage's name in `gid_core.training.stages`.
        model: to be trained.
        data: items are (photo, coefficients).
        config: of the trainer.
        checkpoint: the file of the finished model.
        options: keyword arguments of the stage.
    """
    if not checkpoint.is_file():
        train(make_stage(name, model, **options), data, config, checkpoint.with_suffix(""))
        if name in LATENT_STAGES:
            items = (data[RESERVED_INDEX + i] for i in range(LATENT_ITEMS))
            fit_latent_statistics(model, items, use_prior=name == "encoder")
        save_model(checkpoint, model, torch.float32)
    return load_model(checkpoint)


def train_single_slices(
    config: ModelConfig, data: Dataset, configs: Mapping[str, TrainingConfig], folder: Path
) -> MotionModel:
    """A model after the first three stages, whose denoiser predicts single slices."""
    model = new_model(config, data)
    for name in SINGLE_SLICE_STAGES:
        model = train_stage(name, model, data, configs[name], folder / f"{name}.safetensors")
    return model


def train_branch(
    name: str, start: MotionModel, data: Dataset, config: TrainingConfig, folder: Path, **options: Any
) -> Path:
    """Continue `start` by the stage "denoiser" (single slices) or "frequency-attention"; returns the model's file."""
    torch.manual_seed(config.seed)
    model = start.with_layout("coordinated" if name == "frequency-attention" else "independent")
    checkpoint = folder / f"branch-{name}.safetensors"
    train_stage(name, model, data, config, checkpoint, **options)
    return checkpoint
