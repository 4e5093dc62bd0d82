"""The noise ceilings of an image set, from networks trained more than once, and their file.

There is a ceiling for each population that is scored: the test networks, estimated from the
repeated networks of the splits test and train, which are of the same population; each held-out
skeleton; and the mean over held-out skeletons. The file is `<folder>/ceiling-<images>.json`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmark.release import INSTALLED, Release
from benchmark.runs import series
from benchmark.space.imagesets import get_images, learned_above
from benchmark.tasks import was_trained
from benchmark.util.atomic import write_atomically
from benchmark.util.locks import locked_folder
from benchmark.util.strict_json import encode, read_record, refuse, to_text
from harness.metrics.registry import METRICS
from harness.results.result import HARNESS_VERSION, SCHEMA_VERSION, Target, check_version
from harness.scoring.noise_ceiling import TAU_RUNS, RepeatedNetwork, ceiling_samples, keep_learned
from harness.scoring.score_rules import STRATA, check_score
from harness.scoring.scores import Score, SeedScore, score_of
from harness.task_data import likelihood_of

ROUNDING = 1e-9  # tolerance of a score, as for rescoring
CEILING_METRICS = {"scores": ("r2", "tau"), "scores_valid_loss": ("tau",)}
SPLITS = ("train", "test", "heldout")
Group = dict[str, list[RepeatedNetwork]]  # skeleton -> networks; those of test have one key
Ceilings = Mapping[str, Mapping[str, Score]]  # stratum -> metric -> score


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The scores of a predictor that knows each network's expected accuracy before training.

    Attributes:
        schema_version: `SCHEMA_VERSION`.
        images: Name of the image set, which is part of the file's name.
        target: The predicted quantity.
        harness_version: `HARNESS_VERSION` of the harness that computed it.
        networks: Number of networks with the runs that tau needs, in each stratum. R2 is also
            computed from those with two runs.
        scores: r2 and tau by stratum. A predictor can score higher.
        scores_valid_loss: tau of the order of the final `valid_loss`, by stratum.
    """

    schema_version: int
    images: str
    target: Target
    harness_version: str
    networks: Mapping[str, int]
    scores: Ceilings
    scores_valid_loss: Ceilings

    def __post_init__(self) -> None:
        """Check the names and ranges."""
        check_version(self.schema_version)
        get_images(self.images)
        for field, expected in CEILING_METRICS.items():
            strata: Ceilings = getattr(self, field)
            if set(strata) != set(self.networks) or not set(strata) <= set(STRATA):
                rule = "strata of results, the same as in `networks`"
                refuse(field, sorted(strata), rule)
            for stratum, metrics in strata.items():
                where = f"{field}.{stratum}"
                if set(metrics) != set(expected):
                    refuse(where, sorted(metrics), f"given for {' and '.join(expected)}")
                for name, score in metrics.items():
                    single = SeedScore(score.value, score.low, score.high, None)
                    check_score(single, METRICS[name].range, 1, f"{where}.{name}")

    def tau(self, stratum: str) -> Score:
        """Return the ceiling of tau in a stratum, all None where it has none."""
        return self.scores.get(stratum, {}).get("tau", Score(None, None, None))

    def is_rankable(self, skeleton: str) -> bool:
        """Return whether a held-out skeleton's networks differ: a ceiling's interval is above 0.

        Either ceiling shows it; that of tau is wide where few networks have three runs.
        """
        lows = [score.low for score in self.scores.get(f"skeleton/{skeleton}", {}).values()]
        return any(low is not None and low > 0 for low in lows)


def ceiling_path(folder: Path, images: str) -> Path:
    """Return the path of the ceiling of an image set in a folder of results."""
    return folder / f"ceiling-{images}.json"


def write_ceiling(folder: Path, ceiling: Ceiling) -> Path:
    """Write a ceiling, replacing an earlier one, and return its path."""
    path = ceiling_path(folder, ceiling.images)
    write_atomically(path, f"{to_text(encode(ceiling))}\n")
    return path


def read_ceiling(path: Path) -> Ceiling:
    """Return a ceiling, after checking it.

    Raises:
        ValueError: If a field, a type or the file's name breaks a rule; the message starts with the
            path.
        OSError: If it cannot be read.
    """
    ceiling = read_record(path, Ceiling)
    if path.name != f"ceiling-{ceiling.images}.json":
        raise ValueError(f"{path}: `images` (={ceiling.images!r}) must be in the file's name")
    return ceiling


