"""CUDA graphs: work on a GPU, captured once and replayed with one launch."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

# One capture at a time, its warm-up included: other networks of the process only replay meanwhile.
GRAPH_LOCK = threading.Lock()
_local = threading.local()


def capture(work: Callable[[], None]) -> Callable[[], None]:
    """Capture work on the current stream, which must not be the default one, and return its replay.

    `torch.cuda.graph` is not used: it waits for the whole device and empties the cache, which other
    streams would pay for. Errors are those of this thread alone, so that others may allocate.
    """
    torch.cuda.current_stream().synchronize()
    graph = torch.cuda.CUDAGraph()
    graph.capture_begin(capture_error_mode="thread_local")
    try:
        work()
    finally:
        graph.capture_end()
    replay: Callable[[], None] = graph.replay
    return replay


@contextmanager
def own_stream(device: torch.device) -> Iterator[None]:
    """Work on this thread's own stream of a GPU, and wait for it at the end; no change on a CPU.

    A thread keeps its stream, so that its networks reuse each other's memory.
    """
    if device.type != "cuda":
        yield
        return
    if not hasattr(_local, "stream"):
        _local.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    with torch.cuda.stream(_local.stream):
        yield
        _local.stream.synchronize()
