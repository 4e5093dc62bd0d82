"""CUDA graphs: work on a GPU, captured once and replayed with one launch."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import torch
from torch import Tensor

# One capture at a time, its warm-up included: other networks of the process only replay meanwhile.
GRAPH_LOCK = threading.Lock()
_local = threading.local()


def capture(work: Callable[[], object]) -> Callable[[], None]:
    """Capture work on the current stream, which must not be the default one, and return its replay.

    `torch.cuda.graph` is not used: it waits for the whole device and empties the cache, which other
    streams would pay for. Errors are those of this thread alone, so that others may allocate.
    """
    if not hasattr(_local, "keeper"):
        # Never replayed: it keeps this thread's pool, so that a network's graphs reuse the memory
        # of those before. A pool of their own would go back to the device only when it is full,
        # and while another thread captures not even then. Graphs may share a pool because a
        # thread replays one at a time and whatever outlives a replay is kept alive.
        _local.keeper = _captured(lambda: torch.zeros(1, device="cuda"), None)
    replay: Callable[[], None] = _captured(work, _local.keeper).replay
    return replay


def _captured(
    work: Callable[[], object], keeper: torch.cuda.CUDAGraph | None
) -> torch.cuda.CUDAGraph:
    """Return a graph of work, which takes its memory from another's pool, or from a new one."""
    torch.cuda.current_stream().synchronize()
    graph = torch.cuda.CUDAGraph()
    pool = None if keeper is None else keeper.pool()
    graph.capture_begin(pool, capture_error_mode="thread_local")
    try:
        work()
    except BaseException:
        with suppress(RuntimeError):  # what ended the work is what matters
            graph.capture_end()
        raise
    graph.capture_end()
    return graph


@dataclass(frozen=True, slots=True, eq=False)
class GraphedLogits:
    """Logits of batches of one size, from a graph.

    Attributes:
        raw: (batch, channels, r, r) uint8, which the graph reads.
        logits: (batch, classes) fp32, which it writes.
        replay: Replays it.
    """

    raw: Tensor
    logits: Tensor
    replay: Callable[[], None]

    def fits(self, raw: Tensor) -> bool:
        """Return whether a batch has the graph's size."""
        return len(raw) == len(self.raw)

    def __call__(self, raw: Tensor) -> Tensor:
        """Return the logits of a batch."""
        self.raw.copy_(raw)
        self.replay()
        return self.logits.clone()


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
        try:
            yield
        finally:  # what a failed training queued uses memory that is about to be free
            _local.stream.synchronize()
