"""The rendering network's work beside its convolutions, compiled by Numba; `fused_network` calls it. Needs Numba.

`frame_edits` is the definition of all of it. Maps are [H, W, C] here. A pixel of `warped` is what `splat_kernel`
writes (`WARPED`), one of `moved` are the colors of the candidates that see a moving object arrive and leave, four each.
Every function works on some rows, so that threads share a frame. See `splat_kernel` about float32 and stores.
"""

from __future__ import annotations

import numpy as np

from ..rendering.numba_kernels import compiled, inlined
from ..rendering.splat_kernel import corners, sample_linear
from .frame_edits import (
    COLOR_CHANNELS,
    EDIT_RADIUS,
    FLOW_SCALE,
    FULL_EDIT_DISPLACEMENT,
    IMPORTANCE_SCALE,
    MIN_CHANGE,
)

_F = np.float32
_ZERO, _HALF, _ONE, _EIGHTH, _SMALL = _F(0), _F(0.5), _F(1), _F(1 / 8), _F(1e-6)
_RADIUS, _COLORS = EDIT_RADIUS, COLOR_CHANNELS
_INVERSE_EDIT, _INVERSE_CHANGE = _F(1 / FULL_EDIT_DISPLACEMENT), _F(1 / MIN_CHANGE)
_INVERSE_FLOW, _INVERSE_IMPORTANCE = _F(1 / FLOW_SCALE), _F(1 / IMPORTANCE_SCALE)
# Where values begin in a pixel of `warped`.
_SAMPLED, _DISPLACEMENT, _CONSISTENCY, _STATIC = 4, 8, 10, 11
# Where maps begin in a pixel of the decoder's input, which holds four pixels of the frame: see `decoder_inputs`.
_IN_COLORS, _IN_MAPS = 4 * 2, 4 * (2 + 5 * _COLORS)


@inlined
def _length(warped, y, x):
    dx, dy = warped[y, x, _DISPLACEMENT], warped[y, x, _DISPLACEMENT + 1]
    return np.sqrt(dx * dx + dy * dy)


@inlined
def _brought(y, x, dx, dy, source):
    """The color that the displacement brings to a pixel."""
    if dx == _ZERO and dy == _ZERO:
        return source[y, x, 0], source[y, x, 1], source[y, x, 2], source[y, x, 3]
    return sample_linear(_F(x) - dx, _F(y) - dy, source)


@compiled
def _keep_longer(index, length, weight, longest, index_of_longest, highest):
    """Update the longest lengths, where they were found, and the highest weights."""
    for x in range(longest.shape[0]):
        longer = length[x] > longest[x]
        longest[x] = length[x] if longer else longest[x]
        index_of_longest[x] = index if longer else index_of_longest[x]
        highest[x] = max(highest[x], weight[x])


