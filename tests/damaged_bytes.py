"""Damage to files: cut short, or with a flipped bit, exchanged bytes or zeros."""

import random

HEADER_BYTES = 500  # half of the damages are within these, where formats keep what matters


def damaged(content: bytes, choose: random.Random) -> bytes:
    """The content with one damage."""
    data, kind = bytearray(content), choose.randrange(5)
    where = choose.randrange(len(data) if choose.random() < 0.5 else min(len(data), HEADER_BYTES))
    if kind == 0:
        return bytes(data[:where])
    if kind == 1:
        data[where] ^= 1 << choose.randrange(8)
    elif kind == 2:
        for position in choose.sample(range(len(data)), min(len(data), 40)):
            data[position] = choose.randrange(256)
    elif kind == 3:
        data[where : where + 64] = bytes(len(data[where : where + 64]))
    else:
        data[where : where + 8] = choose.randbytes(len(data[where : where + 8]))
    return bytes(data)
