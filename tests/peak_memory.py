"""A meter of the memory that tensors take."""

import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class PeakMemory(TorchDispatchMode):
    """Largest number of bytes in tensors that this thread made in its context and that were alive at the same time."""

    def __init__(self):
        super().__init__()
        self.sizes, self.peak = {}, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                key = weakref.ref(storage, lambda key: self.sizes.pop(key, None))
                self.sizes.setdefault(key, storage.nbytes())
        self.peak = max(self.peak, sum(self.sizes.values()))
        return result
