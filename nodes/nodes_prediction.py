"""Predict Spectral Volume."""

from __future__ import annotations

from collections.abc import Sequence

import comfy.model_management as model_management
import torch
from comfy_api.latest import io
from torch import Tensor

from ..gid_core.motion import loop
from ..gid_core.rendering.visualization import motion_map
from ..gid_core.spectral_volume import SpectralVolume
from ..gid_core.tensors import image_batch, mask_batch
from .adapters import (
    CATEGORY,
    PREVIEW_SIZE,
    GuidanceType,
    ModelType,
    Progress,
    SpectralVolumeType,
    advanced,
    logger,
    optional_mask,
    save_looping_preview,
    schema,
)
from .nodes_model import ManagedPipeline

SAMPLERS = {"dpm": "dpm", "ddim (paper)": "ddim"}
MAX_SEED = 2**64
# Variations of one photo that are sampled together, where there is a GPU to fill.
AT_ONCE = 8
SHOWN = 8  # variations in the preview


class PredictSpectralVolume(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GID_PredictSpectralVolume",
            display_name="Predict Spectral Volume",
            category=CATEGORY,
            description="Predicts from a single photo how every pixel would sway in the wind, as a spectral volume. "
            "Loop it, amplify it, and render the photo with it.",
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
                    tooltip="The photo, of any size: plants, flowers, trees, hanging things. Where alpha is 0, "
                    "nothing moves.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=MAX_SEED - 1,
                    control_after_generate=True,
                    tooltip="Another seed, another breeze. The same seed gives the same motion again.",
                ),
                io.Int.Input(
                    "steps",
                    default=25,
                    min=1,
                    max=1000,
                    tooltip="Steps of the sampling: 20 to 30 with dpm, 250 with ddim.",
                ),
                io.Float.Input(
                    "guidance",
                    default=1.75,
                    min=0.0,
                    max=10.0,
                    step=0.05,
                    tooltip="How closely to follow the photo. 1 is as learned and takes half the time; much above 3 "
                    "exaggerates.",
                ),
                io.Float.Input(
                    "amplitude",
                    default=1.0,
                    min=0.0,
                    max=4.0,
                    step=0.05,
                    display_mode=io.NumberDisplay.slider,
                    tooltip="How much it moves: 0 is still, 1 as in the training clips, 2 twice as far.",
                ),
                io.Int.Input(
                    "variations",
                    default=1,
                    min=1,
                    max=16,
                    tooltip="Motions for every photo, from as many seeds in a row. They come as a batch, one photo's "
                    "after another's.",
                ),
                GuidanceType.Input(
                    "loop_guidance",
                    optional=True,
                    tooltip="Toward motion that closes its loop without a jerk, from Loop Guidance.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="White may move, black stays still; the motion is made to fit. Any size.",
                ),
                advanced(
                    io.Combo.Input(
                        "sampler",
                        options=list(SAMPLERS),
                        default="dpm",
                        optional=True,
                        tooltip="dpm needs 20 to 30 steps, ddim 250 as in the paper.",
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
                        tooltip="Longest side of the spectral volume in pixels, at most the photo's. It fits a photo "
                        "of any size; more only follows edges more finely.",
                    )
                ),
            ],
            outputs=[
                SpectralVolumeType.Output(
                    "spectral_volume",
                    display_name="spectral volume",
                    tooltip="The predicted motion, for Loop Motion, Amplify Motion, or straight into the render.",
                ),
                io.Image.Output(
                    "images",
                    display_name="photos",
                    tooltip="The photos as the motions belong to them: each as often as it has variations.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls, model, image, seed, steps, guidance, amplitude, variations, loop_guidance=None, mask=None,
        sampler="dpm", resolution=512,
    ) -> io.NodeOutput:  # fmt: skip
        if not isinstance(model, ManagedPipeline):
            raise ValueError(f"model must come from Load GID Model; got {type(model).__name__}.")
        photos = image_batch(image).permute(0, 2, 3, 1)
        mask = optional_mask(mask, tuple(photos.shape[1:3]))
        # A crossfade changes the period, which all volumes of a batch share: it waits for them all.
        afterwards = loop_guidance is not None and loop_guidance.mode == "crossfade"
        prediction = _Prediction(
            model,
            dict(
                num_inference_steps=steps,
                guidance_scale=guidance,
                loop_guidance=None if afterwards else loop_guidance,
                amplitude=amplitude,
                sampler=SAMPLERS[sampler],
                resolution=resolution,
            ),
            Progress(cls.hidden.unique_id),
            total=len(photos) * variations * steps,
        )
        masks = None if mask is None else mask_batch(mask, len(photos)).expand(len(photos), -1, -1)
        parts = []
        for index, photo in enumerate(photos):
            seeds = [(seed + index + i) % MAX_SEED for i in range(variations)]
            parts += prediction.of(photo, seeds, None if masks is None else masks[index])
        volume = parts[0].replace(coefficients=torch.cat([part.coefficients for part in parts]))
        volume = loop_guidance.finish(volume) if afterwards else volume
        images = image if variations == 1 else photos.repeat_interleave(variations, 0).to(image)
        preview = save_looping_preview(_maps(volume, photos, variations), fps=1.0)
        return io.NodeOutput(volume, images, ui={"gid_loop": [preview]})


class _Prediction:
    """Photo after photo, as many seeds together as fit into memory, with one progress over all."""

    def __init__(self, model: ManagedPipeline, options: dict, progress: Progress, total: int):
        self.model, self.options, self.progress, self.total = model, options, progress, total
        self.at_once = 1 if model.patcher.load_device.type == "cpu" else AT_ONCE
        self.done = 0

    def of(self, photo: Tensor, seeds: Sequence[int], mask: Tensor | None) -> list[SpectralVolume]:
        """Volumes of a photo [H, W, C], in the order of the seeds."""
        volumes, remaining = [], list(seeds)
        while remaining:
            now = remaining[: self.at_once]
            volume = self._attempt(photo, now, mask)
            if volume is None:
                self.at_once = max(1, len(now) // 2)
                continue
            volumes.append(volume)
            remaining = remaining[len(now) :]
            self.done += len(now) * self.options["num_inference_steps"]
        return volumes

    def _attempt(self, photo: Tensor, seeds: list[int], mask: Tensor | None) -> SpectralVolume | None:
        """One call of the pipeline; None if memory ran out and fewer seeds may fit."""

        def report(done: int, _total: int, preview) -> None:
            def picture() -> Tensor:
                config = pipeline.model.config.volume
                volume = SpectralVolume(preview()[:1], config.fps, config.period)
                return motion_map(loop(volume), photo[None], PREVIEW_SIZE)

            self.progress(self.done + done * len(seeds), self.total, picture)

        call = dict(self.options, seed=seeds, mask=mask, callback=report)
        try:
            with self.model.ready(_memory(self.model, photo, len(seeds), self.options["resolution"])) as pipeline:
                try:
                    return pipeline(photo, **call)
                except NotImplementedError as error:  # an operation that this kind of device lacks
                    logger.warning("Predicting on the CPU: %s cannot (%s).", pipeline.device, error)
                    pipeline.to("cpu", torch.float32)
                    return pipeline(photo, **call)
        except (RuntimeError, MemoryError) as error:
            if not _out_of_memory(error):
                raise
            message = str(error).partition("\n")[0]
        # Out of the handler, which keeps the networks' activations alive.
        model_management.soft_empty_cache()
        if len(seeds) == 1:
            raise RuntimeError(
                "Memory ran out while predicting a single motion: lower resolution, or take a smaller dtype in Load "
                f"GID Model. ({message})"
            )
        logger.warning("Memory ran out with %d variations at once; trying with fewer.", len(seeds))
        return None


def _out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on whatever device."""
    kinds = (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, kinds) or any(words in str(error) for words in ("out of memory", "can't allocate memory"))


def _memory(model: ManagedPipeline, photo: Tensor, count: int, resolution: int) -> float:
    """Bytes that a prediction needs at its peak, roughly: decoding all slices, or drawing them along edges."""
    config = model.pipeline.model.config
    volume, bins = config.volume, config.volume.num_bins
    decoded = bins * volume.pixels / volume.stride**2 * max(config.autoencoder.channels) * 4
    aspect = min(photo.shape[:2]) / max(photo.shape[:2])
    drawn = bins * 4 * resolution**2 * aspect * 4
    return count * max(6 * decoded, 8 * drawn)


def _maps(volume: SpectralVolume, photos: Tensor, variations: int) -> Tensor:
    """Motion maps of the first photo's variations, [N, H, W, 3]."""
    motions = [loop(volume.replace(coefficients=part)) for part in volume.coefficients[:variations][:SHOWN].split(1)]
    return torch.stack([motion_map(motion, photos[:1], PREVIEW_SIZE) for motion in motions])
