"""Bad input is refused with a helpful message, leaves no file behind, and does not affect the next run."""

import json
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import gid_core as gid
from comfy_server import NodeFailed, PromptRejected


def files_below(*folders) -> set:
    return {path for folder in folders for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def refused(server, graph):
    """refused(failure, *words): the prompt fails, and its message contains all the words."""

    def check(failure, *words, by=None):
        folders = (server.base / "output", server.base / "temp", server.base / "input")
        before = files_below(*folders)
        with pytest.raises(failure) as raised:
            graph.run()
        assert files_below(*folders) == before, "a file was left behind"
        if failure is NodeFailed:
            message = raised.value.exception_message
            assert by is None or raised.value.node_type == by
        else:
            message = json.dumps(raised.value.node_errors)
        for word in words:
            assert word in message
        assert "Traceback" not in message
        # The next prompt still runs.
        graph.prompt.clear()
        number = graph.show(graph.add("PrimitiveInt", value=7))
        assert graph.run(timeout=20).text(number) == "7"

    return check


def empty(graph, width=32, height=24, frames=1):
    return graph.add("EmptyImage", width=width, height=height, batch_size=frames, color=0x336699)


def saved(graph, volume):
    return graph.add("GID_SaveSpectralVolume", spectral_volume=volume, filename_prefix="bad/volume")


# -- clips -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [1, 5, 15])
def test_a_clip_that_is_too_short(graph, refused, frames):
    saved(graph, graph.add("GID_SpectralVolumeFromVideo", video=empty(graph, frames=frames)))
    refused(NodeFailed, "at least 16 frames", f"got {frames}", by="GID_SpectralVolumeFromVideo")


def test_a_start_that_leaves_too_few_frames(graph, refused):
    saved(graph, graph.add("GID_SpectralVolumeFromVideo", video=empty(graph, frames=20), start_frame=10))
    refused(NodeFailed, "at least 16 frames", "got 10 from frame 10 of 20", "earlier start")


def test_a_start_beyond_the_clip(graph, refused):
    saved(graph, graph.add("GID_SpectralVolumeFromVideo", video=empty(graph, frames=20), start_frame=20))
    refused(NodeFailed, "start", "0 to 19", "got 20")


@pytest.mark.parametrize("keep", [0, 0.5], ids=["empty", "truncated"])
def test_a_broken_video_file(graph, refused, clip, tmp_path, keep):
    data = clip.read_bytes()
    broken = tmp_path / f"broken{keep}.mp4"
    broken.write_bytes(data[: int(len(data) * keep)])
    saved(graph, graph.add("GID_SpectralVolumeFromVideo", video=graph.video(broken)))
    refused(NodeFailed, "Invalid data found")  # PyAV's message, through ComfyUI's Load Video


@pytest.mark.parametrize(
    ("widget", "value", "limit"), [("fps", 0.0, 1.0), ("window_seconds", 0.0, 0.5), ("max_size", 8, 64)]
)
def test_a_widget_beyond_its_limits(graph, refused, widget, value, limit):
    saved(graph, graph.add("GID_SpectralVolumeFromVideo", video=empty(graph, frames=20), **{widget: value}))
    refused(PromptRejected, widget, str(value), str(limit))


def test_an_unknown_option(graph, refused):
    # ComfyUI passes any text on to the node.
    saved(graph, graph.add("GID_SpectralVolumeFromVideo", video=empty(graph, frames=20), detrend="spline"))
    refused(NodeFailed, "detrend must be one of none, ramp; got 'spline'")


@pytest.mark.parametrize(
    ("node", "widget", "value", "choices"),
    [
        ("GID_SoftmaxSplatRender", "mode", "Network", "network, fast splat"),
        ("GID_PredictSpectralVolume", "sampler", "euler", "unipc, dpm, ddim (paper)"),
        ("GID_LoadModel", "dtype", "fp16", "auto, float32"),
        ("GID_VolumeFromMask", "gravity", "sideways", "down, up"),
        ("GID_LoopGuidance", "mode", "magic", "projection, crossfade"),
        ("GID_LoopGuidance", "constraint", "none", "natural, published"),
        ("GID_ModalForce", "integrator", "Exact", "exact, explicit_euler"),
        ("GID_Wind", "integrator", "leapfrog", "exact, explicit_euler"),
    ],
)
def test_a_choice_that_is_none_is_refused_by_the_node(graph, refused, make_volume, node, widget, value, choices):
    """ComfyUI checks no option of optional widgets."""
    model = graph.add("GID_LoadModel", **({"dtype": value} if node == "GID_LoadModel" else {}))
    volume = graph.volume(make_volume((24, 32)))
    inputs = {
        "GID_SoftmaxSplatRender": dict(image=empty(graph), motion=volume, num_frames=2),
        "GID_PredictSpectralVolume": dict(model=model, image=empty(graph), steps=1),
        "GID_VolumeFromMask": dict(mask=graph.add("SolidMask", value=1.0, width=64, height=64)),
        "GID_ModalForce": dict(spectral_volume=volume, num_frames=2),
        "GID_Wind": dict(spectral_volume=volume, num_frames=2),
    }.get(node, {})
    added = model if node == "GID_LoadModel" else graph.add(node, **inputs, **{widget: value})
    graph.show(added)
    refused(NodeFailed, widget, f"one of {choices}", repr(value), by=node)


# -- images, masks, batches --------------------------------------------------------------------------------------------


def test_a_gray_image_is_refused_by_the_library():
    # No core node makes an IMAGE with one channel, but nodes of other packs do.
    volume = gid.SpectralVolume(torch.zeros(1, 16, 4, 4, 4))
    with pytest.raises(ValueError, match=r"image must have 3 \(RGB\) or 4 \(RGBA\) channels; got 1.*three channels"):
        gid.render(torch.zeros(1, 4, 4, 1), gid.loop(volume))


def test_batches_that_do_not_match(graph, refused, make_volume):
    pair = graph.volume(make_volume((24, 32), batch=2))
    frames = graph.add("GID_SoftmaxSplatRender", image=empty(graph, frames=3), motion=pair)
    graph.save(frames)
    refused(NodeFailed, "3 images and 2 motions", "equally many of both", by="GID_SoftmaxSplatRender")


@pytest.mark.parametrize("node", ["render", "amplify"])
def test_masks_that_do_not_match(graph, refused, make_volume, node):
    masks = graph.add("ImageToMask", image=empty(graph, frames=3), channel="red")
    volume = graph.volume(make_volume((24, 32)))
    if node == "render":
        graph.save(graph.add("GID_SoftmaxSplatRender", image=empty(graph), motion=volume, mask=masks))
    else:
        saved(graph, graph.add("GID_AmplifyMotion", spectral_volume=volume, mask=masks))
    refused(NodeFailed, "mask must be one mask or as many as there are images (1); got 3")


def test_a_preview_shows_the_first_image_of_a_batch(graph, make_volume):
    # Preview Motion shows the first motion on the first image.
    volume = graph.volume(make_volume((24, 32), batch=2))
    preview = graph.add("GID_PreviewMotion", motion=volume, image=empty(graph, frames=3))
    assert len(graph.run().files(preview)) == 1


def test_a_number_cannot_be_a_motion(graph, refused):
    number = graph.add("PrimitiveInt", value=7)
    graph.save(graph.add("GID_SoftmaxSplatRender", image=empty(graph), motion=number))
    refused(PromptRejected, "motion", "INT", "GID_SPECTRAL_VOLUME")


@pytest.mark.parametrize(("width", "height"), [(1, 1), (33, 25), (1, 40), (300, 1)])
def test_odd_and_tiny_images_render(graph, make_volume, width, height):
    frames = graph.add(
        "GID_SoftmaxSplatRender", image=empty(graph, width, height), motion=graph.volume(make_volume((24, 32)))
    )
    images = graph.save(frames)
    holes = graph.save(graph.add("MaskToImage", mask=frames[1]))
    graph.run()
    assert graph.images(images).shape == (150, height, width, 3)
    assert graph.images(holes).shape == (150, height, width, 3)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 2), (65, 33)])