def ceiling_paths(folder: Path) -> list[Path]:
    """Return the paths of all ceilings of a folder of results."""
    return sorted(folder.glob("ceiling-*.json"))


def repeated_networks(
    images: str, target: str = "valid_accuracy", release: Release = INSTALLED
) -> dict[str, Group]:
    """Return the networks with at least two runs that completed or diverged, by stratum.

    Args:
        images: Name of an image set.
        target: `valid_accuracy` or `valid_loss`, of which exp(-loss) is returned.
        release: The data; by default that of the installed package.

    Raises:
        FileNotFoundError: If a split is missing from the data.
        ValueError: If the image set is unknown.
    """
    threshold = learned_above(get_images(images).classes)
    groups: dict[str, Group] = {"test": {}, "heldout": {}}
    columns = ["architecture_id", "skeleton", "seed", "status", "valid_accuracy", "valid_loss"]
    for split in SPLITS:
        table = release.runs(images, split, columns=columns)
        table = table.filter(was_trained(table)).sort_by("seed")
        learned = series(table, "valid_accuracy")[:, -1] > threshold
        finals = series(table, target)[:, -1]
        if target == "valid_loss":
            finals = likelihood_of(finals)
        names = np.array(table["architecture_id"].to_pylist())
        skeletons = table["skeleton"].to_pylist()
        for name in np.unique(names):
            rows = np.flatnonzero(names == name)
            if len(rows) > 1:
                network = RepeatedNetwork(str(name), finals[rows], learned[rows])
                held_out = split == "heldout"
                group = groups["heldout" if held_out else "test"]
                group.setdefault(skeletons[rows[0]] if held_out else "", []).append(network)
    of_skeletons = sorted(groups["heldout"].items())
    groups |= {f"skeleton/{name}": {name: networks} for name, networks in of_skeletons}
    for stratum in ("test", "heldout"):
        kept = {key: keep_learned(networks) for key, networks in groups[stratum].items()}
        groups[f"{stratum}/learned"] = {key: networks for key, networks in kept.items() if networks}
    return {stratum: group for stratum, group in groups.items() if group}


def _scores(group: Group) -> dict[str, Score]:
    samples = ceiling_samples(*group.values())
    return {metric: score_of(values) for metric, values in samples.items()}


def build_ceiling(images: str, release: Release = INSTALLED) -> Ceiling | None:
    """Return the ceiling of an image set; None if no network was trained repeatedly.

    Raises the errors of `repeated_networks`.
    """
    groups = repeated_networks(images, "valid_accuracy", release)
    if not groups:
        return None
    of_loss = repeated_networks(images, "valid_loss", release)
    return Ceiling(
        schema_version=SCHEMA_VERSION,
        images=images,
        target="valid_accuracy",
        harness_version=HARNESS_VERSION,
        networks={stratum: _count(group) for stratum, group in groups.items()},
        scores={stratum: _scores(group) for stratum, group in groups.items()},
        scores_valid_loss={
            stratum: {"tau": _scores(group)["tau"]} for stratum, group in of_loss.items()
        },
    )


def _count(group: Group) -> int:
    return sum(len(n.finals) >= TAU_RUNS for networks in group.values() for n in networks)


def write_ceilings(
    images: Sequence[str], results: Path, release: Release = INSTALLED
) -> list[Path]:
    """Write the ceilings of image sets into a folder of results; return their paths.

    Image sets without repeated runs have no ceiling. A file that differs only by rounding is kept,
    because processors and numpy versions round differently. Raises the errors of
    `repeated_networks`.
    """
    built = [ceiling for name in images if (ceiling := build_ceiling(name, release)) is not None]
    paths = [ceiling_path(results, ceiling.images) for ceiling in built]
    for path, ceiling in zip(paths, built, strict=True):
        if not path.is_file() or not is_same(read_ceiling(path), ceiling):
            with locked_folder(results):
                write_ceiling(results, ceiling)
    return paths


def is_same(one: Ceiling, other: Ceiling) -> bool:
    """Return whether two ceilings are equal, numbers within `ROUNDING`."""
    if one.networks != other.networks:
        return False
    numbers, others = (
        np.array(
            [
                (score.value, score.low, score.high)
                for field in CEILING_METRICS
                for _, metrics in sorted(getattr(ceiling, field).items())
                for _, score in sorted(metrics.items())
            ],
            dtype=float,
        )
        for ceiling in (one, other)
    )
    equal = replace(one, scores=other.scores, scores_valid_loss=other.scores_valid_loss) == other
    return equal and bool(np.allclose(numbers, others, 0, ROUNDING, equal_nan=True))
