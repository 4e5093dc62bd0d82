"""Shows what a predictor makes of networks and layers in the terminal."""

from collections.abc import Iterator
from dataclasses import asdict

from benchmark.space.layer_walk import layer_word
from benchmark.util.text import quantity
from harness.features.units import Unit
from harness.scoring.scores import score_text
from harness.studies.learned_features import FeatureStudy, map_to_plane


def features_record(study: FeatureStudy) -> dict[str, object]:
    """Return a study as an object of JSON, with the place of each network in a t-SNE."""
    units, ids = study.units, study.architecture_ids
    numbers = (study.accuracy, study.nearby, *map_to_plane(study.features).T)
    columns = (ids, study.skeletons, *(values.tolist() for values in numbers))
    keys = ("architecture_id", "skeleton", "accuracy", "nearby", "x", "y")
    names = ("predictor", "task", "seed", "fitted", "neighbours")
    return {
        **{name: getattr(study, name) for name in names},
        "agreements": [{"by": found.by, **asdict(found.tau)} for found in study.agreements],
        "networks": [dict(zip(keys, row, strict=True)) for row in zip(*columns, strict=True)],
        "auc": units.auc.tolist(),
        "best_units": [asdict(unit) for unit in units.best],
        "shown": {
            "architecture_id": ids[study.shown],
            "layers": [layer_word(row) for row in units.rows],
            "values": units.values.tolist(),
        },
    }


def features_lines(study: FeatureStudy) -> Iterator[str]:
    """Yield the lines that show a study, in 80 columns."""
    units, networks = study.units, len(study.accuracy)
    yield (
        f"{study.predictor} on {study.task}: {quantity(networks, 'test network')}; fitted on "
        f"{study.fitted} others, seed {study.seed}"
    )
    yield ""
    yield f"how the mean accuracy of a network's {study.neighbours} nearest orders the networks"
    yield f"{'nearest by':36}{'tau [95 %]':>23}"
    *nearest, prediction = study.agreements
    for found in nearest:
        yield f"  {found.by:34}{score_text(found.tau, 3):>23}"
    yield f"{prediction.by:36}{score_text(prediction.tau, 3):>23}"
    yield ""
    levels, width = units.auc.shape
    yield (
        f"units of {levels} x {width} that best tell convolutions from others of "
        f"{units.layers:,} layers: AUC"
    )
    for unit in units.best:
        side = "higher" if unit.auc > 0.5 else "lower"
        yield f"  {unit_name(unit):20}{unit.auc:.3f}  {side} at convolutions"
    yield ""
    yield f"their values at the layers of network {study.architecture_ids[study.shown]}"
    heads = "".join(f"{f'{unit.level}/{unit.index}':>9}" for unit in units.best)
    yield f"  {'level/unit':12}{heads}"
    for row, values in zip(units.rows, units.values, strict=True):
        numbers = "".join(f"{values[unit.level, unit.index]:9.3f}" for unit in units.best)
        yield f"  {layer_word(row):12}{numbers}"


def unit_name(unit: Unit) -> str:
    """Return the level of a unit, and its place in it, both counted from 0."""
    return f"level {unit.level}, unit {unit.index}"
