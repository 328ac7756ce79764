"""Predict Spectral Volume."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import comfy.model_management as model_management
import torch
from comfy_api.latest import io
from torch import Tensor

from ..gid_core.memory import is_out_of_memory
from ..gid_core.motion import loop
from ..gid_core.rendering.visualization import motion_map
from ..gid_core.sources.motion_brush import stroke_mask
from ..gid_core.sources.steering import steer
from ..gid_core.sources.stroke_list import parse_strokes
from ..gid_core.spectral_volume import SpectralVolume
from ..gid_core.tensors import fit_size, image_batch, mask_batch
from ..gid_core.validation import check_choice, check_integer
from .adapters import (
    CATEGORY,
    PREVIEW_SIZE,
    GuidanceType,
    ModelType,
    Progress,
    SpectralVolumeType,
    advanced,
    logger,
    save_looping_preview,
    schema,
    seed_input,
    thumbnail,
    warn_once,
)
from .input_checks import checks_inputs
from .live_preview import save_live_packet
from .masks import optional_mask
from .nodes_mask import strokes_input, strokes_problem

if TYPE_CHECKING:
    from ..gid_core.models.loop_guidance import LoopGuidance
    from ..gid_core.models.pipeline import GIDPipeline
    from .nodes_model import ManagedPipeline

SAMPLERS = {"unipc": "unipc", "dpm": "dpm", "ddim (paper)": "ddim"}
MAX_SEED = 2**64
MAX_VARIATIONS = 1000  # also if their number comes through a link
MAX_BATCH_SIZE = 8  # variations of one photo that a GPU samples together; a CPU samples one at a time
# Peak memory of a prediction: copies of the decoder's largest activations, or of the volume in its final size. Measured
# with gid-small: 1.9, and 4.9.
DECODED_COPIES, UPSAMPLED_COPIES = 2, 5
MAX_PREVIEW_VARIATIONS = 8  # variations in the preview


class PredictSpectralVolume(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="GID_PredictSpectralVolume",
            display_name="Predict Spectral Volume",
            category=CATEGORY,
            description="Predicts from a single photo how each pixel would sway in the wind, as a spectral volume: the "
            "first step to animate a photo (image to video, a cinemagraph, a living photo). Loop or amplify the "
            "motion, and render the photo with it.",
            search_aliases=[
                "animate photo",
                "image to motion",
                "image to video",
                "living photo",
                "cinemagraph",
                "wind",
                "sway",
            ],
            inputs=[
                ModelType.Input("model", tooltip="The motion model, from Load GID Model."),
                io.Image.Input(
                    "image",
                    tooltip="The photo, of any size: plants, flowers, trees, hanging things. Where alpha is 0, nothing "
                    "moves.",
                ),
                seed_input("Each seed gives a different motion; the same seed gives the same motion."),
                io.Int.Input(
                    "steps",
                    default=10,
                    min=1,
                    max=1000,
                    tooltip="Number of sampling steps: 10 to 25 for unipc, 14 to 25 for dpm, 250 for ddim.",
                ),
                io.Float.Input(
                    "guidance",
                    default=1.75,
                    min=0.0,
                    max=10.0,
                    step=0.05,
                    tooltip="Scale of classifier-free guidance: how closely the motion follows the photo. 1 uses no "
                    "guidance and takes half the time; values far above 3 exaggerate the motion.",
                ),
                io.Float.Input(
                    "amplitude",
                    default=1.0,
                    min=0.0,
                    max=4.0,
                    step=0.05,
                    display_mode=io.NumberDisplay.slider,
                    tooltip="Amount of motion: 0 gives none, 1 what suits the photo (large, close things move "
                    "further), 2 twice as much.",
                ),
                io.Int.Input(
                    "variations",
                    default=1,
                    min=1,
                    max=16,
                    tooltip="Number of motions for each photo, from consecutive seeds. The output is a batch: all "
                    "motions of the first photo, then those of the next.",
                ),
                GuidanceType.Input(
                    "loop_guidance",
                    optional=True,
                    tooltip="Settings from Loop Guidance, for motion that loops without a jump at the seam.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="White may move, black does not; the predicted motion adapts to it. Any size.",
                ),
                advanced(
                    io.Combo.Input(
                        "sampler",
                        options=list(SAMPLERS),
                        default="unipc",
                        optional=True,
                        tooltip="unipc is nearest to very many steps at 10 to 25; dpm needs 14 to 25, ddim needs 250, "
                        "as in the paper.",
                    )
                ),
                advanced(
                    io.Int.Input(
                        "resolution",
                        default=512,
                        min=64,
                        max=2048,
                        step=8,
                        optional=True,
                        tooltip="Longer side of the spectral volume in pixels, at most the photo's. The volume fits a "
                        "photo of any size; a larger one only follows edges more precisely.",
                    )
                ),
                strokes_input(
                    "The strokes of the motion brush as a JSON list; painting in the live picture writes it. What they "
                    "paint may move, what they pin may not, and an arrow sets the direction in which an object sways."
                ),
            ],
            outputs=[
                SpectralVolumeType.Output(
                    "spectral_volume",
                    display_name="spectral volume",
                    tooltip="The predicted motion, for Loop Motion, Amplify Motion or directly for Softmax Splat "
                    "Render.",
                ),
                io.Image.Output(
                    "images",
                    display_name="photos",
                    tooltip="The photos, one per motion: each photo is repeated for each of its variations.",
                ),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
            has_intermediate_output=True,
        )

    @classmethod
    def validate_inputs(cls, strokes: str | None = None) -> bool | str:
        return strokes_problem(strokes)

    @classmethod
    @checks_inputs
    def execute(
        cls,
        model: ManagedPipeline,
        image: Tensor,
        seed: int,
        steps: int,
        guidance: float,
        amplitude: float,
        variations: int,
        loop_guidance: LoopGuidance | None = None,
        mask: Tensor | None = None,
        sampler: str = "unipc",
        resolution: int = 512,
        strokes: str = "",
    ) -> io.NodeOutput:
        check_choice("sampler", sampler, tuple(SAMPLERS))
        check_integer("variations", variations, 1, MAX_VARIATIONS)
        photos = image_batch(image).permute(0, 2, 3, 1)
        mask = optional_mask(mask, cls.hidden)
        brush = parse_strokes(strokes)
        if brush:
            mask = stroke_mask(brush, fit_size(photos.shape[1:3], resolution), mask)
        # A crossfade changes the period, which all volumes of a batch share, so it is applied to the whole batch.
        crossfade_guidance = loop_guidance if loop_guidance is not None and loop_guidance.mode == "crossfade" else None
        prediction = _BatchedPrediction(
            model,
            dict(
                num_inference_steps=steps,
                guidance_scale=guidance,
                loop_guidance=None if crossfade_guidance else loop_guidance,
                amplitude=amplitude,
                sampler=SAMPLERS[sampler],
                resolution=resolution,
            ),
            Progress(cls.hidden.unique_id),
            total=len(photos) * variations * steps,
        )
        masks = None if mask is None else mask_batch(mask, len(photos)).expand(len(photos), -1, -1)
        volumes = []
        for index, photo in enumerate(photos):
            seeds = [(seed + index + i) % MAX_SEED for i in range(variations)]
            volumes += prediction.predict(photo, seeds, None if masks is None else masks[index])
        volume = volumes[0].replace(coefficients=torch.cat([item.coefficients for item in volumes]))
        volume = steer(volume, brush) if brush else volume
        volume = crossfade_guidance.apply(volume) if crossfade_guidance else volume
        images = image if variations == 1 else photos.repeat_interleave(variations, 0).to(image)
        maps = [thumbnail(motion_map) for motion_map in _motion_maps(volume, photos, variations)]
        preview = save_looping_preview(maps, fps=1.0)
        live = {"digest": save_live_packet(volume, photos[:1], volume)}
        return io.NodeOutput(volume, images, ui={"gid_loop": [preview], "gid_live": [live]})


class _BatchedPrediction:
    """Predicts photo by photo, with as many seeds together as fit into memory, and reports the progress of all."""

    def __init__(self, model: ManagedPipeline, options: dict[str, Any], progress: Progress, total: int) -> None:
        self.model, self.options, self.progress, self.total = model, options, progress, total
        self.batch_size = 1 if model.patcher.load_device.type == "cpu" else MAX_BATCH_SIZE
        self.done = 0

    def predict(self, photo: Tensor, seeds: Sequence[int], mask: Tensor | None) -> list[SpectralVolume]:
        """Predict volumes of a photo [H, W, C], in the order of the seeds."""
        volumes, remaining = [], list(seeds)
        while remaining:
            batch = remaining[: self.batch_size]
            volume = self._predict_batch(photo, batch, mask)
            if volume is None:
                self.batch_size = max(1, len(batch) // 2)
                continue
            volumes.append(volume)
            remaining = remaining[len(batch) :]
            self.done += len(batch) * self.options["num_inference_steps"]
        return volumes

    def _predict_batch(self, photo: Tensor, seeds: list[int], mask: Tensor | None) -> SpectralVolume | None:
        """Call the pipeline once; returns None if memory ran out and fewer seeds may fit."""

        def report(done: int, _total: int, preview: Callable[[], Tensor]) -> None:
            def preview_image() -> Tensor:
                config = pipeline.model.config.volume
                volume = SpectralVolume(preview()[:1], config.fps, config.period)
                return motion_map(loop(volume), photo[None], PREVIEW_SIZE)

            self.progress(self.done + done * len(seeds), self.total, preview_image)

        arguments = dict(self.options, seed=seeds, mask=mask, callback=report)
        try:
            with self.model.loaded(
                _memory_required(self.model, photo, len(seeds), self.options["resolution"])
            ) as pipeline:
                try:
                    return pipeline(photo, **arguments)
                except NotImplementedError as error:  # the device lacks an operation
                    warn_once(f"Predicting on the CPU: {pipeline.device} cannot ({error}).")
                    return _copy_on_cpu(pipeline)(photo, **arguments)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            message = str(error).partition("\n")[0]
        # Outside the handler, whose traceback keeps the networks' activations in memory.
        model_management.soft_empty_cache()
        if len(seeds) == 1:
            raise RuntimeError(
                "Memory ran out while predicting a single motion: lower resolution, or choose a smaller dtype in Load "
                f"GID Model. ({message})"
            )
        logger.warning("Memory ran out with %d variations at once; trying with fewer.", len(seeds))
        return None


def _copy_on_cpu(pipeline: GIDPipeline) -> GIDPipeline:
    """A copy in float32. ComfyUI manages the networks of the pipeline itself, which must stay as they are."""
    with torch.inference_mode(False):  # its weights take part in gradients, too
        return type(pipeline)(deepcopy(pipeline.model)).to("cpu", torch.float32)


def _memory_required(model: ManagedPipeline, photo: Tensor, count: int, resolution: int) -> float:
    """Estimate the peak memory of a prediction in bytes: decoding all slices, or upsampling them along edges."""
    config = model.pipeline.model.config
    volume, bins = config.volume, config.volume.num_bins
    decoded = bins * volume.image_area / volume.stride**2 * max(config.autoencoder.block_out_channels) * 4
    upsampled = bins * 4 * math.prod(fit_size(photo.shape[:2], resolution)) * 4
    return count * max(DECODED_COPIES * decoded, UPSAMPLED_COPIES * upsampled)


def _motion_maps(volume: SpectralVolume, photos: Tensor, variations: int) -> Tensor:
    """Motion maps of the first photo's variations, [N, H, W, 3]."""
    motions = [
        loop(volume.replace(coefficients=coefficients))
        for coefficients in volume.coefficients[: min(variations, MAX_PREVIEW_VARIATIONS)].split(1)
    ]
    return torch.stack([motion_map(motion, photos[:1], PREVIEW_SIZE) for motion in motions])
