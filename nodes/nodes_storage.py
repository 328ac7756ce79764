"""Save and Load Spectral Volume."""

from __future__ import annotations

import json
import os
from pathlib import Path

import folder_paths
from comfy_api.latest import io

from ..gid_core.spectral_volume import SpectralVolume
from .adapters import CATEGORY, SpectralVolumeType, inside, schema

SUFFIX = ".safetensors"


class SaveSpectralVolume(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GID_SaveSpectralVolume",
            display_name="Save Spectral Volume",
            category=CATEGORY,
            description="Writes a spectral volume to ComfyUI's output folder as a safetensors file.",
            search_aliases=["export motion", "keep motion", "safetensors"],
            inputs=[
                SpectralVolumeType.Input("spectral_volume", tooltip="The motion to save."),
                io.String.Input(
                    "filename_prefix",
                    default="spectral_volumes/motion",
                    tooltip="Folder and beginning of the file name, inside the output folder.",
                ),
            ],
            outputs=[io.String.Output("filename", display_name="file", tooltip="The file, as the Load node names it.")],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, filename_prefix):
        return filename_prefix is None or _refusal(filename_prefix) or True  # None: it comes over a link

    @classmethod
    def execute(cls, spectral_volume, filename_prefix) -> io.NodeOutput:
        height, width = spectral_volume.size
        refusal = _refusal(filename_prefix)
        if refusal:
            raise ValueError(refusal)
        root = folder_paths.get_output_directory()
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(filename_prefix, root, width, height)
        file = f"{name}_{counter:05}_{SUFFIX}"
        workflow = {key: json.dumps(value) for key, value in (cls.hidden.extra_pnginfo or {}).items()}
        if cls.hidden.prompt:
            workflow["prompt"] = json.dumps(cls.hidden.prompt)
        spectral_volume.save(Path(folder) / file, workflow)
        annotated = f"{Path(subfolder, file).as_posix()} [output]"
        return io.NodeOutput(annotated, ui={"text": [annotated]})


class LoadSpectralVolume(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GID_LoadSpectralVolume",
            display_name="Load Spectral Volume",
            category=CATEGORY,
            description="Reads a spectral volume that Save Spectral Volume wrote, from the input or output folder.",
            search_aliases=["import motion", "open motion", "safetensors"],
            inputs=[
                io.Combo.Input(
                    "file",
                    options=_files(),
                    tooltip="A .safetensors file in the input folder, or in the output folder (marked so).",
                )
            ],
            outputs=[
                SpectralVolumeType.Output("spectral_volume", display_name="spectral volume", tooltip="The motion."),
                io.Float.Output("frame_rate", display_name="fps", tooltip="Frames a second of its natural playback."),
            ],
        )

    @classmethod
    def validate_inputs(cls, file):
        try:
            if file is not None:  # else it comes over a link
                _resolve(file)
        except (ValueError, OSError) as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, file):
        return file and _resolve(file).stat().st_mtime_ns

    @classmethod
    def execute(cls, file) -> io.NodeOutput:
        volume = SpectralVolume.load(_resolve(file))
        return io.NodeOutput(volume, volume.fps)


def _refusal(prefix: str) -> str:
    """Why nothing is saved under this prefix, or an empty string."""
    root = folder_paths.get_output_directory()
    if prefix.strip() and inside(Path(root) / prefix, root):
        return ""
    return f"filename_prefix must name a place inside the output folder; got {prefix!r}."


def _files() -> list[str]:
    """Candidates in the input folder, then in the output folder with ComfyUI's mark."""
    found = []
    folders = ((folder_paths.get_input_directory(), ""), (folder_paths.get_output_directory(), " [output]"))
    for root, mark in folders:
        for folder, _, names in os.walk(root):
            relative = Path(folder).relative_to(root)
            found += [f"{(relative / name).as_posix()}{mark}" for name in sorted(names) if name.endswith(SUFFIX)]
    return found


def _resolve(file: str) -> Path:
    name, root = folder_paths.annotated_filepath(file)
    root = root or folder_paths.get_input_directory()
    path = Path(root) / name
    if not inside(path, root):
        raise ValueError(f"file must lie inside ComfyUI's input or output folder; got {file!r}.")
    if not path.is_file():
        raise ValueError(f"No spectral volume named {file!r}; put it in the input folder, or save one first.")
    return path
