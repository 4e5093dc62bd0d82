"""The budget of a search."""

from dataclasses import dataclass
from typing import Literal, get_args

from benchmark.util.strict_json import refuse
from benchmark.util.unknown_name import check_known

Unit = Literal["epochs", "seconds"]
UNITS: tuple[Unit, ...] = get_args(Unit)
POINTS = 20  # budgets at which regret is reported, evenly spaced up to the whole budget


@dataclass(frozen=True, slots=True)
class Budget:
    """What a search may spend: epochs, or measured seconds of training.

    Attributes:
        amount: How many; above 0.
        unit: "epochs" or "seconds".
    """

    amount: float
    unit: Unit = "epochs"

    def __post_init__(self) -> None:
        """Check unit and amount."""
        check_known("unit", self.unit, UNITS)
        if not 0 < self.amount < 1e12:
            refuse("budget", self.amount, "above 0 and finite")
        if self.unit == "epochs" and self.amount != int(self.amount):
            refuse("budget", self.amount, "a whole number of epochs")

    @property
    def max_epochs(self) -> int | None:
        """The limit in epochs; None if it is one in seconds."""
        return int(self.amount) if self.unit == "epochs" else None

    @property
    def max_seconds(self) -> float | None:
        """The limit in seconds; None if it is one in epochs."""
        return self.amount if self.unit == "seconds" else None

    def points(self) -> tuple[float, ...]:
        """Return the budgets at which regret is reported.

        >>> Budget(40).points()[:3]
        (2.0, 4.0, 6.0)
        """
        return tuple(self.amount * (point + 1) / POINTS for point in range(POINTS))