@compiled
def find_candidates(first, last, warped, holes, flow, departing, source, moved, edit_mask):
    """Find the candidates of moving objects and the edit mask for the rows first .. last - 1.

    Args:
        warped, holes: [H, W, 12] and [H, W].
        flow: [2, H, W] in pixels.
        departing: int32 [2, H, W], (y, x) of the pixels of `find_departing`.
        source: [H, W, 4], premultiplied.
        moved: [H, W, 8]; written.
        edit_mask: [H, W]; written.
    """
    height, width = holes.shape
    top, bottom = max(0, first - _RADIUS), min(height, last + _RADIUS)
    # In each row within `_RADIUS`: the longest displacement, its column, and the highest weight.
    longest, highest = np.empty((bottom - top, width), np.float32), np.empty((bottom - top, width), np.float32)
    column = np.empty((bottom - top, width), np.int32)
    length, weight = np.full(width + 2 * _RADIUS, -_ONE, np.float32), np.full(width + 2 * _RADIUS, -_ONE, np.float32)
    most, row, wide = np.empty(width, np.float32), np.empty(width, np.int32), np.empty(width, np.float32)
    for y in range(top, bottom):
        for x in range(width):
            size = _length(warped, y, x)
            length[x + _RADIUS], weight[x + _RADIUS] = size, size * _INVERSE_EDIT + holes[y, x]
        most[:], wide[:], row[:] = -_ONE, _ZERO, 0
        for step in range(2 * _RADIUS + 1):
            _keep_longer(step, length[step:], weight[step:], most, row, wide)
        for x in range(width):
            longest[y - top, x], highest[y - top, x], column[y - top, x] = most[x], wide[x], x + row[x] - _RADIUS
    for y in range(first, last):
        most[:], wide[:], row[:] = -_ONE, _ZERO, 0
        for i in range(max(0, y - _RADIUS) - top, min(height, y + _RADIUS + 1) - top):
            _keep_longer(i, longest[i], highest[i], most, row, wide)
        for x in range(width):
            edit_mask[y, x] = min(wide[x], _ONE)
            j, k = row[x] + top, column[row[x], x]
            r, g, b, a = _brought(y, x, warped[j, k, _DISPLACEMENT], warped[j, k, _DISPLACEMENT + 1], source)
            moved[y, x, 0], moved[y, x, 1], moved[y, x, 2], moved[y, x, 3] = r, g, b, a
            j, k = departing[0, y, x], departing[1, y, x]
            r, g, b, a = _brought(y, x, flow[0, j, k], flow[1, j, k], source)
            moved[y, x, 4], moved[y, x, 5], moved[y, x, 6], moved[y, x, 7] = r, g, b, a


