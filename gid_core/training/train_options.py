"""The command line options of `gid train`."""

from __future__ import annotations

import argparse

from ..models.config import PRESETS
from .stages import DENOISER_STAGES
from .trainer import TrainingConfig

STAGE_HELP = {
    "vae": "1: the autoencoder of frequency slices",
    "encoder": "2: the image encoder and its prior of where each frequency moves",
    "affinity": "3: the network that tells which neighbors move as one",
    "displacement": "4: the network that refines where motion is expected",
    "denoiser": "5: the U-Net on single slices",
    "frequency-attention": "6: the attention between the slices",
}
LEARNING_RATES = {
    "vae": 5e-4,
    "encoder": 5e-4,
    "affinity": 1e-3,
    "displacement": 1.5e-3,
    "denoiser": 2e-4,
    "frequency-attention": 2e-4,
    "renderer": 5e-4,
}


def training_options(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands of `gid train` and their options."""
    stages = parser.add_subparsers(dest="stage", required=True, metavar="STAGE")
    _prepare_options(stages.add_parser("prepare", help="make motion samples or rendering samples"))
    for name, text in STAGE_HELP.items():
        _motion_stage_options(stages.add_parser(name, help=text), name)
    _renderer_options(stages.add_parser("renderer", help="the rendering network, from rendering samples"))


def _prepare_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--clips", help="a folder of videos")
    add("--use", help="only clips with this label in the column `use` of the folder's index.csv")
    add("--loops", action="store_true", help="the clips are seamless loops of one period each")
    add("--windows", type=int, default=3, help="reference frames per clip (default %(default)s)")
    add("--rendering", action="store_true", help="make rendering samples (frames and flow) of clips or scenes")
    add("--scenes", type=int, default=0, metavar="N", help="use N synthetic scenes (with --rendering or --cutouts)")
    add("--corpus", help="convert a folder of a packed synthetic corpus (.jpg and .npz)")
    add("--still-photos", help="a folder of photos in which nothing moves: samples of no motion")
    add("--plant-photos", help="a folder of photos with masks of plants (NAME.plant.png): samples of where plants are")
    add("--cutouts", help="a folder of plants with alpha (.png) that sway over the --still-photos")
    add("--out", required=True, help="folder for the samples")


def _motion_stage_options(parser: argparse.ArgumentParser, stage: str) -> None:
    add = parser.add_argument
    _data_options(parser)
    add("--from", dest="init_from", help="model.safetensors of the previous stage")
    add("--config", default="gid-small", help=f"{', '.join(PRESETS)} or a JSON file (default %(default)s)")
    add("--set", nargs="*", default=[], metavar="A.B=VALUE", help="override single settings of the config")
    add("--backbone-weights", help="weights of EfficientNet-Lite0, if they are not installed as a package")
    add("--size", nargs=2, type=int, default=(288, 512), metavar=("H", "W"), help="of crops in pixels")
    add("--composite-probability", type=float, default=0.3, help="of compositing two samples (default %(default)s)")
    add("--overfit", type=int, default=0, metavar="N", help="check: train on N samples without augmentation")
    _training_config_options(parser, LEARNING_RATES[stage])
    if stage == "encoder":
        add("--plants", help="samples that `prepare --plant-photos` made: plants are expected to move")
    if stage in DENOISER_STAGES:
        add("--timesteps-per-sample", type=int, default=1, help="noise levels for every photo that is encoded")
    if stage == "denoiser":
        add("--reset-denoiser", action="store_true", help="start the U-Net from random weights")
    if stage == "frequency-attention":
        add("--train-unet", action="store_true", help="train the complete U-Net, not only the attention")


def _renderer_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    _data_options(parser)
    add("--from", dest="init_from", help="the motion model that the network belongs to (default: the bundled one)")
    add("--reset-renderer", action="store_true", help="start from random weights even if the model has the network")
    add("--crop-size", type=int, default=128, help="side of the crops in pixels, above 32 (default %(default)s)")
    add("--lpips-weight", type=float, default=0.1, help="of LPIPS (VGG16) in the loss (default %(default)s)")
    add("--lpips-layers", type=int, default=2, help="layers of VGG16 that are used, 1 to 5 (default %(default)s)")
    _training_config_options(parser, LEARNING_RATES["renderer"])


def _data_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--samples", nargs="+", required=True, help="folders that `gid train prepare` made")
    add("--weights", nargs="+", type=float, help="sampling weight of each folder (default: square root of its size)")
    add("--test-fraction", type=float, default=0.1, help="of sources, never used for training (default %(default)s)")
    add("--out", required=True, help="folder for state, log and model.safetensors; an interrupted run resumes from it")


def _training_config_options(parser: argparse.ArgumentParser, learning_rate: float) -> None:
    """Options with the names of `TrainingConfig`'s fields."""
    add, config = parser.add_argument, TrainingConfig()
    add("--max-train-steps", type=int, default=config.max_train_steps, help="(default %(default)s)")
    add("--max-minutes", type=float, default=config.max_minutes, help="stop and resume later (0: no limit)")
    add("--train-batch-size", type=int, default=config.train_batch_size,
        help="samples per step and process (default %(default)s)")  # fmt: skip
    add("--learning-rate", type=float, default=learning_rate, help="(default %(default)s)")
    add("--lr-warmup-steps", type=int, default=config.lr_warmup_steps, help="(default %(default)s)")
    add("--ema-decay", type=float, default=config.ema_decay, help="of the weights' moving average (%(default)s)")
    add("--mixed-precision", choices=("no", "bf16", "fp16"), default=config.mixed_precision)
    add("--checkpointing-minutes", type=float, default=config.checkpointing_minutes,
        help="minutes between checkpoints (default %(default)s)")  # fmt: skip
    add("--seed", type=int, default=config.seed)
    add("--dataloader-num-workers", type=int, default=config.dataloader_num_workers,
        help="processes that prepare data (default %(default)s)")  # fmt: skip
