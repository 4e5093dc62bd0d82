"""How fast ways of training are, side by side."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import wilcoxon

from benchmark.recipes import Precision
from generators.checks.device_limits import Limits

AUDIT: Precision = "fp32"  # the precision of an audit, and its name


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast one way of training is.

    Attributes:
        name: N0, N1, N2, engine with the networks in flight, or fp32.
        networks: How many were trained.
        seconds: Of all, scaled to all epochs.
        images: Training images seen.
        flops: Floating-point operations of all convolutions and linear layers.
        bandwidth: Bytes that all layers move at least.
        accuracies: Final valid accuracy of each run by its id; None if they trained fewer epochs.
        busy: Share of samples of a GPU's own counter that found work on it; None if not asked.
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
    """Return how many networks both trained, and how their final accuracies differ.

    The second number is the mean difference, the third the p-value of differences lying about 0
    (Wilcoxon signed rank).

    Raises:
        ValueError: If one of them did not train all epochs, or they have no network in common.
    """
    if one.accuracies is None or other.accuracies is None:
        raise ValueError("accuracies can be compared only after all epochs")
    common = [name for name in one.accuracies if name in other.accuracies]
    if not common:
        raise ValueError("no network was trained in both ways")
    differences = np.array([one.accuracies[name] - other.accuracies[name] for name in common])
    p_value = float(wilcoxon(differences).pvalue) if differences.any() else 1.0
    return len(common), float(differences.mean()), p_value


def report(speeds: Sequence[Speed], most: Limits) -> Iterator[str]:
    """Yield a table of speeds, the floor, and how accuracies compare.

    Ways are compared with the first that trained all epochs, fp32 with the engine's last.
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
            f"{speed.images / speed.seconds:11,.0f} {rate / 1e12:8.3f} {rate / most.flops:8.1%} "
            f"{moved / 1e9:8.1f} {moved / most.bandwidth:8.1%}  {busy} {ratio:9.2f}"
        )
    last = [speed for speed in speeds if speed.name != AUDIT][-1]
    times = last.flops / most.flops, last.bandwidth / most.bandwidth, last.seconds
    arithmetic, bandwidth, taken = (seconds / last.networks for seconds in times)
    yield (
        f"a network takes at least {arithmetic:.3f} s of arithmetic and {bandwidth:.3f} s of "
        f"memory traffic on this device; {last.name} took {taken:.3f} s"
    )
    whole = [speed for speed in speeds if speed.accuracies is not None and speed.name != AUDIT]
    pairs = [(speed, whole[0]) for speed in whole[1:]]
    pairs += [(speed, last) for speed in speeds if speed.name == AUDIT]
    for speed, other in pairs:
        count, mean, p_value = parity(speed, other)
        yield (
            f"accuracy of {speed.name} less that of {other.name}: mean {mean:+.4f} over {count} "
            f"networks, p {p_value:.3f}"
        )
