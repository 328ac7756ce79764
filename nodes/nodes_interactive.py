"""Save Interactive Photo."""

from __future__ import annotations

from comfy_api.latest import io
from torch import Tensor

from ..gid_core.rendering.interactive_page import DEFAULT_SIZE, DEFAULT_TITLE, MAX_SIZE, save_interactive_page
from ..gid_core.spectral_volume import SpectralVolume
from ..gid_core.tensors import image_batch
from .adapters import CATEGORY, SpectralVolumeType, advanced, schema
from .files import check_prefix, next_output_file, output_subfolder
from .input_checks import checks_inputs


class SaveInteractivePhoto(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="GID_SaveInteractivePhoto",
            display_name="Save Interactive Photo",
            category=CATEGORY,
            description="Saves a photo with its motion as a web page in one file, which opens by a double click, also "
            "on a phone and offline: drag to poke, wind by a slider or by tilting, and the loop.",
            search_aliases=["html", "web page", "export", "poke", "share", "website", "embed", "iframe", "phone"],
            inputs=[
                io.Image.Input("image", tooltip="The photo. Of a batch, the first one is saved."),
                SpectralVolumeType.Input("spectral_volume", tooltip="How the photo can move."),
                io.String.Input(
                    "filename_prefix",
                    default="interactive/photo",
                    tooltip="Folder inside the output folder, and beginning of the file name.",
                ),
                io.String.Input("title", default=DEFAULT_TITLE, tooltip="Title of the page, in the browser's tab."),
                io.String.Input(
                    "alt_text",
                    default="",
                    tooltip="What the photo shows, for those who do not see it: screen readers read it. Empty uses the "
                    "title.",
                ),
                io.Boolean.Input(
                    "autoplay",
                    default=False,
                    tooltip="The loop plays when the page opens, except for visitors who prefer reduced motion. "
                    "Otherwise the photo waits to be touched.",
                ),
                advanced(
                    io.Int.Input(
                        "max_size",
                        default=DEFAULT_SIZE,
                        min=64,
                        max=MAX_SIZE,
                        step=8,
                        tooltip="Longest side of the photo in the page, in pixels. A page with 1024 has at most 3 MB.",
                    )
                ),
            ],
            outputs=[
                io.String.Output("filename", display_name="file", tooltip="The file name inside the output folder.")
            ],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, filename_prefix: str | None) -> bool | str:
        return check_prefix(filename_prefix)

    @classmethod
    @checks_inputs
    def execute(
        cls,
        image: Tensor,
        spectral_volume: SpectralVolume,
        filename_prefix: str,
        title: str,
        alt_text: str,
        autoplay: bool,
        max_size: int,
    ) -> io.NodeOutput:
        path = next_output_file(filename_prefix, ".html", image_batch(image).shape[-2:])
        save_interactive_page(
            path, image, spectral_volume, title=title, alt=alt_text or title, autoplay=autoplay, max_size=max_size
        )
        subfolder = output_subfolder(path)
        file = {"filename": path.name, "subfolder": subfolder, "type": "output"}
        return io.NodeOutput(f"{subfolder}/{path.name}".lstrip("/"), ui={"gid_page": [file]})
