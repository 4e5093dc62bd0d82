"""A campaign: a folder with a plan and one file for each finished run.

All state is in files, which are written atomically. A campaign that is killed loses only the runs
that were being trained; the same command resumes it.
"""

import base64
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO, cast

from benchmark.publish.verify import bit_problems
from benchmark.recipes import RECIPES, Fields, Recipe, read_recipe_fields, read_recipes
from benchmark.schema import TRAINED_STATUSES, check_row
from benchmark.space.architectures import architecture_id, from_record
from benchmark.space.imagesets import get_images
from benchmark.util.atomic import write_atomically
from benchmark.util.locks import locked
from benchmark.util.progress import Progress
from benchmark.util.strict_json import parse_json, read_mapping
from benchmark.util.unknown_name import unknown_name
from generators.campaign.plan import Group, read_groups, read_plan, write_plan
from generators.environment import environment, environment_id
from generators.workers.job_queue import JobQueue
from generators.workers.planned_run import PlannedRun
from generators.workers.scheduler import RunOptions, run_jobs
from generators.workers.worker import Job, Row

DIGEST = "sha256"  # last field of a run file: the hash of the file without this field
PLAN, RECIPES_FILE, ENVIRONMENTS = "plan.jsonl", "recipes.json", "environments"


@dataclass(frozen=True, slots=True)
class Campaign:
    """The folder of a plan and its finished runs."""

    folder: Path

    @property
    def runs(self) -> Path:
        """Folder of the finished runs."""
        return self.folder / "runs"

    def create(self, plan: list[PlannedRun], recipes: dict[str, Recipe]) -> None:
        """Write a plan and its recipes, which are given by id."""
        self.runs.mkdir(parents=True, exist_ok=True)
        text = json.dumps({name: asdict(recipe) for name, recipe in recipes.items()}, indent=1)
        write_atomically(self.folder / RECIPES_FILE, text + "\n")
        write_plan(self.folder / PLAN, plan)

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

    def done(self) -> set[str]:
        """Return the ids of the finished runs."""
        names = [name for name in os.listdir(self.runs) if name.endswith(".json")]
        return {name.removesuffix(".json") for name in names}

    def rows(self) -> Iterator[Row]:
        """Yield the rows of the finished runs, sorted by id, with `correct` as base64.

        Raises:
            ValueError: If a run file is not valid; the message names it.
        """
        for name in sorted(self.done()):
            yield self.row(name)

    def row(self, run_id: str) -> Row:
        """Return the row of a finished run.

        Raises:
            ValueError: If its file is not valid, or holds another run; the message names it.
        """
        path = self.runs / f"{run_id}.json"
        try:
            content = path.read_text(encoding="utf-8")
            text, separator, _ = content.rpartition(f',"{DIGEST}":')
            if not separator or _add_digest(text + "}") != content:
                raise ValueError("it does not end with the digest of its content")
            row = cast(Row, parse_json(f"{text}}}".encode()))
            check_row(row)
            if row["run_id"] != run_id:
                raise ValueError(f"it holds run {row['run_id']!r}")
            _check_content(row)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(
                f"{str(path)!r} is damaged ({error}); delete it to train the run again"
            ) from error
        return row

    def store(self, row: Row) -> None:
        """Write the row of a finished run atomically."""
        text = json.dumps(row, separators=(",", ":"), allow_nan=False)
        write_atomically(self.runs / f"{row['run_id']}.json", _add_digest(text))

    def note_environment(self, versions: dict[str, str]) -> None:
        """Store the versions that a machine's runs are trained with."""
        path = self.folder / ENVIRONMENTS / f"{environment_id(versions)}.json"
        write_atomically(path, json.dumps(versions, indent=1) + "\n")

    def lock(self, shard: tuple[int, int]) -> AbstractContextManager[TextIO]:
        """Lock a shard until the context or the process ends.

        Raises:
            BlockingIOError: If another process holds the lock.
        """
        path = self.folder / f"shard-{shard[0]}-of-{shard[1]}.lock"
        busy = (
            f"another process works on shard {shard[0]}/{shard[1]} of {str(self.folder)!r}; wait "
            "for it, or give each process its own shard"
        )
        return locked(path, busy)


def _check_content(row: Row) -> None:
    """Check that the architecture and the bits of a row agree with its other fields."""
    identity = architecture_id(from_record(row["architecture"]))  # type: ignore[arg-type]
    if row["architecture_id"] != identity:
        raise ValueError(
            f"`architecture_id` is {row['architecture_id']!r} and must be {identity!r}"
        )
    images = get_images(str(row["images"]))
    bits = base64.b64decode(str(row["correct"]), validate=True)
    if row["status"] in TRAINED_STATUSES:
        for problem in bit_problems(row, bits, images):
            raise ValueError(problem)


def _add_digest(text: str) -> str:
    """Return the content of a run file, from its row as JSON: the digest is the last field."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f'{text[:-1]},"{DIGEST}":"{digest}"}}\n'


def run_campaign(campaign: Campaign, options: RunOptions) -> tuple[int, int]:
    """Train the unfinished runs; return how many were finished and how many are left.

    Raises:
        ValueError: If the plan uses a recipe that the campaign does not have.
        FileNotFoundError: If there is no plan, or images are missing.
        BlockingIOError: If another process works on the same shard.
        ConnectionError: If the engine is Ray and its cluster cannot be reached, or is lost.
    """
    folder = options.images_folder.absolute()  # other machines have other working directories
    plan = campaign.plan(options.shard)
    recipes = campaign.recipes()
    for name in {run.recipe_id for run in plan} - recipes.keys():
        raise ValueError(f"{unknown_name('recipe', name, recipes)} of {str(campaign.folder)!r}")
    with campaign.lock(options.shard):
        done = campaign.done()
        todo = [run for run in plan if run.run_id not in done]
        jobs = [
            Job(r, recipes[r.recipe_id], folder, options.device, options.workers)
            for r in todo[: options.limit]
        ]
        campaign.note_environment(environment())
        if options.engine == "ray":
            finished = _run_on_ray(campaign, jobs, options)
        else:
            finished = run_jobs(jobs, options, campaign.store)
    return finished, len(todo) - finished


def _run_on_ray(campaign: Campaign, jobs: list[Job], options: RunOptions) -> int:
    """Run jobs on a Ray cluster; return how many finished.

    Raises:
        ValueError: If Ray is not installed; the message says how to install it.
    """
    try:
        from generators.workers.ray_cluster import RayCluster
    except ModuleNotFoundError as error:
        raise ValueError(
            f"the engine 'ray' needs the package {error.name!r}; install it with "
            "`pip install 'peephole-bench[ray]'`"
        ) from error
    queue = JobQueue(campaign.store, Progress("networks", len(jobs)), options.minutes, jobs[::-1])
    return RayCluster(queue, options, campaign.note_environment).drain()


def release_recipes() -> dict[str, Recipe]:
    """Return the recipes of this release by id."""
    return {recipe.recipe_id: recipe for recipe in RECIPES.values()}