def test_odd_and_tiny_clips_are_measured(server, graph, width, height):
    clip = empty(graph, width, height, frames=16)
    measured = graph.add("GID_SpectralVolumeFromVideo", video=clip)
    preview = graph.add("GID_PreviewMotion", motion=measured, image=measured[1])
    name = graph.show(saved(graph, measured))
    graph.run()
    volume = gid.SpectralVolume.load(server.base / "output" / graph.text(name).removesuffix(" [output]"))
    assert volume.size == (height, width)
    assert not volume.coefficients.any()  # nothing moved
    assert len(graph.files(preview)) == 1


# -- numbers of frames -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [150, 1000])
def test_a_loop_may_start_at_any_frame(graph, make_volume, start):
    frames = graph.add(
        "GID_SoftmaxSplatRender",
        image=empty(graph),
        motion=graph.volume(make_volume((24, 32))),
        start_frame=start,
    )
    images = graph.save(frames)
    assert len(graph.run().images(images)) == 150 - start % 150


# -- files -------------------------------------------------------------------------------------------------------------


def stored(server, name, data: bytes) -> str:
    (server.base / "input" / name).write_bytes(data)
    return name


def header_of(volume_file: bytes) -> dict:
    (length,) = struct.unpack("<Q", volume_file[:8])
    return json.loads(volume_file[8 : 8 + length])


