"""The speeds of several ways of training, and a table that compares them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import wilcoxon

from benchmark.recipes import Precision
from generators.checks.device_limits import Limits

AUDIT: Precision = "fp32"  # the precision of an audit, and the name of its speed


@dataclass(frozen=True, slots=True)
class Speed:
    """The speed of one way of training.

    Attributes:
        name: N0, N1, N2, "engine x" and the networks trained at the same time, or fp32.
        networks: Number of networks trained.
        seconds: Time of all networks, scaled to all epochs.
        images: Number of training images seen, over all networks and epochs.
        flops: Floating-point operations of all convolutions and linear layers.
        bandwidth: Least bytes that all layers move.
        accuracies: Final valid accuracy of each run, by its id. None: not all epochs were trained.
        busy: Mean utilisation of the GPU, 0 to 1. None: not measured.
    """

    name: str
    networks: int
    seconds: float
    images: float
    flops: float
    bandwidth: float
    accuracies: Mapping[str, float] | None
    busy: float | None = None


def parity(one: Speed, other: Speed) -> tuple[int, float, float]:
    """Return the number of common networks, and the difference of their final accuracies.

    The second number is the mean difference. The third is the p-value of the hypothesis that
    differences are symmetric about 0 (Wilcoxon signed rank).

    Raises:
        ValueError: If one way did not train all epochs, or they have no network in common.
    """
    if one.accuracies is None or other.accuracies is None:
        raise ValueError("accuracies can only be compared after all epochs")
    common = [name for name in one.accuracies if name in other.accuracies]
    if not common:
        raise ValueError("the two ways trained no common network")
    differences = np.array([one.accuracies[name] - other.accuracies[name] for name in common])
    p_value = float(wilcoxon(differences).pvalue) if differences.any() else 1.0
    return len(common), float(differences.mean()), p_value


def report(speeds: Sequence[Speed], limits: Limits) -> Iterator[str]:
    """Yield a table of speeds, the least possible time, and differences in accuracy.

    Accuracies are compared with those of the first way that trained all epochs. Those of fp32 are
    compared with the engine's last.
    """
    first = speeds[0]
    head = "way         networks/h    images/s  TFLOP/s  of peak     GB/s  of copy  busy  times"
    yield f"{head} {first.name}"
    for speed in speeds:
        rate, moved = speed.flops / speed.seconds, speed.bandwidth / speed.seconds
        busy = "   -" if speed.busy is None else f"{speed.busy:4.0%}"
        ratio = (speed.networks / speed.seconds) / (first.networks / first.seconds)
        yield (
            f"{speed.name:11} {3600 * speed.networks / speed.seconds:10.1f} "
            f"{speed.images / speed.seconds:11,.0f} {rate / 1e12:8.3f} {rate / limits.flops:8.1%} "
            f"{moved / 1e9:8.1f} {moved / limits.bandwidth:8.1%}  {busy} {ratio:9.2f}"
        )
    last = [speed for speed in speeds if speed.name != AUDIT][-1]
    times = last.flops / limits.flops, last.bandwidth / limits.bandwidth, last.seconds
    arithmetic, bandwidth, taken = (seconds / last.networks for seconds in times)
    yield (
        f"a network takes at least {arithmetic:.3f} s of arithmetic and {bandwidth:.3f} s of "
        f"memory traffic on this device; {last.name} took {taken:.3f} s"
    )
    full = [speed for speed in speeds if speed.accuracies is not None and speed.name != AUDIT]
    pairs = [(speed, full[0]) for speed in full[1:]]
    pairs += [(speed, last) for speed in speeds if speed.name == AUDIT]
    for speed, other in pairs:
        count, mean, p_value = parity(speed, other)
        yield (
            f"accuracy of {speed.name} minus that of {other.name}: mean {mean:+.4f} over {count} "
            f"networks, p {p_value:.3f}"
        )
