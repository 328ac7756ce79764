"""The command `gid train`: make samples, then train the stages of the motion model, then the rendering network."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
from pathlib import Path

import torch
from tqdm import tqdm

from ..models.checkpoint import load_model, save_model
from ..models.config import GID_SMALL, ModelConfig
from ..models.motion_model import MotionModel
from ..models.normalization import FrequencyNormalizer
from .augmentation import NO_AUGMENTATION, Augmentation
from .log_images import rendering_sheet, sample_sheet
from .model_setup import check_resume_config, initial_model, stage_config
from .motion_dataset import DatasetWithPlants, Mixture, MotionDataset
from .motion_samples import MotionSample, find_motion_samples, load_motion_sample
from .rendering_dataset import RenderingDataset
from .rendering_samples import load_rendering_samples
from .splits import RESERVED_INDEX, split_by_group
from .stages import DENOISER_STAGES, LATENT_STAGES, TrainingStage, fit_latent_statistics, make_stage
from .trainer import TrainingConfig, train

logger = logging.getLogger(__name__)

LATENT_STATISTICS_SAMPLES = 160
PREVIEW_STEPS = 8  # of sampling, for images of the log
MOTION_PREVIEWS, RENDERING_PREVIEWS = 2, 4  # items in images of the log


def train_command(options: argparse.Namespace) -> None:
    """Train a model: prepare samples, then train vae, encoder, denoiser and frequency-attention, each from the model of
    the previous stage. The stage renderer uses rendering samples."""
    logging.getLogger("gid_core").setLevel(logging.INFO)
    if options.stage == "prepare":
        _prepare(options)
    elif options.stage == "renderer":
        _train_renderer(options)
    else:
        _train_motion_stage(options)


def _prepare(options: argparse.Namespace) -> None:
    from ..evaluation.clip_folder import find_clips
    from .packed_corpus import motion_samples_from_npz
    from .prepare_samples import (
        motion_samples_from_clips,
        motion_samples_from_cutouts,
        motion_samples_from_plant_photos,
        motion_samples_from_still_photos,
    )
    from .rendering_samples import rendering_samples_from_clips, rendering_samples_from_scenes

    total: int | None
    if options.clips:
        clips = find_clips(options.clips, options.use)
        make_samples = rendering_samples_from_clips if options.rendering else motion_samples_from_clips
        names = make_samples(clips, options.out, options.windows, loops=options.loops)
        total = len(clips) * options.windows
    elif options.rendering and options.scenes:
        names, total = rendering_samples_from_scenes(range(options.scenes), options.out), options.scenes
    elif options.rendering:
        raise ValueError("prepare --rendering needs --clips FOLDER or --scenes N.")
    elif options.corpus:
        names, total = motion_samples_from_npz(options.corpus, options.out), None
    elif options.cutouts:
        if not options.still_photos or options.scenes < 1:
            raise ValueError("prepare --cutouts FOLDER needs --still-photos FOLDER for backgrounds, and --scenes N.")
        seeds, total = range(options.scenes), options.scenes
        names = motion_samples_from_cutouts(options.cutouts, options.still_photos, seeds, options.out)
    elif options.plant_photos:
        names, total = motion_samples_from_plant_photos(options.plant_photos, options.out), None
    elif options.still_photos:
        names, total = motion_samples_from_still_photos(options.still_photos, options.out), None
    else:
        raise ValueError("prepare needs --clips, --corpus, --cutouts, --plant-photos or --still-photos, and a folder.")
    for _ in tqdm(names, total=total, unit=" samples"):
        pass


def _train_motion_stage(options: argparse.Namespace) -> None:
    previous = load_model(options.init_from) if options.init_from else None
    config = stage_config(options.stage, previous, options.config, options.set)
    dataset = _motion_dataset(options, config)
    previews = [dataset[RESERVED_INDEX - 1 - i] for i in range(MOTION_PREVIEWS)]
    model = initial_model(
        options.stage,
        config,
        previous,
        dataset,
        backbone_weights=options.backbone_weights,
        reset_denoiser=getattr(options, "reset_denoiser", False),
    )
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    check_resume_config(folder, model.config)
    (folder / "config.json").write_text(json.dumps(model.config.to_dict(), indent=1))
    stage_options = {}
    if options.stage in DENOISER_STAGES:
        stage_options["timesteps_per_sample"] = options.timesteps_per_sample
    if options.stage == "frequency-attention":
        stage_options["train_unet"] = options.train_unet
    stage = make_stage(options.stage, model, **stage_options)
    num_inference_steps = PREVIEW_STEPS if options.stage in DENOISER_STAGES else 0
    plants = _plants(options, dataset)
    means = train(
        stage,
        dataset if plants is None else DatasetWithPlants(dataset, plants),
        training_config(options),
        folder,
        make_preview=lambda model: sample_sheet(model, previews, num_inference_steps),
    )
    if options.stage in LATENT_STAGES:
        items = (dataset[RESERVED_INDEX + i] for i in range(LATENT_STATISTICS_SAMPLES))
        fit_latent_statistics(model, items, use_prior=options.stage == "encoder")
    _save_result(folder, stage, means)


def _train_renderer(options: argparse.Namespace) -> None:
    model = load_model(options.init_from)
    if options.reset_renderer or model.renderer is None:
        model = _with_new_renderer(model)
    sources = [split_by_group(load_rendering_samples(folder), options.test_fraction)[0] for folder in options.samples]
    weights = options.weights or [len(samples) ** 0.5 for samples in sources]
    size = options.crop_size, options.crop_size
    dataset = RenderingDataset(sources, weights, size, 2 * RESERVED_INDEX, options.seed)
    logger.info("%s rendering samples from %s", [len(samples) for samples in sources], options.samples)
    previews = [dataset[RESERVED_INDEX - 1 - i] for i in range(RENDERING_PREVIEWS)]
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    stage = make_stage("renderer", model, lpips_weight=options.lpips_weight, lpips_layers=options.lpips_layers)
    means = train(
        stage,
        dataset,
        training_config(options),
        folder,
        make_preview=lambda model: rendering_sheet(model, previews),
    )
    _save_result(folder, stage, means)


def training_config(options: argparse.Namespace) -> TrainingConfig:
    """The settings of the training run in parsed options."""
    return TrainingConfig(**{f.name: getattr(options, f.name) for f in dataclasses.fields(TrainingConfig)})


def _save_result(folder: Path, stage: TrainingStage, means: dict[str, float]) -> None:
    save_model(folder / "model.safetensors", stage.model, torch.float32, steps=str(means["step"]))
    logger.info("%s after %d steps: %s", folder / "model.safetensors", means["step"], means)


def _with_new_renderer(model: MotionModel) -> MotionModel:
    """The model with an untrained rendering network of gid-small's size."""
    values = model.config.to_dict() | {"renderer": dataclasses.asdict(GID_SMALL.renderer)}
    result = MotionModel(ModelConfig.from_dict(values))
    weights = {name: value for name, value in model.state_dict().items() if not name.startswith("renderer.")}
    result.load_state_dict(weights, strict=False)
    return result


