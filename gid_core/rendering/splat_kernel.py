"""The fast splat of one frame as one walk over memory, compiled by Numba; `fused_splat` calls it. Needs Numba.

Source rows are splatted into a ring of rows that stays in the cache. As soon as no further pixel can land on a row, it
is normalized, and as soon as its neighbors are, too, its frame is resolved: static pixels are copied, others sampled,
and what is a hole is bridged or filled. `warping.forward_warp` is the definition of all of it, in the same order and
with the same rounding where a comparison depends on it.

All numbers are float32, and constants too: a Python float would make Numba compute in float64. What is loaded before
the first store can be one vector: the compiler does not know that arrays do not overlap.
"""

from __future__ import annotations

import numpy as np

from .numba_kernels import compiled, inlined
from .softmax_splatting import PADDING, PADDING_BEFORE
from .warping import (
    BRIDGE_DEVIATION,
    BRIDGE_RADIUS,
    CONSISTENCY_TOLERANCE,
    FULL_COVERAGE,
    MIN_NEIGHBOR_COVERAGE,
    STRETCH_TOLERANCE,
)

_F = np.float32
_INDEX = np.uintp  # unsigned, so that Numba does not look for negative ones
_ZERO, _HALF, _ONE, _TWO = _F(0), _F(0.5), _F(1), _F(2)
_TINY, _SMALL = np.finfo(np.float32).tiny, _F(1e-6)
_INVERSE_COVERAGE, _INVERSE_TOLERANCE = _F(1 / FULL_COVERAGE), _F(1 / CONSISTENCY_TOLERANCE)
_TOLERANCE, _DEVIATION, _STRETCH = _F(CONSISTENCY_TOLERANCE), _F(BRIDGE_DEVIATION), _F(STRETCH_TOLERANCE)
_MIN_COVERAGE, _INVERSE_WINDOW = _F(MIN_NEIGHBOR_COVERAGE), _F(1 / (2 * BRIDGE_RADIUS + 1) ** 2)
_RADIUS, _BEFORE, _AFTER = BRIDGE_RADIUS, PADDING_BEFORE, PADDING - PADDING_BEFORE
# Keys's cubic kernel with a = -0.75, as in `warping._cubic`.
_A, _A2, _A3, _A4, _A5, _A8 = (_F(a) for a in (-0.75, -0.75 + 2, -0.75 + 3, -3, -3.75, -6))

# Values of a pixel of the ring: four colors (premultiplied), the displacement, the weight and the coverage.
VALUES = 8
# Values of a pixel of a `WarpResult`: the splatted and the sampled colors, four each (premultiplied), the displacement,
# the consistency, and 1 if it is static.
WARPED = 12
# Rows of the ring beside those that a pixel can reach.
SPARE_ROWS = 2 * BRIDGE_RADIUS + 4


@inlined
def _mirror(index, side):
    """An index mirrored at the edges of pixels 0 .. side - 1."""
    index = index % (2 * side)
    return min(index, 2 * side - 1 - index)


@compiled
def _flow_at(y, x, displacement, scale, rows, row_share, columns, column_share, mask):
    """The displacement of one pixel in pixels of the photo, interpolated on the volume's grid."""
    top, bottom, down = rows[0, y], rows[1, y], row_share[y]
    left, right, across = columns[0, x], columns[1, x], column_share[x]
    up, back = _ONE - down, _ONE - across
    fx = back * (up * displacement[0, top, left] + down * displacement[0, bottom, left])
    fx += across * (up * displacement[0, top, right] + down * displacement[0, bottom, right])
    fy = back * (up * displacement[1, top, left] + down * displacement[1, bottom, left])
    fy += across * (up * displacement[1, top, right] + down * displacement[1, bottom, right])
    fx, fy = fx * scale[0], fy * scale[1]
    if mask.size:
        fx, fy = fx * mask[y, x], fy * mask[y, x]
    return fx, fy


