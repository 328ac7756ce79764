"""ComfyUI's folders: names that lead to files in them, and temporary files that two servers never share.

Symbolic links are followed, also out of a folder, as ComfyUI's own nodes do; names with `..` must stay inside.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import folder_paths

from ..gid_core.validation import check_instance, check_path


def path_inside(folder: str | os.PathLike, name: str) -> Path | None:
    """The path of a name in a folder, or None if the name leads out of the folder without a link.

    `..` is resolved as text, before links are: after a link, it would lead to where the link points.
    """
    root = Path(os.path.abspath(folder))
    path = Path(os.path.abspath(root / name))
    return path if path != root and path.is_relative_to(root) else None


def prefix_error(prefix: str) -> str:
    """Why nothing can be saved under this prefix of file names, or an empty string."""
    root = folder_paths.get_output_directory()
    try:
        check_instance("filename_prefix", prefix, str, "text")
        check_path("filename_prefix", os.path.join(root, f"{prefix}_00001_.safetensors"))
    except ValueError as error:
        return str(error)
    if not prefix.strip() or path_inside(root, prefix) is None:
        return f"filename_prefix must name a file inside the output folder; got {prefix!r}."
    if os.path.basename(os.path.normpath(prefix)).startswith("."):
        return f"filename_prefix must name a file that begins with no dot, as unfinished ones do; got {prefix!r}."
    return ""


def check_prefix(prefix: str | None) -> bool | str:
    """A prefix for `validate_inputs` of a node: what is wrong with it, or True. None comes through a link, later."""
    return prefix is None or prefix_error(prefix) or True


def walk_links(folder: str) -> Iterator[tuple[Path, list[str]]]:
    """Yield each folder below one, itself first, with its sorted file names. A link to a folder above is not followed.

    Names that begin with a dot are left out: these files belong to writers that were killed.
    """
    above: dict[str, tuple[str, ...]] = {folder: (os.path.realpath(folder),)}  # a folder and what leads to it, no links
    for current, folders, names in os.walk(folder, followlinks=True):
        chain = above.pop(current)
        real = {name: os.path.realpath(os.path.join(current, name)) for name in sorted(folders)}
        folders[:] = [name for name, target in real.items() if target not in chain]
        above |= {os.path.join(current, name): (*chain, real[name]) for name in folders}
        yield Path(current), sorted(name for name in names if not name.startswith("."))


def next_output_file(prefix: str, suffix: str, size: Sequence[int]) -> Path:
    """The path of a new file in ComfyUI's output folder, numbered as Save Image does.

    Args:
        prefix: folder inside the output folder, and beginning of the name; ComfyUI replaces %width% and the like.
        suffix: of the file, with its dot.
        size: height and width of the image, for the prefix.

    Raises:
        ValueError: if the prefix leads out of the folder.
    """
    error = prefix_error(prefix)
    if error:
        raise ValueError(error)
    height, width = size
    folder, name, counter, *_ = folder_paths.get_save_image_path(
        prefix, folder_paths.get_output_directory(), width, height
    )
    return Path(folder) / f"{name}_{counter:05}_{suffix}"


def output_subfolder(path: Path) -> str:
    """The folder of an output file, relative to the output folder, as the page requests it."""
    relative = path.parent.relative_to(folder_paths.get_output_directory()).as_posix()
    return "" if relative == "." else relative


def temporary_file(prefix: str, suffix: str) -> Path:
    """A new path directly in ComfyUI's temp folder, which is made if it was removed.

    The name is random, not counted: two servers on one folder would count to the same number.
    """
    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{prefix}_{uuid.uuid4().hex}{suffix}"
