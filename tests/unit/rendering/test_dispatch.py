"""What the fast splat asks of a device for each frame: operators, bytes and copies to the host, counted without one."""

from contextlib import nullcontext

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gid_core.motion import loop
from gid_core.rendering import softmax_splatting
from gid_core.rendering.frame_memory import BLOCK_FRAMES, FAST, working_bytes
from gid_core.rendering.outlines import find_outlines
from gid_core.rendering.render_plan import block_displacement
from gid_core.rendering.softmax_splatting import softmax_splat
from gid_core.rendering.warping import _window_mean, forward_warp
from gid_core.spectral_volume import SpectralVolume
from gid_core.tensors import resize_flow
from peak_memory import PeakMemory
from random_tensors import random_normal, random_uniform

FRAMES = 8  # of a chunk
SIZE = (144, 256)
MAX_OPERATORS = 33  # a frame; 32.0 when this was written, views included
MAX_LAUNCHES = 21  # a frame, without views and allocations; 20.9
MAX_WRITTEN = 70  # multiples of a frame's bytes; 69.4
MAX_SCATTERS = 8  # a chunk: colors and flow at four corners
DTYPES = {torch.float32, torch.int64, torch.bool}  # Metal has no float64, and no scatter of complex numbers
HOST_COPIES = ("aten._local_scalar_dense", "aten.item", "aten.nonzero", "aten.masked_select")
DEVICE_COPIES = ("aten.lift_fresh",)  # a tensor from numbers of the host, which waits for the device


class Recorder(TorchDispatchMode):
    """Records operators, and the bytes of the tensors that they write."""

    def __init__(self):
        super().__init__()
        self.names, self.launches, self.written_bytes, self.scattered_into = [], 0, 0, []
        self.dtypes = set()

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        if function.overloadpacket.__name__ == "scatter_add_":
            self.scattered_into.append(arguments[0])
        result = function(*arguments, **(keywords or {}))
        self.names.append(str(function.overloadpacket))
        if not function.is_view:
            outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
            self.launches += function.overloadpacket.__name__ not in ("empty", "new_empty", "_unsafe_view")
            self.dtypes |= {tensor.dtype for tensor in outputs}
            self.written_bytes += sum(tensor.numel() * tensor.element_size() for tensor in outputs)
        return result


def render_chunk(device, recorder):
    """Render one chunk of one photo, as `render` does once the photo is prepared."""
    photo, importance = random_uniform(1, 3, *SIZE).to(device), random_uniform(1, 1, *SIZE).to(device)
    displacement = (2 * random_normal(FRAMES, 2, *SIZE)).to(device)
    features, outlines = photo, find_outlines(photo, importance)
    with recorder:
        return forward_warp(features, displacement, importance, outlines).blended()


@pytest.mark.parametrize("together", [False, True])
def test_scatter_writes_into_whole_tensors_only(monkeypatch, together):
    """On Metal, several releases of PyTorch lose what is scattered into a view that begins inside of its storage."""
    if together:
        monkeypatch.setattr(softmax_splatting, "STRIP_DEVICES", ())
    with Recorder() as recorder:
        flow = random_normal(2 if together else 1, 2, 9, 12)  # one image: several are splatted in threads
        softmax_splat(random_uniform(1, 3, 9, 12), flow, random_uniform(1, 1, 9, 12))
    assert len(recorder.scattered_into) == 4
    assert all(target.storage_offset() == 0 and target.is_contiguous() for target in recorder.scattered_into)


def test_a_chunk_on_a_device_copies_nothing_from_or_to_the_host_and_has_few_launches_and_bytes():
    render_chunk("meta", recorder := Recorder())
    assert not [name for name in recorder.names if name in HOST_COPIES + DEVICE_COPIES]
    assert recorder.dtypes <= DTYPES
    assert len(recorder.scattered_into) <= MAX_SCATTERS
    assert len(recorder.names) / FRAMES < MAX_OPERATORS
    assert recorder.launches / FRAMES < MAX_LAUNCHES
    assert recorder.written_bytes / FRAMES < MAX_WRITTEN * 3 * SIZE[0] * SIZE[1] * 4


def test_flow_and_displacements_are_made_without_numbers_from_the_host():
    coefficients, coordinates = torch.zeros(1, 3, 4, 6, 8, device="meta"), torch.zeros(20, 3, 2, device="meta")
    volume = SpectralVolume(torch.zeros(1, 3, 4, 6, 8))
    object.__setattr__(volume, "coefficients", coefficients)
    motion = loop(SpectralVolume(torch.zeros(1, 3, 4, 6, 8)), 20)
    object.__setattr__(motion, "volume", volume)
    object.__setattr__(motion, "coordinates", coordinates)
    with Recorder() as recorder:
        flow = resize_flow(block_displacement(motion, 7), SIZE)
    assert flow.shape == (BLOCK_FRAMES, 2, *SIZE) and recorder.dtypes <= DTYPES
    assert not [name for name in recorder.names if name in HOST_COPIES + DEVICE_COPIES]


def test_a_chunk_on_a_device_takes_the_memory_that_is_planned():
    with PeakMemory() as used:
        render_chunk("meta", nullcontext())
    planned = working_bytes(FAST, 3, SIZE, 0, FRAMES)
    assert planned / 1.3 < used.peak < planned


def test_a_window_mean_on_a_device_writes_it_once():
    with Recorder() as recorder:
        _window_mean(torch.zeros(2, 4, 9, 11, device="meta"), 2)
    assert recorder.written_bytes == 2 * 2 * 4 * 9 * 11 * 4  # with the zeros
