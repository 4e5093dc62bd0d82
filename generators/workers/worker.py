"""The work of a worker process: train planned runs one after another, with images loaded once."""

import base64
import os
import threading
import time
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from benchmark.schema import TRAINED_STATUSES, Run, Status
from benchmark.space.imagesets import get_images
from benchmark.util.processes import end_with_parent
from benchmark.util.text import LONGEST, escape
from generators.environment import GENERATOR_VERSION, device_name, environment, environment_id
from generators.training.batches import DevicePixels, to_device
from generators.training.images import load_images
from generators.training.train import Curves, train
from generators.workers.planned_run import Job, PlannedRun, Row

_LOADING_LOCK = threading.Lock()


def prepare() -> None:
    """Set up a worker process, which ends with its parent: one torch thread, and no denormals."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    end_with_parent()


def prepare_gpu() -> None:
    """Set up a process that uses a GPU: deterministic kernels, and full precision in fp32.

    An operation without a deterministic kernel only warns; tests check that results are
    reproducible. By default, cuDNN would keep only ten bits of the mantissa in fp32 convolutions.
    """
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Deterministic mode would fill every new tensor first, which only helps debugging
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    prepare()


@lru_cache(maxsize=4)
def _load_pixels(name: str, folder: Path, device: str) -> DevicePixels:
    pixels = to_device(load_images(name, folder), torch.device(device))
    if pixels.mean.device.type == "cuda":
        torch.cuda.synchronize(pixels.mean.device)  # as other streams read them
    return pixels


def _pixels(name: str, folder: Path, device: str) -> DevicePixels:
    """Return an image set on the device, loaded once for all threads of the process."""
    with _LOADING_LOCK:
        return _load_pixels(name, folder, device)


def train_run(job: Job) -> Row:
    """Train a planned run and return its row, with `correct` as base64 of packed bits.

    An error that torch raises during training is stored in the row. An error that leaves the CUDA
    context unusable, or for which the machine lacks memory, ends the process instead: it is not one
    of the network, and the next run starts in a new process.
    """
    pixels = _pixels(job.run.images, job.folder, job.device)
    started = int(time.time())
    try:
        graphs = job.graphs and job.device.startswith("cuda")
        curves = train(job.run.architecture, job.recipe, pixels, seed=job.run.seed, graphs=graphs)
    except torch.OutOfMemoryError as error:
        curves = Curves("out_of_memory", _first_line(error))
    except (RuntimeError, MemoryError) as error:
        if _lacks_memory(error) or _is_lost(torch.device(job.device)):
            os._exit(1)
        curves = Curves("failed", f"{type(error).__name__}: {_first_line(error)}")
    return row_of(job, curves, started)


def _first_line(error: Exception) -> str:
    return escape(next(iter(str(error).splitlines()), ""))[:LONGEST]


def _lacks_memory(error: Exception) -> bool:
    """Return whether the memory of the machine, not of a GPU, is used up; torch has no type."""
    return isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error)


def _is_lost(device: torch.device) -> bool:
    """Return whether the CUDA context is unusable, as after an illegal memory access."""
    try:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    except RuntimeError:
        return True
    return False


def failed_row(job: Job, reason: str) -> Row:
    """Return the row of a run that could not be trained."""
    return row_of(job, Curves("failed", reason), int(time.time()))


def row_of(job: Job, curves: Curves, started: int) -> Row:
    """Return the row of a run as run files store it; `started` is in seconds since 1970."""
    shared = PlannedRun.__dataclass_fields__.keys() & Run.__dataclass_fields__.keys()
    trained = curves.status in TRAINED_STATUSES
    status: Status = curves.status  # type: ignore[assignment]
    skip = ("status", "status_reason", "correct", "initial_valid_accuracy", "final_train_accuracy")
    series = {n: getattr(curves, n) for n in Curves.__dataclass_fields__ if n not in skip}
    run = Run(
        **{name: getattr(job.run, name) for name in shared},
        skeleton=job.run.architecture.skeleton,
        status=status,
        status_reason=curves.status_reason,
        epochs_planned=job.recipe.epochs,
        initial_valid_accuracy=curves.initial_valid_accuracy if trained else None,
        final_train_accuracy=curves.final_train_accuracy if trained else None,
        networks_in_flight=job.workers,
        device=device_name(torch.device(job.device)),
        environment_id=environment_id(environment()),
        generator_version=GENERATOR_VERSION,
        started_at=started,
        **series,
    )
    images = get_images(job.run.images)
    right = curves.correct
    if right is None:
        right = np.zeros(images.valid + images.test, bool)
    packed = base64.b64encode(np.packbits(right).tobytes()).decode()
    return run.to_row() | {"correct": packed}
