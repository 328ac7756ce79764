"""A blind comparison of two sides, A and B, that animate the same photos: sheets for a judge, and the judge's score.

    python scripts/blind_sheets.py --a OLD --b NEW --photos photos --out runs/blind
    python scripts/blind_sheets.py --out runs/blind --score answers.json [answers2.json ...]

A side is a folder of videos named like the photos, or a checkout of this software, which renders them with the
defaults of `gid animate` (or with --a-options, --b-options, such as "--model new.safetensors").

Written to --out: `sheets/` for the judge, with one PNG for each photo and instructions.md; `key.json`, which says
which side is "1" on each sheet; `renders/`, which an interrupted run uses again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import random
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from contact_sheet import contact_sheet
from gid_core.media.atomic import atomic_write
from gid_core.media.image_io import read_image, write_image
from gid_core.media.video_io import read_video

VIDEO_SUFFIXES = (".mp4", ".webm", ".mov", ".mkv", ".gif", ".avi")
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".webp", ".png")
# Folders of the library that have no part in `gid animate`: a change there does not outdate a render.
UNUSED_FOLDERS = ("training", "evaluation")
MAX_FRAMES = 300  # of a loop that are read; ten seconds at 30 frames per second
CONFIDENCE_Z = 1.959964  # of a normal distribution, two-sided 95 %

INSTRUCTIONS = """# Which loop is more believable?

Each image in this folder shows one photo, animated twice: the loop "1" above and the loop "2" below. Both are shown
in the same way:

* six whole frames, spaced evenly over the loop; colored squares in the first mark the places that move most;
* each of these places enlarged three times, at the same six times in reading order;
* an X-t and a Y-t slice through place a: one row (one column) of the picture over time. A thing that sways draws a
  smooth wave there; a still thing draws straight lines.

For each image: which is more believable as a filmed loop of this place, 1 or 2, and why, in one line? Look at whether
the right things move and the others rest, whether each thing moves as one piece, whether shapes stay whole at their
outlines, and whether speed and strength fit the thing. Choose one even if both are alike.

Write the answers into a JSON file, with the name of each image without its suffix:

{example}
"""


@dataclass(frozen=True)
class Side:
    """Where the loops of one side come from.

    Attributes:
        name: "A" or "B".
        folder: of videos, or a checkout.
        options: further options of `gid animate`, for a checkout.
    """

    name: str
    folder: Path
    options: str = ""

    @property
    def is_checkout(self) -> bool:
        return (self.folder / "gid_core" / "__main__.py").is_file()

    def digest(self, settings: str) -> str:
        """Digest of everything that decides what a checkout renders."""
        digest = hashlib.sha256(f"{settings} {self.options}".encode())
        package = self.folder / "gid_core"
        for path in sorted([*package.rglob("*.py"), *package.rglob("*.safetensors")]):
            if path.relative_to(package).parts[0] not in UNUSED_FOLDERS:
                digest.update(str(path.relative_to(package)).encode() + path.read_bytes())
        return digest.hexdigest()[:8]

    def find_video(self, name: str) -> Path:
        """The video of a photo in a folder of videos.

        Raises:
            ValueError: if there is none.
        """
        found = [path for suffix in VIDEO_SUFFIXES if (path := self.folder / f"{name}{suffix}").is_file()]
        if not found:
            raise ValueError(
                f"Side {self.name}, {self.folder}, has no video {name} ({', '.join(VIDEO_SUFFIXES)}), and is no "
                "checkout of this software, which would have gid_core/__main__.py."
            )
        return found[0]

    def render(self, photo: Path, video: Path, seed: int) -> None:
        """Animate a photo with the checkout's software.

        Raises:
            ValueError: if it fails; with the end of its output.
        """
        with atomic_write(video) as temporary:
            command = [sys.executable, "-m", "gid_core", "animate", str(photo.resolve()), "--seed", str(seed)]
            command += ["-o", str(temporary.resolve()), *shlex.split(self.options)]
            environment = {**os.environ, "PYTHONPATH": str(self.folder.resolve())}
            done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True)
            if done.returncode or not temporary.is_file():
                raise ValueError(f"Side {self.name} did not animate {photo.name}: {(done.stderr + done.stdout)[-800:]}")


def find_photos(folder: Path, pattern: str, count: int | None) -> list[Path]:
    """The photos of a folder that match a pattern, sorted by name, the first `count` of them.

    Raises:
        ValueError: if there is none, or two have one name and different suffixes.
    """
    photos = sorted(path for path in folder.glob(pattern) if path.suffix.lower() in PHOTO_SUFFIXES)[:count]
    if not photos:
        raise ValueError(f"{folder} holds no photos {pattern}; photos end in {', '.join(PHOTO_SUFFIXES)}.")
    if len({photo.stem for photo in photos}) < len(photos):
        raise ValueError(f"Photos in {folder} must have different names before the suffix, which name their sheets.")
    return photos


def resize_photo(photo: Path, folder: Path, width: int) -> Path:
    """A copy of a photo of this width, with even sides, as PNG."""
    image = read_image(photo)[..., :3].numpy()
    height = max(2, round(image.shape[0] * width / image.shape[1] / 2) * 2)
    shrinks = width < image.shape[1]
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return write_image(folder / f"{photo.stem}.png", torch.from_numpy(resized))


def read_loop(video: Path, size: tuple[int, int]) -> np.ndarray:
    """The frames of a video in one size (W, H): uint8 [T, H, W, 3]."""
    frames = (read_video(video, max_frames=MAX_FRAMES)[0] * 255).round().byte().numpy()
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames])


def first_side(name: str, seed: int) -> str:
    """The side that is "1" on the sheet of a photo: "A" or "B", at random, but the same in every run."""
    return "AB"[random.Random(f"{seed} {name}").randrange(2)]


def make_sheets(
    sides: Sequence[Side], photos: Sequence[Path], out: Path, *, width: int = 512, seed: int = 0, shuffle_seed: int = 0
) -> None:
    """Write the sheets, their instructions and the key. Sides that are checkouts render what is missing.

    Args:
        sides: A and B.
        photos: files with different names.
        out: folder for results; made if it does not exist.
        width: pixels; photos get this width before they are animated, and loops before they are compared.
        seed: of the motion, for checkouts.
        shuffle_seed: of the order on the sheets.

    Raises:
        ValueError: if a loop is missing or cannot be rendered.
    """
    folders = {name: out / name for name in ("photos", "sheets", "renders")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    digests = {side.name: side.digest(f"{seed} {width}") for side in sides if side.is_checkout}
    key = {photo.stem: first_side(photo.stem, shuffle_seed) for photo in photos}
    with atomic_write(out / "key.json") as file:
        places = {side.name: f"{side.folder} {side.options}".strip() for side in sides}
        file.write_text(json.dumps({"sides": places, "first": key}, indent=1))
    example = json.dumps({name: {"choice": 1, "why": "..."} for name in key}, indent=1)
    (folders["sheets"] / "instructions.md").write_text(INSTRUCTIONS.format(example=example))
    for number, photo in enumerate(photos, start=1):
        small = resize_photo(photo, folders["photos"], width)
        height = read_image(small).shape[0]
        loops = {}
        for side in sides:
            if side.is_checkout:
                video = folders["renders"] / f"{side.name}-{digests[side.name]}" / f"{photo.stem}.mp4"
                video.parent.mkdir(exist_ok=True)
                if not video.is_file():
                    side.render(small, video, seed)
            else:
                video = side.find_video(photo.stem)
            loops[side.name] = read_loop(video, (width, height))
        first = key[photo.stem]
        sheet = contact_sheet([loops[first], loops["B" if first == "A" else "A"]])
        write_image(folders["sheets"] / f"{photo.stem}.png", torch.from_numpy(sheet) / 255)
        print(f"{number}/{len(photos)} {photo.stem}", flush=True)


def count_preferences(key: dict[str, str], answers: dict[str, object]) -> tuple[int, int]:
    """How often a judge preferred B.

    Args:
        key: {name: side that is "1"}.
        answers: {name: 1 or 2, or {"choice": 1 or 2, ...}}.

    Returns:
        Number of sheets where B was chosen, and number of answers.

    Raises:
        ValueError: for an answer to a sheet that does not exist, or other than 1 and 2.
    """
    preferred = 0
    for name, answer in answers.items():
        choice = answer.get("choice") if isinstance(answer, dict) else answer
        if name not in key:
            raise ValueError(f"There is no sheet {name!r}; sheets are {', '.join(key)}.")
        if choice not in (1, 2) or isinstance(choice, bool):
            raise ValueError(f"The answer to {name} must be 1 or 2; got {choice!r}.")
        preferred += (key[name] == "B") == (choice == 1)
    return preferred, len(answers)


def wilson_interval(successes: int, trials: int, z: float = CONFIDENCE_Z) -> tuple[float, float]:
    """Interval of a share (Wilson 1927): (low, high) in 0..1; (0, 1) without trials."""
    if trials == 0:
        return 0.0, 1.0
    share, square = successes / trials, z * z / trials
    center = (share + square / 2) / (1 + square)
    half = z / (1 + square) * math.sqrt(share * (1 - share) / trials + square / (4 * trials))
    return max(0.0, center - half), min(1.0, center + half)


def score_lines(out: Path, files: Sequence[Path]) -> list[str]:
    """One line for each judge's answers, and one for all together.

    The interval of all treats answers as independent; judges who see the same sheets are not quite that.
    """
    content = json.loads((out / "key.json").read_text())
    key = content["first"]
    lines = [f"{side}: {place}" for side, place in content["sides"].items()]
    counts = []
    for path in files:
        counts.append(count_preferences(key, json.loads(path.read_text())))
        lines.append(_score_line(path.stem, *counts[-1]) + f"; {counts[-1][1]} of {len(key)} sheets answered")
    return [*lines, _score_line("all", *(sum(column) for column in zip(*counts, strict=True)))]


def _score_line(name: str, preferred: int, answered: int) -> str:
    low, high = wilson_interval(preferred, answered)
    share = f"{preferred / answered:.0%}" if answered else "no answers"
    return f"{name}: B preferred {preferred} of {answered} times, {share} (95 %: {low:.0%} to {high:.0%})"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for results; a broken run resumes from it")
    parser.add_argument("--a", type=Path, help="side A: a folder of videos, or a checkout")
    parser.add_argument("--b", type=Path, help="side B, in the same way")
    parser.add_argument("--a-options", default="", help='options of `gid animate` for side A, such as "--steps 12"')
    parser.add_argument("--b-options", default="", help="the same for side B")
    parser.add_argument("--photos", type=Path, help="folder of photos")
    parser.add_argument("--pattern", default="*.jpg", help="which of its files are photos (default *.jpg)")
    parser.add_argument("--count", type=int, help="the largest number of photos")
    parser.add_argument("--width", type=int, default=512, help="photos get this width in pixels first (default 512)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the motion (default 0)")
    parser.add_argument("--shuffle-seed", type=int, default=0, help="seed of the order on the sheets (default 0)")
    parser.add_argument("--score", type=Path, nargs="+", metavar="ANSWERS", help="score these answers instead")
    options = parser.parse_args(arguments)
    try:
        if options.score:
            print("\n".join(score_lines(options.out, options.score)))
            return 0
        if not (options.a and options.b and options.photos):
            parser.error("--a, --b and --photos are needed to make sheets; --score is for answers.")
        photos = find_photos(options.photos, options.pattern, options.count)
        sides = [Side("A", options.a, options.a_options), Side("B", options.b, options.b_options)]
        make_sheets(
            sides, photos, options.out, width=options.width, seed=options.seed, shuffle_seed=options.shuffle_seed
        )
    except (ValueError, OSError) as error:
        print(f"blind_sheets: {error}", file=sys.stderr)
        return 1
    print(f"{options.out / 'sheets'}: for the judge; {options.out / 'key.json'}: not for the judge")
    return 0


if __name__ == "__main__":
    sys.exit(main())
