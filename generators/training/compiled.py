"""Pools for CPUs whose forward and backward passes are compiled by numba, if it is installed."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

try:
    from generators.training import kernels
except ImportError:  # numba is optional, or does not fit the other packages
    COMPILED = False
else:
    COMPILED = True

Kernel = tuple[int, int]  # height and width


def is_compiled_for(x: Tensor) -> bool:
    """Return whether compiled pools support a tensor: fp32 on a CPU, with numba installed."""
    return COMPILED and x.device.type == "cpu" and x.dtype == torch.float32


def _rows(x: Tensor) -> NDArray[Any]:
    """Return a view (n, r, r * c) of the memory of a channels_last tensor (n, c, r, r)."""
    n, c, height, width = x.shape
    array: NDArray[Any] = x.permute(0, 2, 3, 1).view(n, height, width * c).numpy()
    return array


def _dense(x: Tensor) -> Tensor:
    return x.detach().contiguous(memory_format=torch.channels_last)


class CompiledMaxPool(torch.autograd.Function):
    """A max pool of stride 1 that keeps the resolution."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Kernel) -> Tensor:
        """Pool (n, c, r, r) to the same shape."""
        x = _dense(x)
        y = torch.empty_like(x)
        ctx.kernel = kernel
        if not ctx.needs_input_grad[0]:
            kernels.max_forward(_rows(x), x.shape[1], kernel, _rows(y), None, None)
            return y
        rows, columns = (torch.empty_like(x, dtype=torch.uint8) for _ in range(2))
        kernels.max_forward(_rows(x), x.shape[1], kernel, _rows(y), _rows(rows), _rows(columns))
        ctx.save_for_backward(rows, columns)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Return the gradient with respect to the input."""
        rows, columns = ctx.saved_tensors
        gradient = _dense(gradients[0])
        result = torch.empty_like(gradient)
        taps = _rows(rows), _rows(columns)
        kernels.max_backward(_rows(gradient), gradient.shape[1], ctx.kernel, *taps, _rows(result))
        return result, None


class CompiledAverage(torch.autograd.Function):
    """An average pool of stride 1: the sum of each window times a scale for its position."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Kernel, scale: NDArray[np.float32]) -> Tensor:
        """Average (n, c, r, r) to the same shape; `scale` is (r, r * c)."""
        ctx.kernel, ctx.scale = kernel, scale
        x = _dense(x)
        y = torch.empty_like(x)
        kernels.average_forward(_rows(x), x.shape[1], kernel, scale, _rows(y))
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient with respect to the input."""
        gradient = _dense(gradients[0])
        result = torch.empty_like(gradient)
        rows = _rows(gradient), gradient.shape[1], ctx.kernel, ctx.scale, _rows(result)
        kernels.average_backward(*rows)
        return result, None, None