@compiled
def _flow_row(y, displacement, scale, rows, row_share, columns, column_share, mask, motion_offset, coarse, flow):
    """Write the displacements [W, 2] of a row; pixels at outlines take that of their neighbor."""
    width, grid_width = flow.shape[0], displacement.shape[2]
    top, bottom, down = rows[0, y], rows[1, y], row_share[y]
    up = _ONE - down
    for x in range(grid_width):
        coarse[x, 0] = (up * displacement[0, top, x] + down * displacement[0, bottom, x]) * scale[0]
        coarse[x, 1] = (up * displacement[1, top, x] + down * displacement[1, bottom, x]) * scale[1]
    if grid_width == width:
        for x in range(width):
            flow[x, 0], flow[x, 1] = coarse[x, 0], coarse[x, 1]
    else:
        for x in range(width):
            left, right, across = columns[0, x], columns[1, x], column_share[x]
            back = _ONE - across
            flow[x, 0] = back * coarse[left, 0] + across * coarse[right, 0]
            flow[x, 1] = back * coarse[left, 1] + across * coarse[right, 1]
    if mask.size:
        for x in range(width):
            flow[x, 0] *= mask[y, x]
            flow[x, 1] *= mask[y, x]
    for x in range(width):
        offset = motion_offset[y, x]
        if offset:  # dy * 16 + dx, both within -7 .. 7
            step_y = (offset + 8) >> 4
            step_x = offset - (step_y << 4)
            flow[x, 0], flow[x, 1] = _flow_at(
                y + step_y, x + step_x, displacement, scale, rows, row_share, columns, column_share, mask
            )


@compiled
def _splat_row(y, first, last, features, weight, flow, sums, slots):
    """Add the pixels of a row to the rows first .. last - 1 of the ring."""
    height, width = weight.shape
    far_x, far_y = _F(width + _BEFORE), _F(height + _BEFORE)
    row = _F(y + _BEFORE)
    for column in range(width):
        dx, dy = flow[column, 0], flow[column, 1]
        w = weight[y, column]
        r, g, b, a = (
            features[y, column, 0] * w,
            features[y, column, 1] * w,
            features[y, column, 2] * w,
            features[y, column, 3] * w,
        )
        u, v = dx * w, dy * w
        # Clamped to the padding, where every corner inside the image has weight 0.
        x = min(max(dx + _F(column + _BEFORE), _ZERO), far_x)
        landing = min(max(dy + row, _ZERO), far_y)
        left, top = np.int64(x), np.int64(landing)
        x, landing = x - _F(left), landing - _F(top)
        both = x * landing
        top -= _BEFORE
        for step in range(2):
            target = top + step
            if target < first or target >= last:
                continue
            if step == 0:
                near, far = _ONE - x - landing + both, x - both
            else:
                near, far = landing - both, both
            i = _INDEX(slots[target])
            for corner in range(2):
                share = near if corner == 0 else far
                if share == _ZERO:
                    continue
                k = _INDEX(left + corner)
                s0, s1, s2, s3 = sums[i, k, 0], sums[i, k, 1], sums[i, k, 2], sums[i, k, 3]
                s4, s5, s6, s7 = sums[i, k, 4], sums[i, k, 5], sums[i, k, 6], sums[i, k, 7]
                sums[i, k, 0], sums[i, k, 1], sums[i, k, 2], sums[i, k, 3] = (
                    s0 + r * share,
                    s1 + g * share,
                    s2 + b * share,
                    s3 + a * share,
                )
                sums[i, k, 4], sums[i, k, 5], sums[i, k, 6], sums[i, k, 7] = (
                    s4 + u * share,
                    s5 + v * share,
                    s6 + w * share,
                    s7 + share,
                )


@compiled
def _normalize_row(line):
    """Divide the colors and the displacements of a row by its weights."""
    for x in range(line.shape[0]):
        weight = line[x, 6]
        inverse = _ONE / weight if weight > _TINY else _ONE
        s0, s1, s2, s3, s4, s5 = line[x, 0], line[x, 1], line[x, 2], line[x, 3], line[x, 4], line[x, 5]
        line[x, 0], line[x, 1], line[x, 2], line[x, 3] = s0 * inverse, s1 * inverse, s2 * inverse, s3 * inverse
        line[x, 4], line[x, 5] = s4 * inverse, s5 * inverse


@inlined
def corners(x, y, height, width):
    """The rows and columns of the four pixels around a point, mirrored at the edges, and the shares of the second."""
    x0, y0 = np.floor(x), np.floor(y)
    left, top = np.int64(x0), np.int64(y0)
    right, bottom = left + 1, top + 1
    if left < 0 or top < 0 or right >= width or bottom >= height:
        left, right = _mirror(left, width), _mirror(right, width)
        top, bottom = _mirror(top, height), _mirror(bottom, height)
    return _INDEX(top), _INDEX(bottom), _INDEX(left), _INDEX(right), x - x0, y - y0


