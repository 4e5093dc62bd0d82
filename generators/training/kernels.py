"""Optional pools for CPUs, which numba compiles when they are first used.

Torch's pools of stride 1 take five to ten times as long as memory bandwidth allows. Here a window
is one pass along the rows and one along the columns, an image at a time, so that intermediate
results stay in the cache. An image is (height, width * channels), so that the taps along a row are
shifts by a multiple of the channels.

Sums are taken in the same order as in torch. `generators.training.pools` has the same passes in
torch's operations, and they give bit-identical results.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]  # (images, height, width * channels)
Lanes = NDArray[np.float32]  # (height, width * channels)
Bytes = NDArray[np.uint8]  # (images, height, width * channels): tap of the window's maximum


@njit(cache=True)
def max_forward(
    x: Floats,
    channels: int,
    kernel: tuple[int, int],
    y: Floats,
    rows: Bytes | None,
    columns: Bytes | None,
) -> None:
    """Write the maximum of every window to `y`, and its taps; of equal values, the first tap.

    With None for the taps, numba compiles a faster version that leaves them out.
    """
    images, height, width = x.shape
    top, left = (kernel[0] - 1) // 2, (kernel[1] - 1) // 2
    between = np.empty((height, width), np.float32)
    for n in range(images):
        for row in range(height):
            best = between[row]
            best[:] = -np.inf
            if columns is not None:
                columns[n, row] = left
            for tap in range(kernel[1]):
                shift = (tap - left) * channels
                start, stop = max(0, -shift), width - max(0, shift)
                source, target = x[n, row, start + shift : stop + shift], best[start:stop]
                for i in range(stop - start):
                    value = source[i]
                    if value > target[i] or value != value:
                        target[i] = value
                        if columns is not None:
                            columns[n, row, start + i] = tap
        for row in range(height):
            best = y[n, row]
            best[:] = -np.inf
            if rows is not None:
                rows[n, row] = top
            for tap in range(max(0, top - row), min(kernel[0], height + top - row)):
                source = between[row + tap - top]
                for i in range(width):
                    value = source[i]
                    if value > best[i] or value != value:
                        best[i] = value
                        if rows is not None:
                            rows[n, row, i] = tap


@njit(cache=True)
def max_backward(
    gradient: Floats,
    channels: int,
    kernel: tuple[int, int],
    rows: Bytes,
    columns: Bytes,
    result: Floats,
) -> None:
    """Write the gradient with respect to the input of a max pool to `result`."""
    images, height, width = gradient.shape
    top, left = (kernel[0] - 1) // 2, (kernel[1] - 1) // 2
    between = np.empty((height, width), np.float32)
    zero = np.float32(0)
    for n in range(images):
        between[:] = 0
        for row in range(height):
            target = between[row]
            for tap in range(kernel[0] - 1, -1, -1):
                out = row - tap + top
                if 0 <= out < height:
                    source, chosen = gradient[n, out], rows[n, out]
                    for i in range(width):
                        target[i] += source[i] if chosen[i] == tap else zero
        for row in range(height):
            result[n, row, :] = 0
            for tap in range(kernel[1] - 1, -1, -1):
                shift = (left - tap) * channels
                start, stop = max(0, -shift), width - max(0, shift)
                source = between[row, start + shift : stop + shift]
                taps = columns[n, row, start + shift : stop + shift]
                target = result[n, row, start:stop]
                for i in range(stop - start):
                    target[i] += source[i] if taps[i] == tap else zero


@njit(cache=True)
def average_forward(
    x: Floats, channels: int, kernel: tuple[int, int], scale: Lanes, y: Floats
) -> None:
    """Write the sum of every window, times the scale of its position, to `y`."""
    images, height, width = x.shape
    top, left = (kernel[0] - 1) // 2, (kernel[1] - 1) // 2
    between = np.empty((height, width), np.float32)
    for n in range(images):
        for row in range(height):
            between[row, :] = 0
            for tap in range(kernel[1]):
                shift = (tap - left) * channels
                start, stop = max(0, -shift), width - max(0, shift)
                source, target = x[n, row, start + shift : stop + shift], between[row, start:stop]
                for i in range(stop - start):
                    target[i] += source[i]
        for row in range(height):
            target = y[n, row]
            target[:] = 0
            for tap in range(max(0, top - row), min(kernel[0], height + top - row)):
                source = between[row + tap - top]
                for i in range(width):
                    target[i] += source[i]
            for i in range(width):
                target[i] *= scale[row, i]


@njit(cache=True)
def average_backward(
    gradient: Floats, channels: int, kernel: tuple[int, int], scale: Lanes, result: Floats
) -> None:
    """Write the gradient with respect to the input of an average pool to `result`."""
    images, height, width = gradient.shape
    top, left = (kernel[0] - 1) // 2, (kernel[1] - 1) // 2
    scaled, between = np.empty((2, height, width), np.float32)
    for n in range(images):
        for row in range(height):
            for i in range(width):
                scaled[row, i] = gradient[n, row, i] * scale[row, i]
        for row in range(height):
            target = between[row]
            target[:] = 0
            for out in range(max(0, row + top - kernel[0] + 1), min(height, row + top + 1)):
                source = scaled[out]
                for i in range(width):
                    target[i] += source[i]
        for row in range(height):
            result[n, row, :] = 0
            for tap in range(kernel[1] - 1, -1, -1):
                shift = (left - tap) * channels
                start, stop = max(0, -shift), width - max(0, shift)
                source = between[row, start + shift : stop + shift]
                target = result[n, row, start:stop]
                for i in range(stop - start):
                    target[i] += source[i]
