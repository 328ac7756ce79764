"""The command that animates a folder of photos: batch."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path

from tqdm import tqdm

from ..media.atomic import finished_files
from ..media.image_io import PHOTO_SUFFIXES
from ..models.checkpoint import load_model
from ..validation import check_integer
from .batch_workers import ENGINES, Job, animate_all
from .command_steps import read_mask


def batch(options: argparse.Namespace) -> None:
    """Animate all photos of a folder: each becomes a video of its name. Run again, it makes those that are missing."""
    check_integer("--workers", options.workers, 1)
    jobs = find_jobs(options.folder, options.output, f".{options.format}")
    missing = [job for job in jobs if not job.output.exists()]
    if missing:
        _check_settings(options)
    Path(options.output).mkdir(parents=True, exist_ok=True)
    problems: dict[str, str] = {}
    made = 0
    try:
        with (
            ENGINES[options.engine](options) as start_worker,
            tqdm(desc="photos", unit="photo", total=len(missing), disable=None) as bar,
            closing(animate_all(missing, start_worker, options.workers)) as outcomes,
        ):
            for outcome in outcomes:
                for note in outcome.notes:
                    bar.write(f"Note: {outcome.job.photo.name}: {note}", file=sys.stderr)
                if outcome.problem:
                    problems[outcome.job.photo.name] = outcome.problem
                else:
                    made += 1
                bar.update()
    finally:  # also when interrupted
        print(f"{options.output}: {made} videos made, {len(jobs) - len(missing)} were there")
    if problems:
        lines = "".join(f"\n  {name}: {problems[name]}" for name in sorted(problems))
        raise ValueError(f"{len(problems)} of {len(jobs)} photos could not be animated:{lines}")


def find_jobs(folder: str, output: str, suffix: str) -> list[Job]:
    """The photos of a folder, sorted, each with the video of its name in the folder `output`; absolute paths.

    Raises:
        FileNotFoundError: if the folder does not exist.
        ValueError: if it has no photos, or two that would become one video.
    """
    photos = finished_files(Path(folder).resolve(), PHOTO_SUFFIXES)
    if not photos:
        raise ValueError(f"{folder} holds no photos; photos end in {', '.join(PHOTO_SUFFIXES)}.")
    first: dict[str, Path] = {}
    for photo in photos:
        other = first.setdefault(photo.stem.casefold(), photo)
        if other is not photo:
            raise ValueError(f"{other.name} and {photo.name} would both become {photo.stem}{suffix}; rename one.")
    return [Job(photo, Path(output).resolve() / f"{photo.stem}{suffix}") for photo in photos]


def _check_settings(options: argparse.Namespace) -> None:
    """Refuse what would fail for every photo, and make paths absolute: workers may run in another folder."""
    for name in ("model", "mask"):
        if path := getattr(options, name):
            setattr(options, name, str(Path(path).resolve()))
    load_model(options.model)
    read_mask(options)
