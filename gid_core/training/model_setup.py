"""The config of a stage, and the model that it starts from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from ..evaluation.networks.pretrained_weights import load_frozen, load_weights
from ..models.config import PRESETS, ModelConfig
from ..models.image_encoder import PretrainedPyramid
from ..models.motion_model import MotionModel
from ..models.normalization import fit_frequency_scale
from .splits import RESERVED_INDEX
from .stages import DENOISER_STAGES

SCALE_SAMPLES = 200  # on which the frequency scales of eq. 4 are measured


def stage_config(stage: str, previous: MotionModel | None, preset: str, overrides: Sequence[str] = ()) -> ModelConfig:
    """The config of a stage: the previous model's, a preset or a file, with overrides, in the stage's layout.

    Args:
        stage: one of MOTION_STAGES.
        previous: the model of the previous stage.
        preset: name of a preset or path of a JSON file; not used if there is a previous model.
        overrides: settings as "a.b=VALUE".

    Raises:
        ValueError: for an unknown preset or setting, or a value that is not allowed.
    """
    values = previous.config.to_dict() if previous is not None else _load_config(preset)
    for override in overrides:
        _apply_override(values, override)
    config = ModelConfig.from_dict(values)
    if stage == "frequency-attention" and config.denoiser.layout == "stacked":
        raise ValueError('"frequency-attention" continues a denoiser of single slices; this one is stacked.')
    if stage in DENOISER_STAGES and config.denoiser.layout != "stacked":
        layout = "coordinated" if stage == "frequency-attention" else "independent"
        config = replace(config, denoiser=replace(config.denoiser, layout=layout))
    return config


def _load_config(preset: str) -> dict[str, Any]:
    if preset in PRESETS:
        return PRESETS[preset].to_dict()
    if not Path(preset).is_file():
        raise ValueError(f"--config is one of {', '.join(PRESETS)} or a JSON file; got {preset!r}.")
    try:
        values = json.loads(Path(preset).read_text())
    except ValueError as error:
        raise ValueError(f"{preset} is not JSON: {error}") from None
    return ModelConfig.from_dict(values).to_dict()


def _apply_override(values: dict[str, Any], override: str) -> None:
    """Set one value of nested dicts from "a.b=VALUE"."""
    path, _, text = override.partition("=")
    value: Any = values
    group: Any = values
    where = "the config"
    for key in path.split("."):
        if not isinstance(value, dict) or key not in value:
            has = f"{where} has {', '.join(value)}" if isinstance(value, dict) else f"{where} is a single value"
            raise ValueError(f"There is no setting {path!r} for --set; {has}.")
        group, value, where = value, value[key], key
    try:
        group[where] = text if isinstance(value, str) else json.loads(text)
    except json.JSONDecodeError:
        raise ValueError(f"--set {override}: the value must be like {json.dumps(value)}.") from None


def initial_model(
    stage: str,
    config: ModelConfig,
    previous: MotionModel | None,
    dataset: Dataset,
    *,
    backbone_weights: str | None = None,
    reset_denoiser: bool = False,
) -> MotionModel:
    """The model that a stage starts from: a new one, or one with the weights of the previous stage.

    Args:
        stage: one of MOTION_STAGES.
        config: of the stage.
        previous: the model of the previous stage, None for "vae".
        dataset: a `MotionDataset`; a new model measures its frequency scales on it.
        backbone_weights: a file or folder with the weights of EfficientNet-Lite0.
        reset_denoiser: do not take the denoiser's weights from the previous model.

    Raises:
        ValueError: if the stage needs a previous model.
    """
    model = MotionModel(config)
    backbone = model.encoder.backbone
    has_backbone = previous is not None and isinstance(previous.encoder.backbone, PretrainedPyramid)
    if isinstance(backbone, PretrainedPyramid) and not has_backbone:
        load_frozen(backbone.network, load_weights("efficientnet-lite0", backbone_weights), "efficientnet-lite0")
    if previous is None:
        if stage != "vae":
            raise ValueError(f"{stage} continues an earlier stage: give its model with --from.")
        volumes = (dataset[RESERVED_INDEX + i][1] for i in range(SCALE_SAMPLES))
        model.normalizer.scale.copy_(fit_frequency_scale(config, volumes))
        return model
    state = model.state_dict()
    for name, value in previous.state_dict().items():
        reset = reset_denoiser and name.startswith("denoiser.")
        if name in state and state[name].shape == value.shape and not reset:
            state[name] = value
    model.load_state_dict(state)
    return model


def check_resume_config(folder: Path, config: ModelConfig) -> None:
    """Refuse to resume a training run with another config.

    Raises:
        ValueError: if the folder holds the state of a model with another config.
    """
    path = folder / "config.json"
    if path.is_file() and (folder / "state").is_dir():
        try:
            same = ModelConfig.from_dict(json.loads(path.read_text())) == config
        except ValueError:
            same = False
        if not same:
            raise ValueError(f"{folder} holds the training of a model with another config; give another --out.")
