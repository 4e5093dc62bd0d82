"""Traces a torch module into layer rows by running it.

The module runs in evaluation and in training mode, on blank and on random images, on another number
of them, and with other seeds where it draws numbers. All runs must compute the same layers, besides
dropout. A module that computes what one
layer row expresses may declare it as an attribute `layer_row` (a
`benchmark.space.layer_walk.LayerRow`), whose shapes are checked. Anything else that layer rows
cannot express is an error that names the module.
"""

import inspect
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch._dynamo.eval_frame import OptimizedModule
from torch.nn.parameter import is_lazy

from benchmark.space.imagesets import ImageSet
from benchmark.space.layer_walk import LayerRow
from harness.tracing.advice import DECLARE, Refusal
from harness.tracing.outcome import Outcome, ParameterCount, count_parameters, read_outcome
from harness.tracing.recorder import Recorder
from harness.tracing.roles import TracedLayer, assign_roles
from harness.tracing.unchanged import has_lazy, kept_chance, kept_modes, seed_chance, unchanged
from harness.tracing.values import BATCH
from harness.user_code import describe_with_place, required_arguments


@dataclass(frozen=True, slots=True)
class Run:
    """How a network is run; pixels and chance are seeds, and the pixels of seed 0 are blank."""

    training: bool
    pixels: int
    chance: int = 0
    batch: int = BATCH


EVALUATION = Run(training=False, pixels=0)
RUNS = (
    EVALUATION, replace(EVALUATION, pixels=1), replace(EVALUATION, batch=3), Run(True, 0),
    Run(True, 1), EVALUATION,
)  # fmt: skip
MORE_RUNS = tuple(Run(mode, seed, seed) for seed in range(2, 8) for mode in (False, True))
DEEPER = 5  # times the usual depth of calls, as following a call takes calls of our own


@dataclass(frozen=True, slots=True)
class Trace:
    """A traced network.

    Attributes:
        rows: Its layers.
        parameters: Its parameters, compared with those of the rows.
        notes: What the rows leave out, a sentence each.
    """

    rows: tuple[LayerRow, ...]
    parameters: ParameterCount
    notes: tuple[str, ...]


def trace_module(module: nn.Module, images: ImageSet) -> Trace:
    """Return the layers of a module that classifies the images of an image set.

    Args:
        module: A torch module. Its parameters, buffers and mode do not change, but lazy modules get
            their parameters.
        images: The image set, which gives the input shape and the number of classes.

    Raises:
        ValueError: If the module fails on such images, computes layers that depend on chance, the
            mode or pixels, does something that rows cannot express, or does not end with a fully
            connected layer for the classes. The message names the submodule.
    """
    network = module._orig_mod if isinstance(module, OptimizedModule) else module
    _check_arguments(network)
    with warnings.catch_warnings(), torch.enable_grad(), torch.compiler.set_stance("force_eager"):
        warnings.simplefilter("ignore")
        if has_lazy(network):
            with kept_modes(network), kept_chance():
                _run(network, images, EVALUATION)
        if has_lazy(network):
            raise ValueError(f"{type(network).__name__} has a lazy module that it never calls")
        with unchanged(network), _deeper_calls():
            outcomes = [(run, _run(network, images, run)) for run in RUNS]
            if any(outcome.chance for _, outcome in outcomes):
                outcomes += [(run, _run(network, images, run)) for run in MORE_RUNS]
    _compare(outcomes)
    outcome = next(outcome for run, outcome in outcomes if run.training)
    rows = assign_roles(outcome.layers)
    parameters = count_parameters(network, outcome)
    found = [outcome for _, outcome in outcomes]
    return Trace(rows, parameters, tuple(_notes(found, outcome, parameters)))


