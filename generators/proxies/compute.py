"""Computes the zero-cost proxies that a release's networks lack, and adds them to its files.

Finished networks are kept line by line in a journal beside the proxies' file, so the command can be
interrupted and resumed. The release changes only at the end, when nothing is missing.
"""

import json
from dataclasses import asdict, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TextIO

import torch

from benchmark.manifest import is_signed, read_manifest
from benchmark.proxies import SEED, Proxies, proxies_path, proxy_table, read_proxies, table_rows
from benchmark.publish.finish import finish_release
from benchmark.publish.versions import agreed_version
from benchmark.recipes import read_recipes
from benchmark.release import Release
from benchmark.runs import write_table
from benchmark.space.imagesets import get_images
from benchmark.util.atomic import write_atomically
from benchmark.util.locks import locked
from generators.campaign.published import planned_again, published_rows
from generators.environment import GENERATOR_VERSION, environment, environment_id
from generators.proxies.measure import BATCH, ProxyBatch, draw_batch, measure
from generators.training.batches import to_device
from generators.training.images import load_images
from generators.workers.scheduler import RunOptions, run_jobs
from generators.workers.worker import Job, Row

JOURNAL = "proxies.jsonl.part"  # in the folder of the image set; no release counts `.part` files
COLUMNS = (
    "architecture_id", "architecture", "drawn_architecture_id", "draw_index",
    "paired_architecture_id", "recipe_id",
)  # fmt: skip


def add_proxies(images: str, folder: Path, options: RunOptions, version: str | None = None) -> int:
    """Compute what the architectures of a release lack, and add it; return how many were computed.

    Of `options`, the images' folder, the device and `workers`, the networks to measure at the same
    time, are used. Without a `version`, the minor number is raised if anything is new.

    Raises:
        FileNotFoundError: If the folder holds no release or no runs on these images.
        ValueError: If the images are not known, a file is damaged, the runs have several recipes,
            or something is missing and the version is not a higher one.
        BlockingIOError: If another process computes proxies of the same images.
        ChildProcessError: If a worker dies twice with the same network.
    """
    get_images(images)
    old = read_manifest(folder)
    rows = published_rows(images, Release(folder), COLUMNS)
    recipe_ids = {str(row["recipe_id"]) for _, row in rows}
    if len(recipe_ids) > 1:
        names = ", ".join(sorted(recipe_ids))
        raise ValueError(f"runs must share one recipe; these have {names}")
    recipes = read_recipes(folder / "recipes.json")
    wanted = {str(row["architecture_id"]): (row | {"seed": SEED}, split) for split, row in rows}
    table = read_proxies(images, folder)
    kept = [] if table is None else [p for p in table_rows(table) if p.architecture_id in wanted]
    path = proxies_path(images, folder)
    busy = f"another process computes proxies into {str(path.parent)!r}; wait for it"
    with locked(path.with_name(JOURNAL), busy) as file:
        kept += _read_finished(file, wanted.keys() - {row.architecture_id for row in kept})
        missing = sorted(wanted.keys() - {row.architecture_id for row in kept})
        agreed_version(old.version, version, changed=bool(missing))  # refuses before the work
        runs = [planned_again(*wanted[name], recipes) for name in missing]
        jobs = [
            Job(r, recipes[r.recipe_id], options.images_folder, options.device, options.workers)
            for r in runs
        ]
        run_jobs(jobs, replace(options, minutes=None), partial(_keep, file, kept), measure_job)
        new = proxy_table(kept)
        if table is None or not new.equals(table):
            write_table(new, path)
            _note_environment(folder)
        if not is_signed(path, folder):  # last, when all that describes the file exists
            finish_release(folder, version)
        path.with_name(JOURNAL).unlink()
    return len(jobs)


def _read_finished(file: TextIO, names: set[str]) -> list[Proxies]:
    """Return what the journal holds of some architectures, and cut off its unfinished line."""
    file.seek(0)
    text = file.read()
    complete = text[: text.rfind("\n") + 1]
    file.truncate(len(complete))
    rows = [Proxies(**json.loads(line)) for line in complete.splitlines()]
    current = (SEED, BATCH, GENERATOR_VERSION)
    return [
        row
        for row in {row.architecture_id: row for row in rows}.values()
        if row.architecture_id in names and (row.seed, row.batch, row.generator_version) == current
    ]


def _keep(file: TextIO, kept: list[Proxies], row: Row) -> None:
    """Write a network's proxies to the journal, and add them to a list.

    Raises:
        ChildProcessError: If the row says that the worker died.
    """
    proxies = row.get("proxies")
    if not isinstance(proxies, Proxies):
        raise ChildProcessError(
            f"network {row['architecture_id']!r} was not measured: {row['status_reason']}; run the "
            "same command to resume"
        )
    file.write(json.dumps(asdict(proxies)) + "\n")
    file.flush()
    kept.append(proxies)


def measure_job(job: Job) -> Row:
    """Measure a network, in a worker; return its proxies with the status that schedulers read."""
    batch = _load_batch(job.recipe.images, job.folder, job.device)
    proxies = measure(job.run.architecture, job.recipe, batch)
    return {"status": "completed", "proxies": proxies}


@lru_cache(maxsize=1)
def _load_batch(images: str, folder: Path, device: str) -> ProxyBatch:
    """Return the batch, drawn once in each process."""
    return draw_batch(to_device(load_images(images, folder), torch.device(device)))


def _note_environment(folder: Path) -> None:
    """Store the versions that this machine's proxies are computed with, by id."""
    path, versions = folder / "environments.json", environment()
    known = json.loads(path.read_text()) if path.exists() else {}
    known[environment_id(versions)] = versions
    write_atomically(path, json.dumps(known, indent=1, sort_keys=True) + "\n")