@inlined
def _sample_flow(x, y, flow, slots, height, width):
    """The displacement at a point, bilinear."""
    top, bottom, m, n, across, down = corners(x, y, height, width)
    i, j = _INDEX(slots[top]), _INDEX(slots[bottom])
    back, up = _ONE - across, _ONE - down
    fx = up * (back * flow[i, m, 0] + across * flow[i, n, 0]) + down * (back * flow[j, m, 0] + across * flow[j, n, 0])
    fy = up * (back * flow[i, m, 1] + across * flow[i, n, 1]) + down * (back * flow[j, m, 1] + across * flow[j, n, 1])
    return fx, fy


@inlined
def sample_linear(x, y, maps):
    """The four colors of maps [H, W, 4] at a point, bilinear."""
    i, j, m, n, u, v = corners(x, y, maps.shape[0], maps.shape[1])
    p, q = _ONE - u, _ONE - v
    r = q * (p * maps[i, m, 0] + u * maps[i, n, 0]) + v * (p * maps[j, m, 0] + u * maps[j, n, 0])
    g = q * (p * maps[i, m, 1] + u * maps[i, n, 1]) + v * (p * maps[j, m, 1] + u * maps[j, n, 1])
    b = q * (p * maps[i, m, 2] + u * maps[i, n, 2]) + v * (p * maps[j, m, 2] + u * maps[j, n, 2])
    a = q * (p * maps[i, m, 3] + u * maps[i, n, 3]) + v * (p * maps[j, m, 3] + u * maps[j, n, 3])
    return r, g, b, a


@inlined
def _cubic_near(d):
    return (_A2 * d - _A3) * d * d + _ONE


@inlined
def _cubic_far(d):
    return ((_A * d - _A5) * d + _A8) * d - _A4


@inlined
def _sample_cubic(x, y, maps, color):
    """Write the four colors of maps [H, W, 4] at a point, bicubic, mirrored at the edges."""
    height, width = maps.shape[:2]
    x0, y0 = np.floor(x), np.floor(y)
    u, v = x - x0, y - y0
    left, top = np.int64(x0), np.int64(y0)
    w0, w1, w2, w3 = _cubic_far(u + _ONE), _cubic_near(u), _cubic_near(_ONE - u), _cubic_far(_TWO - u)
    x0i, x1i, x2i, x3i = left - 1, left, left + 1, left + 2
    inside = x0i >= 0 and x3i < width and top >= 1 and top + 2 < height
    if not inside:
        x0i, x1i, x2i, x3i = _mirror(x0i, width), _mirror(x1i, width), _mirror(x2i, width), _mirror(x3i, width)
    k, m, n, p = _INDEX(x0i), _INDEX(x1i), _INDEX(x2i), _INDEX(x3i)
    r = g = b = a = _ZERO
    for tap in range(4):
        if tap == 0:
            h = _cubic_far(v + _ONE)
        elif tap == 1:
            h = _cubic_near(v)
        elif tap == 2:
            h = _cubic_near(_ONE - v)
        else:
            h = _cubic_far(_TWO - v)
        j = top - 1 + tap
        if not inside:
            j = _mirror(j, height)
        i = _INDEX(j)
        r += h * (w0 * maps[i, k, 0] + w1 * maps[i, m, 0] + w2 * maps[i, n, 0] + w3 * maps[i, p, 0])
        g += h * (w0 * maps[i, k, 1] + w1 * maps[i, m, 1] + w2 * maps[i, n, 1] + w3 * maps[i, p, 1])
        b += h * (w0 * maps[i, k, 2] + w1 * maps[i, m, 2] + w2 * maps[i, n, 2] + w3 * maps[i, p, 2])
        a += h * (w0 * maps[i, k, 3] + w1 * maps[i, m, 3] + w2 * maps[i, n, 3] + w3 * maps[i, p, 3])
    color[0], color[1], color[2], color[3] = r, g, b, a