@contextmanager
def _deeper_calls() -> Iterator[None]:
    """Allow a greater depth of calls in the block."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(DEEPER * before)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def _check_arguments(network: nn.Module) -> None:
    """Check that images are all that `forward` needs."""
    name = type(network).__name__
    try:
        signature = inspect.signature(network.forward)
    except (TypeError, ValueError):  # of TorchScript and built-in functions
        return
    try:
        signature.bind(None)
    except TypeError as error:
        others = ", ".join(required_arguments(network.forward)[1:]) or "fewer"
        raise ValueError(
            f"`forward` of {name} must take images alone, and it needs {others}; give further "
            "arguments a default"
        ) from error


def _batch(network: nn.Module, images: ImageSet, run: Run) -> Tensor:
    """Return a batch of images, with the type of number and device of most parameters."""
    kinds = Counter[tuple[torch.device, torch.dtype]]()
    for parameter in nn.Module.parameters(network):
        if parameter.is_floating_point() and not is_lazy(parameter):
            kinds[parameter.device, parameter.dtype] += parameter.numel()
    device, dtype = max(kinds, key=kinds.__getitem__, default=(torch.device("cpu"), torch.float32))
    shape = (run.batch, images.channels, images.resolution, images.resolution)
    generator = torch.Generator().manual_seed(run.pixels)
    pixels = torch.randn(shape, generator=generator) if run.pixels else torch.zeros(shape)
    return pixels.to(device=device, dtype=dtype)


def _run(network: nn.Module, images: ImageSet, run: Run) -> Outcome:
    """Return what one run gives.

    Raises:
        ValueError: As for `trace_module`.
    """
    recorder = Recorder(network, images, run.batch)
    seed_chance(run.chance)
    try:
        with redirect_stdout(sys.stderr):
            network.train(run.training)  # what it returns is of no interest
            output = recorder.run(_batch(network, images, run))
    except Refusal:
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a network may raise anything
        where = recorder.modules.failed(error)
        size = f"{images.channels}x{images.resolution}x{images.resolution}"
        raise ValueError(
            f"{where} fails on images of {size}: {describe_with_place(error)}"
        ) from error
    return read_outcome(recorder, output)


def _compare(outcomes: list[tuple[Run, Outcome]]) -> None:
    """Check that all runs have the same layers, besides dropout, which read the same constants."""
    first = outcomes[0][1]
    chance = next((outcome.chance for _, outcome in outcomes if outcome.chance), "")
    for run, outcome in sorted(outcomes[1:], key=lambda found: found[0] != EVALUATION):
        different = _difference(first.without_dropout(), outcome.without_dropout())
        if different is not None:
            reason = _reason(run, chance)
            raise ValueError(f"the layers differ from run to run, first at {different}: {reason}")
    for (where, one), (_, two) in zip(first.constants, outcomes[1][1].constants, strict=False):
        if one != two:
            raise ValueError(
                f"{where} reads numbers that depend on the pixels, and that no function of torch "
                f"computed; {DECLARE.removeprefix('or ')}"
            )


def _reason(run: Run, chance: str) -> str:
    """Return why a run has other layers than the first one, and what to do about it."""
    if chance:
        return f"{chance} draws random numbers; take the layers that chance skips as computed"
    if run.training:
        return "training and evaluation mode differ; compute the same layers in both"
    if run.batch != BATCH:
        return "they depend on the number of images; compute the same layers for any number"
    if run.pixels:
        return "they depend on the pixels; compute the same layers for all images"
    return "they depend on what the network kept from earlier runs; let it keep nothing"


def _difference(one: tuple[TracedLayer, ...], two: tuple[TracedLayer, ...]) -> str | None:
    """Return the first layer that differs, in words; None if none does."""
    for a, b in zip(one, two, strict=False):
        if a.row != b.row:
            return a.where
    longer = one if len(one) > len(two) else two
    shortest = min(len(one), len(two))
    return longer[shortest].where if len(one) != len(two) else None


def _notes(outcomes: list[Outcome], outcome: Outcome, parameters: ParameterCount) -> Iterator[str]:
    """Yield what the rows of a network leave out."""
    chance = next((o.chance for o in outcomes if o.chance), "")
    if chance:
        yield (
            f"{chance} draws random numbers; the layers of {len(outcomes)} runs are the same, and "
            "nothing else of it is part of the layers"
        )
    left = next((o.left for o in outcomes if o.left), "")
    if left:
        yield f"{left} takes values out of torch; what is computed from them is not followed"
    if outcome.rates:
        rates = ", ".join(f"{rate:g}" for rate in sorted(set(outcome.rates)))
        yield f"the layers say where dropout is, not its rate ({rates})"
    if outcome.left_out:
        yield f"the output does not depend on {', '.join(dict.fromkeys(outcome.left_out))}"
    if outcome.values > 1:
        yield f"the network returns {outcome.values} tensors; the one with the classes is used"
    if parameters.frozen:
        yield (
            f"{parameters.frozen:,} parameters are frozen; the prediction is for training all of "
            "them"
        )