@compiled
def stack_inputs(first, last, top, left, warped, holes, moved, source, importance, inputs, displacement):
    """Write the rows first .. last - 1 of the decoder's input for a window; what lies outside repeats the frame's edge.

    Args:
        top, left: the window's first pixel.
        warped, holes, moved, source: see `find_candidates`.
        importance: [H, W].
        inputs: [h, w, 4 * `INPUT_CHANNELS`], each for 2 x 2 pixels; written.
        displacement: [h, w, 2] in pixels of this size, the mean; written.
    """
    height, width = holes.shape
    for i in range(first, last):
        for j in range(inputs.shape[1]):
            sum_x = sum_y = _ZERO
            for corner in range(4):
                y, x = min(top + 2 * i + corner // 2, height - 1), min(left + 2 * j + corner % 2, width - 1)
                dx, dy = warped[y, x, _DISPLACEMENT], warped[y, x, _DISPLACEMENT + 1]
                sum_x, sum_y = sum_x + dx, sum_y + dy
                inputs[i, j, corner], inputs[i, j, 4 + corner] = dx * _INVERSE_FLOW, dy * _INVERSE_FLOW
                for c in range(_COLORS):
                    k = _IN_COLORS + 4 * c + corner
                    inputs[i, j, k] = warped[y, x, c] - _HALF
                    inputs[i, j, k + 4 * _COLORS] = warped[y, x, _SAMPLED + c] - _HALF
                    inputs[i, j, k + 8 * _COLORS] = source[y, x, c] - _HALF
                    inputs[i, j, k + 12 * _COLORS] = moved[y, x, c] - _HALF
                    inputs[i, j, k + 16 * _COLORS] = moved[y, x, 4 + c] - _HALF
                k = _IN_MAPS + corner
                inputs[i, j, k] = min(_length(warped, y, x), _ONE)
                inputs[i, j, k + 4] = warped[y, x, _CONSISTENCY]
                inputs[i, j, k + 8] = holes[y, x]
                inputs[i, j, k + 12] = importance[y, x] * _INVERSE_IMPORTANCE
            displacement[i, j, 0], displacement[i, j, 1] = sum_x * _EIGHTH, sum_y * _EIGHTH


@compiled
def sample_features(first, last, top, left, features, displacement, result):
    """Write the rows first .. last - 1 of a window whose first pixel is (top, left), sampled at p - displacement.

    Args:
        features: [H, W, C].
        displacement: [h, w, 2].
        result: [h, w, C]; written.
    """
    height, width = features.shape[:2]
    for y in range(first, last):
        for x in range(result.shape[1]):
            from_x, from_y = _F(left + x) - displacement[y, x, 0], _F(top + y) - displacement[y, x, 1]
            i, j, m, n, u, v = corners(from_x, from_y, height, width)
            p, q = _ONE - u, _ONE - v
            for c in range(features.shape[2]):
                result[y, x, c] = q * (p * features[i, m, c] + u * features[i, n, c]) + v * (
                    p * features[j, m, c] + u * features[j, n, c]
                )


@compiled
def find_change(first, last, top, left, bottom, right, decoded, warped, moved, source, change, largest):
    """What the decoder changes of a part of the frame: the rows first .. last - 1 of those from top to bottom - 1.

    Args:
        top, left, bottom, right: the part that was decoded.
        decoded: [h, w, 4 * 7], the decoder's output for this part, each for 2 x 2 pixels.
        warped, moved, source: see `find_candidates`.
        change: [H, W, 4], premultiplied; written.
        largest: [H, W], its largest absolute value; written.
    """
    for y in range(max(first, top), min(last, bottom)):
        for x in range(left, right):
            i, j, corner = (y - top) // 2, (x - left) // 2, (y - top) % 2 * 2 + (x - left) % 2
            k = 4 * _COLORS + corner
            to_sampled, to_source = decoded[i, j, k], decoded[i, j, k + 4]
            to_arriving, to_departing = decoded[i, j, k + 8], decoded[i, j, k + 12]
            highest = _ZERO
            for c in range(4):
                splatted = warped[y, x, c]
                value = to_sampled * (warped[y, x, _SAMPLED + c] - splatted) + to_source * (source[y, x, c] - splatted)
                value += to_arriving * (moved[y, x, c] - splatted) + to_departing * (moved[y, x, 4 + c] - splatted)
                if c < _COLORS:
                    value += decoded[i, j, 4 * c + corner]
                change[y, x, c] = value
                highest = max(highest, abs(value))
            largest[y, x] = highest


@compiled
def compose(first, last, warped, edit_mask, change, largest, photo, frame):
    """Write the rows first .. last - 1 of a frame [H, W, 3 or 4], edited where the mask allows it.

    Args:
        warped, edit_mask, change, largest: see above. The last two are read where the mask is above 0, and beside.
        photo: [H, W, 4], straight alpha.
    """
    height, width = edit_mask.shape
    rgba = frame.shape[2] == 4
    for y in range(first, last):
        for x in range(width):
            edit = edit_mask[y, x]
            if edit == _ZERO and warped[y, x, _STATIC] == _ONE:
                frame[y, x, 0], frame[y, x, 1], frame[y, x, 2] = photo[y, x, 0], photo[y, x, 1], photo[y, x, 2]
                if rgba:
                    frame[y, x, 3] = photo[y, x, 3]
                continue
            consistency = warped[y, x, _CONSISTENCY]
            r, g, b, a = warped[y, x, 0], warped[y, x, 1], warped[y, x, 2], warped[y, x, 3]
            r += consistency * (warped[y, x, _SAMPLED] - r)
            g += consistency * (warped[y, x, _SAMPLED + 1] - g)
            b += consistency * (warped[y, x, _SAMPLED + 2] - b)
            a += consistency * (warped[y, x, _SAMPLED + 3] - a)
            if edit > _ZERO:
                highest = _ZERO
                for j in range(max(0, y - 1), min(height, y + 2)):
                    for k in range(max(0, x - 1), min(width, x + 2)):
                        highest = max(highest, largest[j, k])
                edit *= min(max(highest * _INVERSE_CHANGE - _ONE, _ZERO), _ONE)
                r, g = r + edit * change[y, x, 0], g + edit * change[y, x, 1]
                b, a = b + edit * change[y, x, 2], a + edit * change[y, x, 3]
            if rgba:
                inverse = _ONE / max(a, _SMALL) if a > _ZERO else _ZERO
                r, g, b = r * inverse, g * inverse, b * inverse
                frame[y, x, 3] = min(max(a, _ZERO), _ONE)
            frame[y, x, 0] = min(max(r, _ZERO), _ONE)
            frame[y, x, 1] = min(max(g, _ZERO), _ONE)
            frame[y, x, 2] = min(max(b, _ZERO), _ONE)
