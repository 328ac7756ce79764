"""The command `gid train`: samples from clips, then the stages of the motion model, then the rendering network."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
from dataclasses import fields, replace
from pathlib import Path

import torch
from tqdm import tqdm

from ..models.checkpoint import load_model, save_model
from ..models.config import GID_SMALL, PRESETS, ModelConfig
from ..models.motion_model import MotionModel
from ..models.normalization import FrequencyNormalizer, measure_scale

log = logging.getLogger(__name__)

SCALE_SAMPLES = 200  # the statistics of eq. 4 are measured on so many
WHITENING_SAMPLES = 160
# Stages after which latents are whitened anew.
EARLY = ("vae", "encoder")
# Item numbers that training does not reach.
APART = 10**9


def train_command(options) -> None:
    """Train a model: prepare samples, then vae, encoder, denoiser and coordinate, each going on from the one before;
    renderer is trained beside them, from passages."""
    logging.getLogger("gid_core").setLevel(logging.INFO)
    if options.stage == "prepare":
        _prepare(options)
    elif options.stage == "renderer":
        _train_renderer(options)
    else:
        _train(options)


def _prepare(options) -> None:
    from ..evaluation.clip_folder import find_clips
    from .prepare_samples import prepare_clips, prepare_corpus
    from .rendering_samples import rendering_samples_from_clips, rendering_samples_from_scenes

    if options.passages and options.clips:
        clips = find_clips(options.clips, options.use)
        names, total = (
            rendering_samples_from_clips(clips, options.out, options.windows, loops=options.loops),
            len(clips) * options.windows,
        )
    elif options.passages and options.scenes:
        names, total = rendering_samples_from_scenes(range(options.scenes), options.out), options.scenes
    elif options.passages:
        raise ValueError("prepare --passages needs --clips FOLDER or --scenes N.")
    elif options.clips:
        clips = find_clips(options.clips, options.use)
        names = prepare_clips(clips, options.out, options.windows, loops=options.loops)
        total = len(clips) * options.windows
    elif options.corpus:
        names, total = prepare_corpus(options.corpus, options.out), None
    else:
        raise ValueError("prepare needs --clips FOLDER or --corpus FOLDER.")
    for _ in tqdm(names, total=total, unit=" samples"):
        pass


def _train(options) -> None:
    from .log_images import sample_sheet
    from .stages import make_stage, whiten
    from .trainer import Schedule, train

    earlier = load_model(options.start) if options.start else None
    config = _config(options, earlier)
    data, shown = _data(options, config)
    model = _model(options, config, earlier, data)
    schedule = Schedule(**{f.name: getattr(options, f.name) for f in fields(Schedule)})
    extra = {} if options.stage in EARLY else {"repeats": options.repeats}
    if options.stage == "coordinate":
        extra["unfreeze"] = options.unfreeze
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    _check_config(folder, model.config)
    (folder / "config.json").write_text(json.dumps(model.config.to_dict(), indent=1))
    stage = make_stage(options.stage, model, **extra)
    steps = 0 if options.stage in EARLY else 8  # of the pictures
    means = train(stage, data, schedule, folder, pictures=lambda model: sample_sheet(model, shown, steps))
    if options.stage in EARLY:
        whiten(model, (data[APART + i] for i in range(WHITENING_SAMPLES)), divided=options.stage == "encoder")
    save_model(folder / "model.safetensors", model, torch.float32, steps=str(means["step"]))
    log.info("%s after %d steps: %s", folder / "model.safetensors", means["step"], means)


def _train_renderer(options) -> None:
    from .log_images import rendering_sheet
    from .motion_samples import split
    from .rendering_samples import RenderingDataset, load_rendering_samples
    from .stages import make_stage
    from .trainer import Schedule, train

    model = load_model(options.start)
    if options.new or model.renderer is None:
        values = model.config.to_dict() | {"renderer": dataclasses.asdict(GID_SMALL.renderer)}
        earlier, model = model, MotionModel(ModelConfig.from_dict(values))
        kept = {name: value for name, value in earlier.state_dict().items() if not name.startswith("renderer.")}
        model.load_state_dict(kept, strict=False)
    sources = [split(load_rendering_samples(folder), options.held_out)[0] for folder in options.passages]
    weights = options.weights or [len(passages) ** 0.5 for passages in sources]
    data = RenderingDataset(sources, weights, (options.crop, options.crop), 2 * APART, options.seed)
    log.info("%s passages from %s", [len(passages) for passages in sources], options.passages)
    shown = [data[APART - 1 - i] for i in range(4)]
    schedule = Schedule(**{f.name: getattr(options, f.name) for f in fields(Schedule)})
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    stage = make_stage("renderer", model, perceptual=options.perceptual, depths=options.depths)
    means = train(stage, data, schedule, folder, pictures=lambda model: rendering_sheet(model, shown))
    save_model(folder / "model.safetensors", model, torch.float32, steps=str(means["step"]))
    log.info("%s after %d steps: %s", folder / "model.safetensors", means["step"], means)


def _data(options, config: ModelConfig):
    from .augmentation import Augmentation
    from .motion_dataset import Mixture, MotionDataset
    from .motion_samples import find_samples, load_sample, split

    sources = [[load_sample(path) for path in find_samples(folder)] for folder in options.samples]
    sources = [split(samples, options.held_out)[0] for samples in sources]
    if options.overfit:
        sources = [sum(sources, [])[:: max(1, sum(map(len, sources)) // options.overfit)][: options.overfit]]
    weights = options.weights or [len(samples) ** 0.5 for samples in sources]
    if options.overfit:
        weights = [1.0]
    normalizer = FrequencyNormalizer(config.volume)
    for sample in sum(sources, []):
        try:
            normalizer.check(sample.volume)
        except ValueError as error:
            raise ValueError(f"Sample {sample.name}: {error}") from None
    if any(side % config.latent_stride for side in options.size):
        got = " ".join(map(str, options.size))
        raise ValueError(f"--size must be multiples of {config.latent_stride}; got {got}.")
    plain = dict(
        size=tuple(options.size), volume_stride=config.volume.stride, time_shift=config.volume.detrend == "ramp"
    )
    if options.overfit:
        still = dict(max_rotation=0, flip=0, color=0, blur=0, noise=0, gray=0, time_shift=False, time_reversal=0)
        plain |= still | dict(min_scale=1.0, max_scale=1.0)
    mixture = Mixture(tuple(weights), composited=0.0 if options.overfit else options.composited)
    unit = config.volume.unit_amplitude
    data = MotionDataset(sources, mixture, Augmentation(**plain), 2 * APART, options.seed, unit)
    log.info("%s samples from %s", [len(samples) for samples in sources], options.samples)
    return data, [data[APART - 1 - i] for i in range(2)]


def _config(options, earlier: MotionModel | None) -> ModelConfig:
    """The preset, file or earlier model's config, with the settings of --set, in this stage's layout."""
    if earlier is not None:
        values = earlier.config.to_dict()
    elif options.config in PRESETS:
        values = PRESETS[options.config].to_dict()
    elif Path(options.config).is_file():
        try:
            values = json.loads(Path(options.config).read_text())
        except ValueError as error:
            raise ValueError(f"{options.config} is not JSON: {error}") from None
        values = ModelConfig.from_dict(values).to_dict()
    else:
        raise ValueError(f"--config is one of {', '.join(PRESETS)} or a JSON file; got {options.config!r}.")
    for setting in options.set:
        path, _, value = setting.partition("=")
        *parents, name = path.split(".")
        place, where = values, "the config"
        for key in (*parents, name):
            if not isinstance(place, dict) or key not in place:
                has = f"{where} has {', '.join(place)}" if isinstance(place, dict) else f"{where} is a single value"
                raise ValueError(f"There is no setting {path!r} for --set; {has}.")
            holder, place, where = place, place[key], key
        try:
            holder[name] = value if isinstance(place, str) else json.loads(value)
        except json.JSONDecodeError:
            raise ValueError(f"--set {setting}: the value must be like {json.dumps(place)}.") from None
    config = ModelConfig.from_dict(values)
    if options.stage == "coordinate" and config.denoiser.layout == "stacked":
        raise ValueError('"coordinate" goes on from a denoiser of single slices; this one is stacked.')
    if config.denoiser.layout != "stacked":  # slices come apart first, and together in the last stage
        layout = "coordinated" if options.stage == "coordinate" else "independent"
        config = replace(config, denoiser=replace(config.denoiser, layout=layout))
    return config


def _model(options, config: ModelConfig, earlier: MotionModel | None, data) -> MotionModel:
    """A model to train: new, or with what an earlier stage left."""
    from ..evaluation.networks.pretrained_weights import fill, load_weights

    model = MotionModel(config)
    if config.encoder.kind == "efficientnet":
        fill(model.encoder.trunk.network, load_weights("efficientnet-lite0", options.imagenet), "efficientnet-lite0")
    if earlier is not None:
        mine = model.state_dict()
        kept = {
            name: value
            for name, value in earlier.state_dict().items()
            if name in mine and mine[name].shape == value.shape
        }
        if getattr(options, "new_denoiser", False):
            kept = {name: value for name, value in kept.items() if not name.startswith("denoiser.")}
        model.load_state_dict({**mine, **kept})
    else:
        if options.stage != "vae":
            raise ValueError(f"{options.stage} goes on from an earlier stage: give its model with --from.")
        volumes = (data[APART + i][1] for i in range(SCALE_SAMPLES))
        model.normalizer.scale.copy_(measure_scale(config, volumes))
    return model


def _check_config(folder: Path, config: ModelConfig) -> None:
    """Refuse to go on from the state of a model of another config."""
    path = folder / "config.json"
    if path.is_file() and (folder / "state").is_dir():
        try:
            same = ModelConfig.from_dict(json.loads(path.read_text())) == config
        except ValueError:
            same = False
        if not same:
            raise ValueError(f"{folder} holds the training of a model with another config; give another --out.")


def training_options(sub: argparse.ArgumentParser) -> None:
    """The options of `gid train`."""
    stages = sub.add_subparsers(dest="stage", required=True, metavar="STAGE")
    prepare = stages.add_parser("prepare", help="make samples (photo and spectral volume) from clips")
    prepare.add_argument("--clips", help="a folder of videos")
    prepare.add_argument("--use", help="only clips that the folder's index.csv marks so")
    prepare.add_argument("--loops", action="store_true", help="the clips are seamless loops, each one period long")
    prepare.add_argument("--windows", type=int, default=3, help="reference frames a clip (default %(default)s)")
    prepare.add_argument(
        "--passages", action="store_true", help="for the renderer: frames and flow, of clips or scenes"
    )
    prepare.add_argument("--scenes", type=int, default=0, metavar="N", help="so many painted scenes (with --passages)")
    prepare.add_argument("--corpus", help="a folder of the first synthetic corpus (.jpg and .npz)")
    prepare.add_argument("--out", required=True, help="folder for the samples")
    helps = {
        "vae": "1: the autoencoder of frequency slices",
        "encoder": "2: the photo's encoder and its guess at what moves",
        "denoiser": "3: the U-Net on single slices",
        "coordinate": "4: the attention between the slices",
    }
    for name, text in helps.items():
        stage = stages.add_parser(name, help=text)
        stage.add_argument("--samples", nargs="+", required=True, help="folders that prepare made")
        stage.add_argument("--weights", nargs="+", type=float, help="share of each (default: by root of their size)")
        stage.add_argument("--out", required=True, help="folder for state, log and model.safetensors; gone on from")
        stage.add_argument("--from", dest="start", help="model.safetensors of the stage before")
        stage.add_argument("--config", default="gid-small", help=f"{', '.join(PRESETS)} or a JSON file")
        stage.add_argument("--set", nargs="*", default=[], metavar="A.B=VALUE", help="change single settings")
        stage.add_argument("--imagenet", help="EfficientNet-Lite0's weights, if not installed as a package")
        stage.add_argument("--size", nargs=2, type=int, default=(288, 512), metavar=("H", "W"), help="of crops")
        stage.add_argument("--composited", type=float, default=0.3, help="share of pictures put together from two")
        stage.add_argument("--held-out", type=float, default=0.1, help="share of sources never trained on")
        stage.add_argument("--overfit", type=int, default=0, metavar="N", help="check: N samples, unaugmented")
        _schedule_options(stage, rate=5e-4 if name in EARLY else 2e-4)
        if name not in EARLY:
            stage.add_argument("--repeats", type=int, default=1, help="noise levels for every photo that is encoded")
        if name == "denoiser":
            stage.add_argument("--new-denoiser", action="store_true", help="begin the U-Net anew")
        if name == "coordinate":
            stage.add_argument("--unfreeze", action="store_true", help="train the whole U-Net, not only the attention")
    renderer = stages.add_parser("renderer", help="the rendering network, from passages")
    renderer.add_argument("--passages", nargs="+", required=True, help="folders that prepare --passages made")
    renderer.add_argument("--weights", nargs="+", type=float, help="share of each (default: by root of their size)")
    renderer.add_argument("--out", required=True, help="folder for state, log and model.safetensors; gone on from")
    renderer.add_argument("--from", dest="start", help="the motion model it belongs to (default: the one that ships)")
    renderer.add_argument("--new", action="store_true", help="begin anew, although the model has one")
    renderer.add_argument("--crop", type=int, default=128, help="side of the crops in pixels")
    renderer.add_argument("--perceptual", type=float, default=0.1, help="share of the perceptual loss (VGG16)")
    renderer.add_argument("--depths", type=int, default=2, help="depths of VGG16 that are looked at, 1 to 5")
    renderer.add_argument("--held-out", type=float, default=0.1, help="share of sources never trained on")
    _schedule_options(renderer, rate=5e-4)


def _schedule_options(stage: argparse.ArgumentParser, rate: float) -> None:
    stage.add_argument("--steps", type=int, default=10_000)
    stage.add_argument("--minutes", type=float, default=0.0, help="stop after so long, to go on later (0: never)")
    stage.add_argument("--batch", type=int, default=4, help="samples a step and process (default %(default)s)")
    stage.add_argument("--rate", type=float, default=rate, help="learning rate")
    stage.add_argument("--warmup", type=int, default=100)
    stage.add_argument("--ema", type=float, default=0.999)
    stage.add_argument("--precision", choices=("no", "bf16", "fp16"), default="no")
    stage.add_argument("--save-every", type=float, default=5.0, help="minutes between saved states")
    stage.add_argument("--seed", type=int, default=0)
    stage.add_argument("--workers", type=int, default=0, help="processes that prepare data")
