"""CUDA graphs: work on a GPU that is captured once and then replayed with one launch."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import torch
from torch import Tensor

# Held during a warm-up and its capture; meanwhile other networks of the process may only replay.
GRAPH_LOCK = threading.Lock()
_local = threading.local()


def capture(work: Callable[[], object]) -> Callable[[], None]:
    """Capture work on the current stream, not the default one; return a function that replays it.

    `torch.cuda.graph` is not used, because it waits for the entire device and empties the cache,
    which would slow down other streams. Only errors of this thread end the capture, so other
    threads may allocate memory.
    """
    if not hasattr(_local, "keeper"):
        # This graph is never replayed. It keeps this thread's memory pool alive, so the graphs of a
        # network reuse the memory of earlier ones. The memory of a separate pool would return to
        # the device only when it is full, and not even then while another thread captures. Graphs
        # may share a pool because a thread replays one at a time, and tensors that are needed after
        # a replay are kept alive.
        _local.keeper = _capture_graph(lambda: torch.zeros(1, device="cuda"), None)
    replay: Callable[[], None] = _capture_graph(work, _local.keeper).replay
    return replay


def _capture_graph(
    work: Callable[[], object], keeper: torch.cuda.CUDAGraph | None
) -> torch.cuda.CUDAGraph:
    """Return a graph of work that uses the memory pool of another graph. None: a new pool."""
    torch.cuda.current_stream().synchronize()
    graph = torch.cuda.CUDAGraph()
    pool = None if keeper is None else keeper.pool()
    graph.capture_begin(pool, capture_error_mode="thread_local")
    try:
        work()
    except BaseException:
        with suppress(RuntimeError):  # the error of the work is the one to raise
            graph.capture_end()
        raise
    graph.capture_end()
    return graph


@dataclass(frozen=True, slots=True, eq=False)
class GraphedLogits:
    """A graph that computes the logits of batches of one size.

    Attributes:
        raw: (batch, channels, r, r) uint8, the input of the graph.
        logits: (batch, classes) fp32, the output of the graph.
        replay: Function that replays the graph.
    """

    raw: Tensor
    logits: Tensor
    replay: Callable[[], None]

    def fits(self, raw: Tensor) -> bool:
        """Return whether a batch has the size that the graph was captured for."""
        return len(raw) == len(self.raw)

    def __call__(self, raw: Tensor) -> Tensor:
        """Return the logits (batch, classes) of a batch of that size."""
        self.raw.copy_(raw)
        self.replay()
        return self.logits.clone()


@contextmanager
def own_stream(device: torch.device) -> Iterator[None]:
    """Use this thread's own CUDA stream and wait for it at the end; do nothing on a CPU.

    A thread always uses the same stream, so its networks reuse each other's memory.
    """
    if device.type != "cuda":
        yield
        return
    if not hasattr(_local, "stream"):
        _local.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    with torch.cuda.stream(_local.stream):
        try:
            yield
        finally:  # queued work of a failed training uses memory that is about to be freed
            _local.stream.synchronize()