def _motion_dataset(options: argparse.Namespace, config: ModelConfig) -> MotionDataset:
    """The training part of the samples as a dataset of items that fit the config.

    Raises:
        ValueError: if a sample or --size does not fit the config.
    """
    sources = [[load_motion_sample(path) for path in find_motion_samples(folder)] for folder in options.samples]
    sources = [split_by_group(samples, options.test_fraction)[0] for samples in sources]
    weights = options.weights or [len(samples) ** 0.5 for samples in sources]
    if options.overfit:
        samples: list[MotionSample] = sum(sources, [])
        sources, weights = [samples[:: max(1, len(samples) // options.overfit)][: options.overfit]], [1.0]
    normalizer = FrequencyNormalizer(config.volume)
    for sample in sum(sources, []):
        try:
            normalizer.check(sample.volume)
        except ValueError as error:
            raise ValueError(f"Sample {sample.name}: {error}") from None
    if any(side % config.latent_stride for side in options.size):
        got = " ".join(map(str, options.size))
        raise ValueError(f"--size must be multiples of {config.latent_stride}; got {got}.")
    augmentation = NO_AUGMENTATION if options.overfit else Augmentation(time_shift=config.volume.detrend == "ramp")
    augmentation = dataclasses.replace(augmentation, size=tuple(options.size), volume_stride=config.volume.stride)
    probability = 0.0 if options.overfit else options.composite_probability
    mixture = Mixture(tuple(weights), composite_probability=probability)
    logger.info("%s samples from %s", [len(samples) for samples in sources], options.samples)
    length, unit_amplitude = 2 * RESERVED_INDEX, config.volume.unit_amplitude
    return MotionDataset(sources, mixture, augmentation, length, options.seed, unit_amplitude)


def _plants(options: argparse.Namespace, dataset: MotionDataset) -> MotionDataset | None:
    """The samples of --plants as a dataset like that of --samples, or None without them."""
    if not getattr(options, "plants", None):
        return None
    samples = [load_motion_sample(path) for path in find_motion_samples(options.plants)]
    mixture = Mixture((1.0,), composite_probability=0.0)
    return MotionDataset([samples], mixture, dataset.augmentation, len(dataset), options.seed)