@compiled
def _bridge(y, x, sums, flow, slots, height, width):
    """Mean displacement around a hole, and how far it replaces the hole's own: see `warping._bridge_holes`."""
    total = sum_x = sum_y = squares = _ZERO
    for j in range(max(0, y - _RADIUS), min(height, y + _RADIUS + 1)):
        i = _INDEX(slots[j])
        for k in range(max(0, x - _RADIUS) + _BEFORE, min(width, x + _RADIUS + 1) + _BEFORE):
            u, v, coverage = sums[i, k, 4], sums[i, k, 5], sums[i, k, 7]
            total += coverage
            sum_x += u * coverage
            sum_y += v * coverage
            squares += (u * u + v * v) * coverage
    total, sum_x, sum_y = total * _INVERSE_WINDOW, sum_x * _INVERSE_WINDOW, sum_y * _INVERSE_WINDOW
    inverse = _ONE / max(total, _SMALL)
    mean_x, mean_y = sum_x * inverse, sum_y * inverse
    if not total > _MIN_COVERAGE:
        return mean_x, mean_y, _ZERO
    variance = squares * _INVERSE_WINDOW * inverse - (mean_x * mean_x + mean_y * mean_y)
    fx, fy = _sample_flow(_F(x) - mean_x, _F(y) - mean_y, flow, slots, height, width)
    error = np.sqrt((fx - mean_x) * (fx - mean_x) + (fy - mean_y) * (fy - mean_y))
    share = _TWO - error / (_DEVIATION * np.sqrt(max(variance, _ZERO)) + _TOLERANCE)
    return mean_x, mean_y, min(max(share, _ZERO), _ONE)


@inlined
def _enters_frame(y, x, fx, fy, height, width):
    """Whether what a displacement brings to a pixel comes from outside of the frame."""
    middle_x, middle_y = _F(width - 1) * _HALF, _F(height - 1) * _HALF
    return abs(_F(x) - middle_x - fx) > middle_x or abs(_F(y) - middle_y - fy) > middle_y


@compiled
def render_rows(
    first, last, reach, photo, features, weight, motion_offset, background, background_index, mask,
    displacement, scale, rows, row_share, columns, column_share, slots, sums, flow, coarse, sampled, frame, holes,
):  # fmt: skip
    """Render the rows first .. last - 1 of a frame.

    Args:
        reach: rows that a pixel moves at most, rounded up, plus 1 for the bilinear weights.
        photo, features: [H, W, 4], straight and premultiplied; the fourth channel of RGB is unused.
        weight: [H, W], of the softmax.
        motion_offset: int8 [H, W], 16 dy + dx to the pixel whose motion each pixel takes.
        background, background_index: [H, W, 4] premultiplied and int32 [H, W], see `Outlines`.
        mask: [H, W], or [0, 0] without a mask.
        displacement: [2, h, w] on the volume's grid; finite.
        scale: [2], pixels of the photo per pixel of the grid.
        rows, columns: int32 [2, H or W], the two rows or columns of the grid between which those of the photo lie.
        row_share, column_share: [H or W], the share of the second one.
        slots: int32 [H], where rows are in the ring of R = min(H, 2 * reach + `SPARE_ROWS`) rows.
        sums, flow: the ring, [R, W + padding, 8] and [R, W, 2].
        coarse, sampled: memory for a row and for a color, [w, 2] and [4].
        frame: [H, W, 3 or 4]; written. [H, W, `WARPED`] for a `WarpResult`, without a mask.
        holes: [H, W]; written.
    """
    height, width = weight.shape
    rgba = frame.shape[2] == 4
    landing_first, landing_last = max(0, first - _RADIUS), min(height, last + _RADIUS)
    source_first, source_last = max(0, landing_first - reach), min(height, landing_last + reach)
    sums[:] = _ZERO
    normalized, y = landing_first, first
    for source in range(source_first, source_last):
        _flow_row(source, displacement, scale, rows, row_share, columns, column_share, mask, motion_offset, coarse,
                  flow[slots[source]])  # fmt: skip
        _splat_row(source, landing_first, landing_last, features, weight, flow[slots[source]], sums, slots)
        complete = source - reach + 1 if source < source_last - 1 else landing_last
        while normalized < complete:
            _normalize_row(sums[slots[normalized]])
            normalized += 1
        while y < last and (y + _RADIUS < normalized or normalized == landing_last):
            _resolve_row(y, rgba, photo, features, background, background_index, mask, displacement, scale, rows,
                         row_share, columns, column_share, slots, sums, flow, sampled, frame[y],
                         holes[y])  # fmt: skip
            if y - _RADIUS >= landing_first:
                sums[slots[y - _RADIUS]] = _ZERO
            y += 1