@pytest.fixture
def good_file(make_volume, tmp_path) -> bytes:
    return make_volume((24, 32)).save(tmp_path / "good.safetensors").read_bytes()


def load_and_preview(graph, name):
    graph.add("GID_PreviewMotion", motion=graph.add("GID_LoadSpectralVolume", file=name))


def test_a_volume_with_nan(server, graph, refused, good_file, tmp_path):
    header = header_of(good_file)["__metadata__"]
    coefficients = torch.zeros(1, 16, 4, 24, 32)
    coefficients[0, 3, 2, 5, 5] = float("nan")
    save_file({"coefficients": coefficients}, tmp_path / "nan.safetensors", header)
    load_and_preview(graph, stored(server, "nan.safetensors", (tmp_path / "nan.safetensors").read_bytes()))
    refused(NodeFailed, "NaN", by="GID_LoadSpectralVolume")


def test_a_foreign_safetensors_file(server, graph, refused, tmp_path):
    save_file({"weight": torch.zeros(4)}, tmp_path / "lora.safetensors")
    load_and_preview(graph, stored(server, "lora.safetensors", (tmp_path / "lora.safetensors").read_bytes()))
    refused(NodeFailed, "lora.safetensors", "not a spectral volume", by="GID_LoadSpectralVolume")


@pytest.mark.parametrize("keep", [0, 5, 100, 0.9], ids=["empty", "5bytes", "header", "most"])
def test_a_truncated_file(server, graph, refused, good_file, keep):
    length = keep if isinstance(keep, int) else int(len(good_file) * keep)
    load_and_preview(graph, stored(server, "short.safetensors", good_file[:length]))
    refused(NodeFailed, "short.safetensors", "cut short or damaged", by="GID_LoadSpectralVolume")


def test_a_file_without_coefficients(server, graph, refused, tmp_path):
    header = {"format": "gid.spectral_volume", "version": "1"}
    save_file({"coefficients": torch.zeros(1, 16, 4, 2, 2)}, tmp_path / "bare.safetensors", header)
    load_and_preview(graph, stored(server, "bare.safetensors", (tmp_path / "bare.safetensors").read_bytes()))
    refused(NodeFailed, "bare.safetensors", "damaged")


def test_a_file_of_a_later_version(server, graph, refused, good_file, tmp_path):
    metadata = header_of(good_file)["__metadata__"] | {"version": "9"}
    save_file({"coefficients": torch.zeros(1, 16, 4, 2, 2)}, tmp_path / "later.safetensors", metadata)
    load_and_preview(graph, stored(server, "later.safetensors", (tmp_path / "later.safetensors").read_bytes()))
    refused(NodeFailed, "version 9", "reads version 1")


def test_a_missing_file(graph, refused):
    load_and_preview(graph, "gone.safetensors")
    refused(PromptRejected, "No spectral volume named 'gone.safetensors'", "input folder")


@pytest.mark.parametrize(
    "name", ["../../x.safetensors", "/tmp/x.safetensors", "../secret.safetensors [output]", "a/../../../x.safetensors"]
)
def test_loading_from_outside_the_folders(server, graph, refused, good_file, name):
    outside = server.base / "secret.safetensors"
    outside.write_bytes(good_file)
    load_and_preview(graph, name)
    refused(PromptRejected, "inside ComfyUI's input or output folder", name)


@pytest.mark.parametrize("prefix", ["../../evil", "/tmp/evil", "a/../../evil", "", "  "])
def test_saving_outside_the_folder(server, graph, refused, make_volume, prefix):
    volume = graph.volume(make_volume((24, 32)))
    graph.add("GID_SaveSpectralVolume", spectral_volume=volume, filename_prefix=prefix)
    refused(PromptRejected, "inside the output folder", repr(prefix))
    assert not list(server.base.parent.glob("evil*")) and not list(server.base.glob("evil*"))


@pytest.mark.parametrize("prefix", ["linked/volume", "../../evil"])
def test_a_prefix_from_a_link(server, graph, refused, make_volume, prefix):
    text = graph.add("PrimitiveString", value=prefix)
    volume = graph.volume(make_volume((24, 32)))
    save = graph.add("GID_SaveSpectralVolume", spectral_volume=volume, filename_prefix=text)
    if prefix.startswith(".."):
        refused(NodeFailed, "inside the output folder", by="GID_SaveSpectralVolume")
        assert not list(server.base.parent.glob("evil*"))
    else:
        assert graph.run().text(save).startswith("linked/volume_")


@pytest.mark.parametrize("frames", [np.nan, np.inf], ids=str)
def test_frames_that_are_not_finite_are_refused_by_the_library(frames):
    clip = torch.zeros(16, 8, 8, 3)
    clip[4] = frames
    with pytest.raises(ValueError, match=r"frames\[4\] holds NaN or infinite values"):
        gid.extract_spectral_volume(clip, 30)
