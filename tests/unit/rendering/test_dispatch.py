"""What the fast splat asks of a device for each frame: operators, bytes and copies to the host, counted without one."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gid_core.rendering.outlines import find_outlines
from gid_core.rendering.softmax_splatting import softmax_splat
from gid_core.rendering.warping import forward_warp
from random_tensors import random_normal, random_uniform

MAX_WRITTEN = 90  # multiples of a frame's bytes, of one more frame; 85.3 when this was written
MAX_OPERATORS = 75  # of one more frame; 72
HOST_COPIES = ("aten._local_scalar_dense", "aten.item", "aten.nonzero", "aten.masked_select")


class Recorder(TorchDispatchMode):
    """Records operators, and the bytes of the tensors that they write."""

    def __init__(self):
        super().__init__()
        self.names, self.written_bytes, self.scattered_into = [], 0, []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        if function.overloadpacket.__name__ == "scatter_add_":
            self.scattered_into.append(arguments[0])
        result = function(*arguments, **(keywords or {}))
        self.names.append(str(function.overloadpacket))
        if not function.is_view:
            outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
            self.written_bytes += sum(tensor.numel() * tensor.element_size() for tensor in outputs)
        return result


def record_frames(count, device):
    """Operators of warping one photo to `count` frames."""
    features = random_uniform(1, 3, 40, 64).to(device)
    importance = random_uniform(1, 1, 40, 64).to(device)
    flow = (2 * random_normal(count, 2, 40, 64)).to(device)
    outlines = find_outlines(features, importance)
    with Recorder() as recorder:
        forward_warp(features, flow, importance, outlines)
    return recorder


def test_scatter_writes_into_whole_tensors_only():
    """On Metal, several releases of PyTorch lose what is scattered into a view that begins inside of its storage."""
    with Recorder() as recorder:
        softmax_splat(random_uniform(1, 3, 9, 12), random_normal(2, 2, 9, 12), random_uniform(1, 1, 9, 12))
    assert recorder.scattered_into
    assert all(target.storage_offset() == 0 and target.is_contiguous() for target in recorder.scattered_into)


def test_a_frame_on_a_device_copies_nothing_to_the_host_and_writes_few_bytes():
    two, six = (record_frames(count, "meta") for count in (2, 6))
    assert not [name for name in six.names if name in HOST_COPIES]
    frame_bytes = 3 * 40 * 64 * 4
    assert (six.written_bytes - two.written_bytes) / 4 < MAX_WRITTEN * frame_bytes
    assert (len(six.names) - len(two.names)) / 4 < MAX_OPERATORS
