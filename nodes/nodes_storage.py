"""Save and Load Spectral Volume."""

from __future__ import annotations

import json
from pathlib import Path

import folder_paths
from comfy_api.latest import io

from ..gid_core.spectral_volume import SpectralVolume
from ..gid_core.validation import check_path
from .adapters import CATEGORY, SpectralVolumeType, schema
from .files import check_prefix, next_output_file, output_subfolder, path_inside, walk_links
from .input_checks import checks_inputs

SUFFIX = ".safetensors"


class SaveSpectralVolume(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="GID_SaveSpectralVolume",
            display_name="Save Spectral Volume",
            category=CATEGORY,
            description="Saves a spectral volume as a safetensors file in ComfyUI's output folder.",
            search_aliases=["export motion", "keep motion", "safetensors"],
            inputs=[
                SpectralVolumeType.Input("spectral_volume", tooltip="The motion to save."),
                io.String.Input(
                    "filename_prefix",
                    default="spectral_volumes/motion",
                    tooltip="Folder inside the output folder, and beginning of the file name.",
                ),
            ],
            outputs=[
                io.String.Output(
                    "filename", display_name="file", tooltip="The file name, as in the list of Load Spectral Volume."
                )
            ],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, filename_prefix: str | None) -> bool | str:
        return check_prefix(filename_prefix)

    @classmethod
    @checks_inputs
    def execute(cls, spectral_volume: SpectralVolume, filename_prefix: str) -> io.NodeOutput:
        path = next_output_file(filename_prefix, SUFFIX, spectral_volume.size)
        metadata = {key: json.dumps(value) for key, value in (cls.hidden.extra_pnginfo or {}).items()}
        if cls.hidden.prompt:
            metadata["prompt"] = json.dumps(cls.hidden.prompt)
        spectral_volume.save(path, metadata)
        annotated = f"{Path(output_subfolder(path), path.name).as_posix()} [output]"
        return io.NodeOutput(annotated, ui={"text": [annotated]})


class LoadSpectralVolume(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="GID_LoadSpectralVolume",
            display_name="Load Spectral Volume",
            category=CATEGORY,
            description="Loads a spectral volume that Save Spectral Volume wrote, from the input or output folder.",
            search_aliases=["import motion", "open motion", "safetensors"],
            inputs=[
                io.Combo.Input(
                    "file",
                    options=_volume_files(),
                    tooltip="A .safetensors file in the input folder, or in the output folder (marked [output]).",
                )
            ],
            outputs=[
                SpectralVolumeType.Output("spectral_volume", display_name="spectral volume", tooltip="The motion."),
                io.Float.Output("frame_rate", display_name="fps", tooltip="Frames per second at natural speed."),
            ],
        )

    @classmethod
    def validate_inputs(cls, file: str | None) -> bool | str:
        try:
            if file is not None:  # None if the value comes through a link
                _volume_path(file)
        except (ValueError, OSError) as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, file: str | None) -> str | int | None:
        return file and _volume_path(file).stat().st_mtime_ns

    @classmethod
    @checks_inputs
    def execute(cls, file: str) -> io.NodeOutput:
        volume = SpectralVolume.load(_volume_path(file))
        return io.NodeOutput(volume, volume.fps)


def _volume_files() -> list[str]:
    """Files in the input folder, then those in the output folder with ComfyUI's annotation."""
    files = []
    folders = ((folder_paths.get_input_directory(), ""), (folder_paths.get_output_directory(), " [output]"))
    for root, annotation in folders:
        for folder, names in walk_links(root):
            relative = folder.relative_to(root)
            names = [name for name in names if name.endswith(SUFFIX) and (folder / name).is_file()]  # no dead links
            files += [f"{(relative / name).as_posix()}{annotation}" for name in names]
    return files


def _volume_path(file: str) -> Path:
    """The path of a name from `_volume_files`.

    Raises:
        ValueError: if the name leads out of the input or output folder by `..`, or if there is no such file.
    """
    check_path("file", file)
    name, root = folder_paths.annotated_filepath(file)
    root = root or folder_paths.get_input_directory()
    path = path_inside(root, name)
    if path is None:
        raise ValueError(f"file must lie inside ComfyUI's input or output folder; got {file!r}.")
    if not path.is_file():
        raise ValueError(f"No spectral volume named {file!r}; put it in the input folder, or save one first.")
    return path