@compiled
def _resolve_row(
    y, rgba, photo, features, background, background_index, mask, displacement, scale, rows, row_share, columns,
    column_share, slots, sums, flow, sampled, frame, holes,
):  # fmt: skip
    """Write a row of the frame and of its holes, from normalized sums."""
    height, width = photo.shape[:2]
    warps = frame.shape[1] == WARPED
    line, motion = sums[slots[y]], flow[slots[y]]
    for x in range(width):
        k = x + _BEFORE
        coverage = line[k, 7]
        fx, fy = motion[x, 0], motion[x, 1]
        hole = max(_ONE - coverage * _INVERSE_COVERAGE, _ZERO)
        holes[x] = hole
        if (fx == _ZERO and fy == _ZERO and coverage == _ONE) or (mask.size and mask[y, x] == _ZERO):
            if warps:
                for c in range(4):
                    frame[x, c] = frame[x, 4 + c] = features[y, x, c]
                frame[x, 8], frame[x, 9], frame[x, 10], frame[x, 11] = line[k, 4], line[k, 5], _ONE, _ONE
                continue
            frame[x, 0], frame[x, 1], frame[x, 2] = photo[y, x, 0], photo[y, x, 1], photo[y, x, 2]
            if rgba:
                frame[x, 3] = photo[y, x, 3]
            continue
        dx, dy, bridged = line[k, 4], line[k, 5], _ZERO
        r, g, b, a = line[k, 0], line[k, 1], line[k, 2], line[k, 3]
        if hole > _ZERO:
            mean_x, mean_y, bridged = _bridge(y, x, sums, flow, slots, height, width)
            dx += hole * (fx + bridged * (mean_x - fx) - dx)
            dy += hole * (fy + bridged * (mean_y - fy) - dy)
        from_x, from_y = _F(x) - dx, _F(y) - dy
        origin_x, origin_y = _sample_flow(from_x, from_y, flow, slots, height, width)
        error = np.sqrt((origin_x - dx) * (origin_x - dx) + (origin_y - dy) * (origin_y - dy))
        consistency = max(_ONE - error * _INVERSE_TOLERANCE, _ZERO)
        if hole > _ZERO or consistency > _ZERO or warps:
            _sample_cubic(from_x, from_y, features, sampled)
            if hole > _ZERO:
                stretch = max(_STRETCH * np.sqrt(dx * dx + dy * dy), _SMALL)
                surface = max(bridged, min(max(_TWO - error / stretch, _ZERO), _ONE))
                if _enters_frame(y, x, fx, fy, height, width):
                    surface = _ONE
                behind = background_index[y, x]
                back_x, back_y = _flow_at(behind // width, behind % width, displacement, scale, rows, row_share,
                                          columns, column_share, mask)  # fmt: skip
                back_r, back_g, back_b, back_a = sample_linear(_F(x) - back_x, _F(y) - back_y, background)
                r += hole * (back_r + surface * (sampled[0] - back_r) - r)
                g += hole * (back_g + surface * (sampled[1] - back_g) - g)
                b += hole * (back_b + surface * (sampled[2] - back_b) - b)
                a += hole * (back_a + surface * (sampled[3] - back_a) - a)
            if warps:
                frame[x, 0], frame[x, 1], frame[x, 2], frame[x, 3] = r, g, b, a
                for c in range(4):
                    frame[x, 4 + c] = sampled[c]
                frame[x, 8], frame[x, 9], frame[x, 10], frame[x, 11] = dx, dy, consistency, _ZERO
                continue
            r += consistency * (sampled[0] - r)
            g += consistency * (sampled[1] - g)
            b += consistency * (sampled[2] - b)
            a += consistency * (sampled[3] - a)
        if rgba:
            inverse = _ONE / max(a, _SMALL) if a > _ZERO else _ZERO
            r, g, b = r * inverse, g * inverse, b * inverse
            frame[x, 3] = min(max(a, _ZERO), _ONE)
        frame[x, 0] = min(max(r, _ZERO), _ONE)
        frame[x, 1] = min(max(g, _ZERO), _ONE)
        frame[x, 2] = min(max(b, _ZERO), _ONE)
