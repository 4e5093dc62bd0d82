"""A campaign: a folder with a plan and one file for each finished run.

All state is in files, which are written atomically. A campaign that is killed loses only the runs
that were being trained; the same command resumes it.
"""

import filecmp
import json
import math
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmark.recipes import RECIPES, Fields, Recipe, read_recipe_fields, read_recipes
from benchmark.util.atomic import replacing, write_atomically
from benchmark.util.locks import locked
from benchmark.util.strict_json import read_mapping
from generators.campaign.plan import Group, read_groups, read_plan, write_plan
from generators.campaign.run_files import (
    SUFFIX,
    RunFiles,
    is_accident,
    look_at_files,
    read_row,
    row_text,
)
from generators.environment import environment_id
from generators.workers.planned_run import Job, PlannedRun, Row

PLAN, PURPOSE = "plan.jsonl", "purpose.txt"
RECIPES_FILE, ENVIRONMENTS = "recipes.json", "environments"
GUARD = "campaign.lock"  # held while a plan is written, or while the lock of a shard is taken


@dataclass(frozen=True, slots=True)
class Campaign:
    """The folder of a plan and its finished runs."""

    folder: Path

    @property
    def runs(self) -> Path:
        """Folder of the finished runs."""
        return self.folder / "runs"

    @property
    def failures_folder(self) -> Path:
        """Folder with the reason of each run that an accident of the machine ended, by id."""
        return self.folder / "failures"

    @property
    def purpose(self) -> str:
        """What the campaign was planned for, as `create` got it."""
        path = self.folder / PURPOSE
        return path.read_text().strip() if path.exists() else "release"

    def create(
        self, plan: list[PlannedRun], recipes: dict[str, Recipe], purpose: str = "release"
    ) -> None:
        """Write a plan and its recipes, which are given by id; a plan is never replaced.

        `purpose` is "release", "pilot" or "calibration".

        Raises:
            ValueError: If the folder holds another plan.
        """
        self.runs.mkdir(parents=True, exist_ok=True)
        path, recipes_file = self.folder / PLAN, self.folder / RECIPES_FILE
        with locked(self.folder / GUARD), replacing(path) as draft:
            write_plan(draft, plan)
            if path.exists() and not filecmp.cmp(path, draft, shallow=False):
                raise ValueError(
                    f"{str(path)!r} is another plan, and a plan is never replaced; choose "
                    "another folder"
                )
            known = self.recipes_json() if recipes_file.exists() else {}
            new: dict[str, Fields] = {n: asdict(r) for n, r in recipes.items() if n not in known}
            if new or not known:
                write_atomically(recipes_file, json.dumps(known | new, indent=1) + "\n")
            if purpose != "release":
                write_atomically(self.folder / PURPOSE, purpose + "\n")

    def plan(self, shard: tuple[int, int] = (1, 1)) -> list[PlannedRun]:
        """Return the planned runs of a shard, in the order of the plan."""
        return read_plan(self.folder / PLAN, shard)

    def groups(self) -> dict[str, Group]:
        """Return the group of every planned run, by run id."""
        return read_groups(self.folder / PLAN)

    def recipes_json(self) -> dict[str, Fields]:
        """Return the recipes by id, each as a dictionary."""
        return read_recipe_fields(self.folder / RECIPES_FILE)

    def environments_json(self) -> dict[str, Fields]:
        """Return the environments that runs were trained in, by id."""
        files = sorted((self.folder / ENVIRONMENTS).glob("*.json"))
        return {file.stem: read_mapping(file, str) for file in files}

    def recipes(self) -> dict[str, Recipe]:
        """Return the recipes by id."""
        return read_recipes(self.folder / RECIPES_FILE)

    def files(self, names: Iterable[str] | None = None) -> RunFiles:
        """Return what the run files of some ids, or all, are."""
        return look_at_files(self.runs, names)

    def done(self) -> set[str]:
        """Return the ids of the finished runs."""
        return self.files().done

    def failures(self, files: RunFiles) -> dict[str, str]:
        """Return the reasons of the runs that could not be trained, by id, from `files()`."""
        notes = sorted(self.failures_folder.glob("*.txt"))
        known = files.accidents | {
            path.stem: path.read_text(errors="replace").strip() for path in notes
        }
        return {name: reason for name, reason in known.items() if name not in files.done}

    def rows(self) -> Iterator[Row]:
        """Yield the rows of the finished runs, sorted by id, with `correct` as base64.

        Raises:
            ValueError: If a run file is not valid; the message names it.
        """
        for path in sorted(self.runs.glob(f"*{SUFFIX}"), key=lambda path: path.stem):
            row = read_row(path)
            if not is_accident(row):
                yield row

    def row(self, run_id: str) -> Row:
        """Return the row of a finished run.

        Raises:
            ValueError: If its file is not valid, or holds another run; the message names it.
        """
        return read_row(self.runs / f"{run_id}{SUFFIX}")

    def store(self, row: Row) -> None:
        """Write the row of a finished run atomically."""
        write_atomically(self.runs / f"{row['run_id']}{SUFFIX}", row_text(row))
        self._note(str(row["run_id"])).unlink(missing_ok=True)

    def note_failure(self, job: Job, reason: str) -> None:
        """Note why a run could not be trained; the same command tries it again."""
        write_atomically(self._note(job.run.run_id), reason + "\n")

    def _note(self, run_id: str) -> Path:
        return self.failures_folder / f"{run_id}.txt"

    def note_environment(self, versions: dict[str, str]) -> None:
        """Store the versions that a machine's runs are trained with."""
        path = self.folder / ENVIRONMENTS / f"{environment_id(versions)}.json"
        write_atomically(path, json.dumps(versions, indent=1) + "\n")

    @contextmanager
    def lock(self, shard: tuple[int, int]) -> Iterator[None]:
        """Lock a shard until the context or the process ends.

        Raises:
            BlockingIOError: If another process holds the lock of a shard with some of its runs.
        """
        index, count = shard
        place = f"another process works on shard {{}}/{{}} of {str(self.folder)!r}"
        advice = "wait for it, or give each process its own shard"
        with ExitStack() as held:
            with locked(self.folder / GUARD):
                for path in sorted(self.folder.glob("shard-*-of-*.lock")):
                    match = re.fullmatch(r"shard-(\d+)-of-(\d+)\.lock", path.name)
                    other, parts = map(int, match.groups()) if match else shard
                    if (other, parts) != shard and (index - other) % math.gcd(count, parts) == 0:
                        both = f"which has runs of {index}/{count}; {advice} of the same number"
                        with locked(path, f"{place.format(other, parts)}, {both}"):
                            pass
                own = self.folder / f"shard-{index}-of-{count}.lock"
                held.enter_context(locked(own, f"{place.format(index, count)}; {advice}"))
            yield


def release_recipes() -> dict[str, Recipe]:
    """Return the recipes of this release by id."""
    return {recipe.recipe_id: recipe for recipe in RECIPES.values()}
