"""Traces a torch module into layer rows by running it.

The module runs on two batches in evaluation mode and on two in training mode, with other pixels and
other seeds. All runs must compute the same layers, besides dropout. A module that computes what one
layer row expresses may declare it as an attribute `layer_row` (a
`benchmark.space.layer_walk.LayerRow`), whose shapes are checked. Anything else that layer rows
cannot express is an error that names the module.
"""

import inspect
import sys
import warnings
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch._dynamo.eval_frame import OptimizedModule

from benchmark.space.imagesets import ImageSet
from benchmark.space.layer_walk import LayerRow
from harness.tracing.advice import Refusal
from harness.tracing.outcome import Outcome, ParameterCount, count_parameters, read_outcome
from harness.tracing.recorder import Recorder
from harness.tracing.roles import TracedLayer, assign_roles
from harness.tracing.unchanged import has_lazy, seed_chance, unchanged
from harness.tracing.values import BATCH
from harness.user_code import describe_with_place

RUNS = ((False, 0), (False, 1), (True, 0), (True, 1))  # training mode, and seed
MORE_RUNS = tuple((training, seed) for seed in range(2, 8) for training in (False, True))


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
            _run(network, images, training=False, seed=0)
        if has_lazy(network):
            raise ValueError(f"{type(network).__name__} has a lazy module that it never calls")
        with unchanged(network):
            outcomes = {(t, s): _run(network, images, training=t, seed=s) for t, s in RUNS}
            if any(outcome.chance for outcome in outcomes.values()):
                outcomes |= {
                    (t, s): _run(network, images, training=t, seed=s) for t, s in MORE_RUNS
                }
    _compare(outcomes)
    outcome = outcomes[True, 0]
    rows = assign_roles(outcome.layers)
    parameters = count_parameters(network, outcome)
    return Trace(rows, parameters, tuple(_notes(list(outcomes.values()), outcome, parameters)))


def _check_arguments(network: nn.Module) -> None:
    """Check that images are all that `forward` needs."""
    name = type(network).__name__
    try:
        signature = inspect.signature(network.forward)
    except (TypeError, ValueError):  # of TorchScript and built-in functions
        return
    required = [
        p.name
        for p in signature.parameters.values()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    try:
        signature.bind(None)
    except TypeError as error:
        others = ", ".join(repr(argument) for argument in required[1:]) or "fewer"
        raise ValueError(
            f"`forward` of {name} must take images alone, and it needs {others}; give further "
            "arguments a default"
        ) from error


def _batch(network: nn.Module, images: ImageSet, seed: int) -> Tensor:
    """Return a batch of images, blank with seed 0, else noise, as the parameters' numbers are."""
    kinds = (p for p in nn.Module.parameters(network) if p.is_floating_point())
    first = next(kinds, torch.zeros(1))
    shape = (BATCH, images.channels, images.resolution, images.resolution)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) if seed else None
    pixels = torch.zeros(shape) if noise is None else noise
    return pixels.to(device=first.device, dtype=first.dtype)


def _run(network: nn.Module, images: ImageSet, *, training: bool, seed: int) -> Outcome:
    """Return what one run gives.

    Raises:
        ValueError: As for `trace_module`.
    """
    recorder = Recorder(network, images)
    seed_chance(seed)
    try:
        with redirect_stdout(sys.stderr):
            network.train(training)  # what it returns is of no interest
            output = recorder.run(_batch(network, images, seed))
    except Refusal:
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a network may raise anything
        where = recorder.modules.failed or type(network).__name__
        size = f"{images.channels}x{images.resolution}x{images.resolution}"
        raise ValueError(
            f"{where} fails on images of {size}: {describe_with_place(error)}"
        ) from error
    return read_outcome(recorder, output)


def _compare(outcomes: dict[tuple[bool, int], Outcome]) -> None:
    """Check that all runs have the same layers, besides dropout."""
    first = outcomes[False, 0].without_dropout()
    for (training, _), outcome in outcomes.items():
        here = outcome.without_dropout()
        different = _difference(first, here)
        if different is None:
            continue
        chance = next((o.chance for o in outcomes.values() if o.chance), "")
        if chance:
            reason = f"{chance} draws random numbers; take the layers that chance skips as computed"
        elif training:
            reason = "training and evaluation mode differ; compute the same layers in both"
        else:
            reason = "they depend on the pixels; compute the same layers for all images"
        raise ValueError(f"the layers differ from run to run, first at {different}: {reason}")


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
