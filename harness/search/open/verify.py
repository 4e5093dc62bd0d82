"""Checks a stored result of the open track."""

from dataclasses import replace

from benchmark.space.architectures import architecture_id
from benchmark.util.strict_json import encode, refuse
from harness.results.result import environment
from harness.search.open.result import Draws, OpenResult, open_scores
from harness.search.open.session import CheckedSurrogate
from harness.search.open.space import Space
from harness.search.result import check_choices, check_scores

NEAR = 0.002  # how much the surrogate may differ between processors


def is_near(one: object, other: object) -> bool:
    """Return whether two JSON values are the same, their numbers up to `NEAR`.

    >>> is_near({"a": [0.5, "x"]}, {"a": [0.501, "x"]}), is_near([0.5], [0.51]), is_near([], [1])
    (True, False, False)
    """
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= NEAR
    if isinstance(one, dict) and isinstance(other, dict):
        return is_near(list(one.items()), list(other.items()))
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(is_near, one, other))
    return one == other


def check_open_result(
    stored: OpenResult, space: Space, surrogate: CheckedSurrogate, draws: Draws
) -> None:
    """Compute the scores of a result again from its trainings, the data and the surrogate.

    The surrogate's values are compared where scikit-learn is the version that the result was made
    with, and up to `NEAR`, as processors round differently; of the choices, those that were last,
    as the others are known by their ids alone.

    Raises:
        ValueError: If a field breaks a rule or does not follow.
    """
    if stored.budget.unit != "epochs":
        refuse("budget.unit", stored.budget.unit, "epochs")
    of_space: dict[str, object] = {"images": space.images.name, "skeletons": space.shares}
    for field, right in of_space.items():
        if getattr(stored, field) != right:
            refuse(field, getattr(stored, field), f"{right!r}, that of the space")
    check_choices(stored.choices, stored.budget)
    for field in ("accuracies", "found"):
        if len(getattr(stored, field)) != len(stored.choices):
            raise ValueError(f"`{field}` must have one entry for each repeat")
    last = [made[-1] for made in stored.choices]
    if [architecture_id(a) for a in stored.found] != [choice.architecture_id for choice in last]:
        raise ValueError("`found` must have the last choice of each repeat")
    again = replace(
        stored,
        **open_scores(
            stored.choices, stored.accuracies, stored.draws, stored.budget, surrogate.epochs
        ),
    )
    check_scores(stored, again, "accuracy", "spent_epochs")
    if stored.environment.sklearn != environment().sklearn:
        return
    for name, made in (("surrogate", surrogate.check), ("draws", draws)):
        if not is_near(encode(getattr(stored, name)), encode(made)):
            raise ValueError(f"`{name}` does not follow from the data")
    for architecture, choice in zip(stored.found, last, strict=True):
        value = surrogate.value_as_trained(architecture)
        if not is_near(value, choice.value):
            refuse("choices", choice, f"of the value {value:.6f}, as the data says")
