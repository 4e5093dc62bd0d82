"""Campaigns: a plan, workers that make its runs, and files that say what is done.

State is files alone. Each finished run is one file, written whole or not at all, so a campaign that
is killed at any point loses only what was in flight, and the same command goes on.
"""

import fcntl
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path

from benchmark.progress import Progress
from benchmark.recipes import RECIPES, Recipe
from benchmark.record import check_row
from generators.environment import environment, environment_id
from generators.plan import PlannedRun, read_plan, write_plan
from generators.worker import Job, failed_row, make_run, prepare

PLAN, RECIPES_FILE, ENVIRONMENTS = "plan.jsonl", "recipes.json", "environments"
CRASHES_ALLOWED = 1  # a run whose worker dies is tried once more, then stored as failed
BUDGET_MARGIN = 1.3  # over the slowest seconds per cost seen, when asking if a run still fits


@dataclass(frozen=True, slots=True)
class Campaign:
    """A folder that holds a plan and its results."""

    folder: Path

    @property
    def runs(self) -> Path:
        """Folder of the finished runs."""
        return self.folder / "runs"

    def create(self, plan: list[PlannedRun], recipes: dict[str, Recipe]) -> None:
        """Write a plan and its recipes, by recipe id."""
        self.runs.mkdir(parents=True, exist_ok=True)
        text = json.dumps({name: asdict(recipe) for name, recipe in recipes.items()}, indent=1)
        write_text(self.folder / RECIPES_FILE, text + "\n")
        write_plan(self.folder / PLAN, plan)

    def plan(self) -> list[PlannedRun]:
        """Return the planned runs, in order."""
        return read_plan(self.folder / PLAN)

    def recipes_json(self) -> dict[str, dict[str, object]]:
        """Return the recipes by id, as plain fields."""
        known: dict[str, dict[str, object]] = json.loads((self.folder / RECIPES_FILE).read_text())
        return known

    def environments_json(self) -> dict[str, dict[str, object]]:
        """Return the environments that runs were made in, by id."""
        files = sorted((self.folder / ENVIRONMENTS).glob("*.json"))
        return {file.stem: json.loads(file.read_text()) for file in files}

    def recipes(self) -> dict[str, Recipe]:
        """Return the recipes by id."""
        known = self.recipes_json().items()
        return {name: Recipe(**fields) for name, fields in known}  # type: ignore[arg-type]

    def done(self) -> set[str]:
        """Return the ids of the finished runs."""
        return {path.stem for path in self.runs.glob("*.json")}

    def rows(self) -> Iterator[dict[str, object]]:
        """Yield the rows of the finished runs, sorted by id, with `correct` as base64.

        Raises:
            ValueError: If a file is no row of the record; the message names it.
        """
        for path in sorted(self.runs.glob("*.json")):
            try:
                row = json.loads(path.read_text())
                check_row(row)
            except ValueError as error:
                raise ValueError(
                    f"{str(path)!r} is damaged ({error}); delete it to redo it"
                ) from error
            yield row

    def store(self, row: dict[str, object]) -> None:
        """Write a finished run, whole or not at all."""
        text = json.dumps(row, separators=(",", ":"), allow_nan=False)
        write_text(self.runs / f"{row['run_id']}.json", text + "\n")

    def note_environment(self) -> None:
        """Keep the versions that this machine's runs are made with."""
        versions = environment()
        path = self.folder / ENVIRONMENTS / f"{environment_id(versions)}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(versions, indent=1) + "\n")

    @contextmanager
    def lock(self, shard: tuple[int, int]) -> Iterator[None]:
        """Hold a shard for as long as the process lives; released by the system if it dies.

        Raises:
            BlockingIOError: If another process works on the same shard.
        """
        path = self.folder / f"shard-{shard[0]}-of-{shard[1]}.lock"
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BlockingIOError(
                    f"another process is at work on shard {shard[0]}/{shard[1]} of "
                    f"{str(self.folder)!r}; wait for it, or give each process a shard of its own"
                ) from error
            yield


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to work on a campaign.

    Attributes:
        images_folder: Where the images are.
        device: Torch device of the workers.
        workers: Networks in flight, a process each.
        shard: (i, n): take every n-th run from the i-th on, from 1.
        minutes: Budget; a run that would outlast it is not started. None: no end.
        limit: Runs to make at most. None: all.
    """

    images_folder: Path
    device: str = "cpu"
    workers: int = 2
    shard: tuple[int, int] = (1, 1)
    minutes: float | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        index, count = self.shard
        if not 1 <= index <= count:
            raise ValueError(f"`shard` (={index}/{count}) must be i/n with 1 <= i <= n")
        if self.workers < 1:
            raise ValueError(f"`workers` (={self.workers}) must be at least 1")


@dataclass(slots=True)
class Crew:
    """The workers of one process and what they have in hand."""

    campaign: Campaign
    options: RunOptions
    train: Callable[[Job], dict[str, object]] = make_run
    started: float = field(default_factory=time.monotonic)
    seconds_per_cost: float = 0.0
    crashes: dict[str, int] = field(default_factory=dict)

    def work(self, jobs: list[Job], progress: Progress) -> int:
        """Make runs until none is left or the budget ends; return how many were made."""
        waiting, made = list(reversed(jobs)), 0
        while waiting:
            in_hand: dict[Future[dict[str, object]], tuple[Job, float]] = {}
            try:
                with self._pool() as pool:
                    while self._fill(pool, waiting, in_hand):
                        made += self._collect(in_hand, progress)
                return made
            except BrokenProcessPool:
                waiting += self._crashed([job for job, _ in in_hand.values()], progress)
        return made

    def _pool(self) -> ProcessPoolExecutor:
        spawn = get_context("spawn")
        return ProcessPoolExecutor(self.options.workers, spawn, initializer=prepare)

    def _fill(
        self,
        pool: ProcessPoolExecutor,
        waiting: list[Job],
        in_hand: dict[Future[dict[str, object]], tuple[Job, float]],
    ) -> bool:
        """Give idle workers what still fits the budget; return whether anything is in hand."""
        while waiting and len(in_hand) < self.options.workers and self._fits(waiting[-1]):
            job = waiting.pop()
            in_hand[pool.submit(self.train, job)] = job, time.monotonic()
        return bool(in_hand)

    def _fits(self, job: Job) -> bool:
        if self.options.minutes is None:
            return True
        left = self.started + 60 * self.options.minutes - time.monotonic()
        return left > max(0.0, job.run.cost * self.seconds_per_cost * BUDGET_MARGIN)

    def _collect(
        self, in_hand: dict[Future[dict[str, object]], tuple[Job, float]], progress: Progress
    ) -> int:
        """Wait for a run to end and store it; return how many ended."""
        ended, _ = wait(in_hand, return_when=FIRST_COMPLETED)
        for future in ended:
            row = future.result()
            job, began = in_hand.pop(future)
            self.campaign.store(row)
            rate = (time.monotonic() - began) / job.run.cost
            self.seconds_per_cost = max(self.seconds_per_cost, rate)
            progress.advance()
        return len(ended)

    def _crashed(self, jobs: list[Job], progress: Progress) -> list[Job]:
        """Return what to try again after a worker died; store as failed what died too often."""
        again = []
        for job in jobs:
            count = self.crashes.get(job.run.run_id, 0) + 1
            self.crashes[job.run.run_id] = count
            if count <= CRASHES_ALLOWED:
                again.append(job)
            else:
                reason = f"the worker process died {count} times"
                self.campaign.store(failed_row(job, reason))
                progress.advance()
        return again


def run_campaign(campaign: Campaign, options: RunOptions) -> tuple[int, int]:
    """Make what is not done; return how many runs were made and how many are left.

    Raises:
        FileNotFoundError: If there is no plan, or images are missing.
        BlockingIOError: If another process works on the same shard.
    """
    index, count = options.shard
    plan = campaign.plan()[index - 1 :: count]
    recipes = campaign.recipes()
    with campaign.lock(options.shard):
        done = campaign.done()
        todo = [run for run in plan if run.run_id not in done]
        jobs = [
            Job(r, recipes[r.recipe_id], options.images_folder, options.device, options.workers)
            for r in todo[: options.limit]
        ]
        campaign.note_environment()
        made = Crew(campaign, options).work(jobs, Progress("networks", len(jobs)))
    return made, len(todo) - made


def release_recipes() -> dict[str, Recipe]:
    """Return the recipes of this release by id."""
    return {recipe.recipe_id: recipe for recipe in RECIPES.values()}
