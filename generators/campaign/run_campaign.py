"""Trains the unfinished runs of a campaign, on this machine or on a Ray cluster."""

import sys
from collections.abc import Callable
from typing import NamedTuple

from benchmark.util.progress import Progress
from benchmark.util.unknown_name import unknown_name
from generators.campaign.campaign import Campaign
from generators.environment import environment
from generators.workers.job_queue import MISTAKES_ALLOWED, JobQueue
from generators.workers.planned_run import Job
from generators.workers.run_options import RunOptions
from generators.workers.scheduler import run_jobs


class Outcome(NamedTuple):
    """What one command did: numbers of finished and left runs, and why others failed, by id."""

    finished: int
    left: int
    failures: dict[str, str]


def run_campaign(campaign: Campaign, options: RunOptions) -> Outcome:
    """Train the unfinished runs; those that failed before come last.

    Runs whose files are damaged are trained again, and the files are named on stderr.

    Raises:
        ValueError: If the plan uses a recipe that the campaign does not have.
        FileNotFoundError: If there is no plan, or images are missing.
        BlockingIOError: If another process works on a shard with some of the same runs.
        ConnectionError: If the engine is Ray and its cluster cannot be reached, or is lost.
        Exception: The third error of our code without a finished run in between.
    """
    folder = options.images_folder.absolute()  # other machines have other working directories
    plan = campaign.plan(options.shard)
    recipes = campaign.recipes()
    for name in {run.recipe_id for run in plan} - recipes.keys():
        raise ValueError(f"{unknown_name('recipe', name, recipes)} of {str(campaign.folder)!r}")
    with campaign.lock(options.shard):
        files = campaign.files(run.run_id for run in plan)
        for path in files.damaged:
            sys.stderr.write(f"{path} is damaged; its run is trained again\n")
        earlier = campaign.failures(files)
        todo = [run for run in plan if run.run_id not in files.done]
        todo.sort(key=lambda run: run.run_id in earlier)
        jobs = [
            Job(r, recipes[r.recipe_id], folder, options.device, options.workers)
            for r in todo[: options.limit]
        ]
        campaign.note_environment(environment())
        failures: dict[str, str] = {}

        def fail(job: Job, reason: str) -> None:
            campaign.note_failure(job, reason)
            failures[job.run.run_id] = reason

        if options.engine == "ray" and jobs:
            finished = _run_on_ray(campaign, jobs, fail, options)
        else:
            finished = run_jobs(
                jobs, options, campaign.store, fail, mistakes_allowed=MISTAKES_ALLOWED
            )
    return Outcome(finished, len(todo) - finished, failures)


def _run_on_ray(
    campaign: Campaign, jobs: list[Job], fail: Callable[[Job, str], None], options: RunOptions
) -> int:
    """Run jobs on a Ray cluster; return how many finished."""
    from generators.workers.ray_cluster import RayCluster

    progress = Progress("networks", len(jobs))
    queue = JobQueue(campaign.store, fail, progress, options.minutes, jobs[::-1])
    queue.mistakes_allowed = MISTAKES_ALLOWED
    return RayCluster(queue, options, campaign.note_environment).drain()
