"""What a search asks of stored runs, and a ledger of what it would have spent to train them.

Nothing is trained, and nothing that chooses a run has a default. Seconds are those of the column
`epoch_seconds`: measured on the machine that trained the run, its `device`, for training and
evaluation, while other work used the machine's other cores. Compare seconds of one device; epochs
can be compared everywhere.
"""

from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from pathlib import Path

from benchmark.release import INSTALLED, Release
from benchmark.stored_runs import Measurement, StoredRuns, check_seed, stored_runs
from benchmark.util.strict_json import refuse
from benchmark.util.unknown_name import check_type


class BudgetError(ValueError):
    """A query would exceed a limit of its ledger; nothing was spent."""


def query(
    network: str, *, images: str, epochs: int, seed: int, release: Release | Path | str = INSTALLED
) -> Measurement:
    """Return a stored run up to an epoch; the cost is that of training it from the start.

    Args:
        network: Id of an architecture, or its first digits.
        images: Name of an image set, such as "cifar10".
        epochs: Epochs that the network is trained for, from 1 to those of its recipe.
        seed: Seed of the run. In the release every network has seed 0, and some have others.
        release: The data, or its folder; by default that of the installed package.

    Raises:
        FileNotFoundError: If the release has no runs on the image set.
        TypeError: If an argument is of another type.
        ValueError: If the images, the network or the seed are unknown, the epochs are out of range,
            or the run has no series, as it failed or ran out of memory.
    """
    return trajectory(network, images=images, epochs=epochs, seed=seed, release=release)[-1]


def trajectory(
    network: str, *, images: str, epochs: int, seed: int, release: Release | Path | str = INSTALLED
) -> tuple[Measurement, ...]:
    """Return what `query` returns for each number of epochs from 1 to the one given.

    Arguments and errors are those of `query`.
    """
    return stored_runs(images, release).find(network, seed, epochs)


@dataclass(slots=True, kw_only=True, eq=False)
class Ledger:
    """Adds up what a search spends on the networks of an image set, trained with one seed.

    A network is trained on from where it is: each of its epochs is paid once, and costs nothing
    when it is asked for again.

    Attributes:
        images: Name of an image set, such as "cifar10".
        seed: Seed of the runs.
        max_epochs: Most epochs that may be spent; None: no limit. A query must be within it even if
            the run turns out to diverge, which nobody knows beforehand.
        max_seconds: Most seconds that may be spent; None: no limit.
        release: The data, or its folder; by default that of the installed package.
        epochs: Epochs spent.
        seconds: Measured seconds spent.

    Raises:
        FileNotFoundError: If the release has no runs on the image set.
        TypeError: If an argument is of another type.
        ValueError: If the images or the seed are unknown, or a limit is not above 0.
    """

    images: str
    seed: int
    max_epochs: int | None = None
    max_seconds: float | None = None
    release: Release | Path | str = field(default=INSTALLED, repr=False)
    epochs: int = field(default=0, init=False)
    seconds: float = field(default=0.0, init=False)
    _runs: StoredRuns = field(init=False, repr=False)
    _paid: dict[str, int] = field(default_factory=dict, init=False, repr=False)  # epochs, by id

    def __post_init__(self) -> None:
        """Read the runs, and check the seed and the limits."""
        self._runs = stored_runs(self.images, self.release)
        check_seed(f"{self.images} has no run", self.seed, self._runs.seeds())
        for name, kind in (("max_epochs", Integral), ("max_seconds", Real)):
            most = getattr(self, name)
            whole = "whole " * (kind is Integral)
            check_type(name, most, (kind, type(None)), f"a {whole}number, or None")
            if most is not None and not most > 0:
                refuse(name, most, "above 0")

    @property
    def networks(self) -> tuple[str, ...]:
        """The ids of all networks that can be asked for, sorted."""
        return self._runs.networks(self.seed)

    def query(self, network: str, *, epochs: int, restart: bool = False) -> Measurement:
        """Return a run up to an epoch, and add what this costs to what is spent.

        Args:
            network: Id of an architecture, or its first digits.
            epochs: Epochs that the network is trained for, those already paid included.
            restart: Whether to pay for all epochs, as for a training from the start.

        Raises:
            BudgetError: If a limit would be exceeded; nothing is spent.
            TypeError: If an argument is of another type.
            ValueError: If the network or its run with this seed is unknown, the epochs are out of
                range, or the run has no series.
        """
        check_type("restart", restart, bool, "True or False")
        run = self._runs.find(network, self.seed, epochs)
        name, paid = run[-1].architecture_id, self._paid.get(run[-1].architecture_id, 0)
        known = () if restart else run[:paid]
        cost_epochs = run[-1].cost_epochs - sum(m.cost_epochs for m in known[-1:])
        cost_seconds = run[-1].cost_seconds - sum(m.cost_seconds for m in known[-1:])
        asked = 0 if known and known[-1].diverged else len(run) - len(known)
        for unit, most, spent, cost in (
            ("epochs", self.max_epochs, self.epochs, asked),
            ("seconds", self.max_seconds, self.seconds, cost_seconds),
        ):
            if most is not None and spent + cost > most:  # what it would cost stays unknown
                raise BudgetError(
                    f"`max_{unit}` (={most}) is not enough to train network {name!r} up to epoch "
                    f"{epochs}; {unit} spent: {round(spent, 3):,}"
                )
        self._paid[name] = max(paid, run[-1].epochs)
        self.epochs += cost_epochs
        self.seconds += cost_seconds
        return replace(
            run[-1], cost_epochs=cost_epochs, cost_seconds=cost_seconds, test_accuracy=None
        )
