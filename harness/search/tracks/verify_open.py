"""Checks a stored result of the open track."""

from dataclasses import replace

from benchmark.space.architectures import Architecture, architecture_id
from benchmark.space.sampler import as_trained, widths_of
from benchmark.space.skeletons import get_skeleton
from benchmark.util.strict_json import encode, refuse
from harness.search.open.result import OpenResult, open_scores
from harness.search.open.setting import OpenSetting
from harness.search.open.space import Space
from harness.search.result import check_choices, check_scores

NEAR = 0.002  # how much the surrogate may differ between processors
MOST = 10_000  # channels of a layer, far above those of any network


def check_open_result(stored: OpenResult, space: Space, epochs: int) -> None:
    """Compute the scores of a result again from its choices and trainings.

    Args:
        stored: The result.
        space: The space that it must be from.
        epochs: Number of epochs of a training.

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
    most = int(stored.budget.amount) // epochs
    for trainings in stored.accuracies:
        if len(trainings) > most:
            refuse("accuracies", len(trainings), f"at most {most} in a repeat, within the budget")
    numbers = {
        "choices": [choice.value for made in stored.choices for choice in made],
        "accuracies": [accuracy for trainings in stored.accuracies for accuracy in trainings],
    }
    for field, values in numbers.items():
        for value in values:
            if not 0 <= value <= 1:
                refuse(field, value, "in [0, 1]")
    for architecture in stored.found:
        _check_found(architecture, space)
    last = [made[-1].architecture_id for made in stored.choices]
    if [architecture_id(architecture) for architecture in stored.found] != last:
        raise ValueError("`found` must have the last choice of each repeat")
    scores = open_scores(stored.choices, stored.accuracies, stored.draws, stored.budget, epochs)
    check_scores(stored, replace(stored, **scores), "accuracy", "spent_epochs")


def _check_found(architecture: Architecture, space: Space) -> None:
    """Check skeleton, widths and sizes of an architecture as it is trained."""
    name = architecture.skeleton
    if name not in space.shares:
        refuse("found", name, f"of a skeleton in {', '.join(space.shares)}")
    drawn = widths_of(get_skeleton(name), space.images)
    if len(architecture.blocks) != get_skeleton(name).blocks_per_stage * len(drawn):
        refuse("found", len(architecture.blocks), f"of the number of blocks of {name!r}")
    widths = as_trained(replace(architecture, widths=drawn), space.images).widths
    if architecture.widths != widths:
        refuse("found", architecture.widths, f"of the widths {widths}")
    for layer in (layer for block in architecture.blocks for layer in block.layers):
        sizes = layer.kernel_height, layer.kernel_width, layer.channels
        if not all(0 < size <= MOST for size in sizes):
            refuse("found", layer, f"of layers with sizes in 1..{MOST:,}")


def check_surrogate(stored: OpenResult, setting: OpenSetting) -> None:
    """Compute the surrogate, the draws and the values of the last choices again, up to `NEAR`.

    Raises:
        ValueError: If one does not follow from the data.
    """
    for name, made in (("surrogate", setting.surrogate.check), ("draws", setting.draws)):
        if not is_near(encode(getattr(stored, name)), encode(made)):
            raise ValueError(f"`{name}` does not follow from the data")
    for architecture, choices in zip(stored.found, stored.choices, strict=True):
        value = setting.surrogate.value_as_trained(architecture)
        if not is_near(value, choices[-1].value):
            refuse("choices", choices[-1], f"of the value {value:.6f}, as the data says")


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
