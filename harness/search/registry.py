"""The search algorithms of each track by name. To add one: a class, an entry here and a test.

Importing this module imports neither torch nor scikit-learn.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Literal, cast

from benchmark.extras import check_extra
from benchmark.util.unknown_name import Registry
from harness.search.session import Algorithm

Track = Literal["pool", "open"]
PREDICTOR = "gaussian-process"  # of the guided algorithms, unless another one is named


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is known about an algorithm without importing it.

    Attributes:
        target: Import path of its class, as "package.module:Class".
        title: What it does, on one line.
        source: Where it was published.
        guided: Whether the class takes the name of a predictor.
        packages: Packages of the extra `predictors` that it imports.
        options: Keyword arguments for the class.
    """

    target: str
    title: str
    source: str = "this benchmark"
    guided: bool = False
    packages: tuple[str, ...] = ()
    options: Mapping[str, object] = field(default_factory=dict)


_SIMPLE, _GUIDED = "harness.search.algorithms", "harness.search.guided"
_OPEN = "harness.search.open"
ALGORITHMS = Registry("algorithm", {
    "random": Entry(target=f"{_SIMPLE}:RandomSearch", title="Networks in random order"),
    "fixed-stop": Entry(target=f"{_SIMPLE}:FixedStop",
        title="Random search; a network that is not the best so far stops after five epochs"),
    "median-stop": Entry(target=f"{_SIMPLE}:MedianStop",
        title="Random search with the median stopping rule",
        source="Golovin et al. 2017, KDD"),
    "one-epoch": Entry(target=f"{_SIMPLE}:EpochThenBest",
        title="One epoch for all, then the best to the end",
        source="Egele et al. 2024, arXiv:2404.04111"),
    "halving": Entry(target=f"{_SIMPLE}:SuccessiveHalving", title="Successive halving by thirds",
        source="Jamieson and Talwalkar 2016, AISTATS"),
    "hyperband": Entry(target=f"{_SIMPLE}:Hyperband", title="Hyperband by thirds",
        source="Li et al. 2018, JMLR"),
    "guided": Entry(target=f"{_GUIDED}:Guided", guided=True,
        title="Expected improvement of a predictor before training"),
    "guided-early": Entry(target=f"{_GUIDED}:Guided", guided=True, options={"observed": 1},
        title="Expected improvement of a predictor after one epoch"),
    "freeze-thaw": Entry(target=f"{_GUIDED}:FreezeThaw", guided=True,
        title="Expected improvement of a predictor after zero, one, three and five epochs",
        source="Swersky et al. 2014, arXiv:1406.3896"),
    "greedy": Entry(target=f"{_GUIDED}:Guided", guided=True, options={"rank": "mean"},
        title="Highest prediction before training"),
    "greedy-early": Entry(target=f"{_GUIDED}:Guided", guided=True,
        options={"observed": 1, "rank": "mean"}, title="Highest prediction after one epoch"),
    "greedy-thaw": Entry(target=f"{_GUIDED}:FreezeThaw", guided=True, options={"rank": "mean"},
        title="Highest prediction after zero, one, three and five epochs"),
})  # fmt: skip
OPEN_ALGORITHMS = Registry("algorithm of the open track", {
    "random": Entry(target=f"{_OPEN}.algorithms:RandomDraws", title="Draws of the Markov chain"),
    "grid": Entry(target=f"{_OPEN}.algorithms:Grid",
        title="Architectures of equal blocks on a coarse grid, in random order"),
    "evolution": Entry(target=f"{_OPEN}.evolution:Evolution",
        title="Regularised evolution by mutations of layers",
        source="Real et al. 2019, arXiv:1802.01548"),
    "guided": Entry(target=f"{_OPEN}.guided:OpenGuided", guided=True,
        title="Expected improvement of a predictor among mutants of the best and draws",
        source="White et al. 2021, arXiv:1910.11858"),
    "greedy": Entry(target=f"{_OPEN}.guided:OpenGuided", guided=True, options={"rank": "mean"},
        title="Highest prediction among mutants of the best and draws"),
    "controller": Entry(target=f"{_OPEN}.controller:Controller", packages=("torch",),
        title="LSTM that draws architectures, trained by REINFORCE",
        source="Zoph and Le 2017, arXiv:1611.01578"),
})  # fmt: skip
TRACKS = Registry("track", {"pool": ALGORITHMS, "open": OPEN_ALGORITHMS})


def load_algorithm(name: str, predictor: str = PREDICTOR, track: Track = "pool") -> Algorithm:
    """Return a new algorithm; `predictor` is that of the guided ones.

    Raises:
        ValueError: If a name is unknown, or a package that is needed is not installed.
    """
    entry = TRACKS[track][name]
    if entry.packages:
        check_extra(f"algorithm {name!r}", "predictors", entry.packages)
    module, _, attribute = entry.target.partition(":")
    if entry.guided:
        from harness.predictors.registry import check_available

        check_available(predictor)
    arguments = (predictor,) if entry.guided else ()
    made = getattr(import_module(module), attribute)(*arguments, **entry.options)
    return cast("Algorithm", made)
