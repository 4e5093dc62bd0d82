"""Computes the zero-cost proxies that a release's networks lack, and adds them to its files.

Finished networks are kept line by line in a journal beside the proxies' file, so the command can be
interrupted and resumed. The release changes only at the end, when nothing is missing.
"""

import json
from contextlib import suppress
from dataclasses import asdict, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TextIO

import torch

from benchmark.manifest import read_manifest
from benchmark.proxies import SEED, Proxies, proxies_path, proxy_table, read_proxies, table_rows
from benchmark.publish.draft import check_release, explain_errors
from benchmark.publish.finish import changing_release
from benchmark.publish.versions import agreed_version
from benchmark.recipes import read_environments
from benchmark.release import Release
from benchmark.runs import write_table
from benchmark.space.imagesets import get_images
from benchmark.util.atomic import name_errors, write_atomically
from benchmark.util.locks import locked
from benchmark.util.strict_json import parse_record
from generators.campaign.published import planned_again, published_rows
from generators.environment import GENERATOR_VERSION, environment, environment_id
from generators.proxies.measure import BATCH, ProxyBatch, draw_batch, measure
from generators.training.batches import to_device
from generators.training.images import load_images
from generators.workers.planned_run import Job, Row
from generators.workers.run_options import RunOptions
from generators.workers.scheduler import run_jobs

JOURNAL = ".proxies.jsonl"  # in the folder of the image set; hidden files are in no release
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
        BlockingIOError: If another process computes proxies of the same images, or another command
            writes to the release for too long.
        OSError: As for `release_draft`.
        ChildProcessError: If a worker dies twice with the same network.
    """
    get_images(images)
    read_manifest(folder)
    published_rows(images, Release(folder), COLUMNS)  # refuses before a file is made
    journal = proxies_path(images, folder).with_name(JOURNAL)
    busy = f"another process computes proxies into {str(journal.parent)!r}; wait for it"
    state = f"nothing in {str(folder)!r} was changed; run the same command to resume"
    with explain_errors(folder, state), locked(journal, busy) as file:
        check_release(folder)
        rows = published_rows(images, Release(folder), COLUMNS)
        recipe_ids = {str(row["recipe_id"]) for _, row in rows}
        if len(recipe_ids) > 1:
            names = ", ".join(sorted(recipe_ids))
            raise ValueError(f"runs must share one recipe; these have {names}")
        wanted = {str(row["architecture_id"]): (row | {"seed": SEED}, split) for split, row in rows}
        table = read_proxies(images, folder)
        known = [] if table is None else table_rows(table)
        kept = [row for row in known if row.architecture_id in wanted]
        kept += _read_finished(file, wanted.keys() - {row.architecture_id for row in kept})
        missing = sorted(wanted.keys() - {row.architecture_id for row in kept})
        old = read_manifest(folder).version
        agreed_version(old, version, changed=bool(missing))  # refuses before the work
        runs = [planned_again(*wanted[name], Release(folder)) for name in missing]
        recipe = Release(folder).recipe(recipe_ids.pop())
        jobs = [
            Job(r, recipe, options.images_folder, options.device, options.workers) for r in runs
        ]
        keep = partial(_keep, journal, kept)
        run_jobs(jobs, replace(options, minutes=None), keep, _give_up, measure_job)
        new = proxy_table(kept)
        if table is None or not new.equals(table):
            with changing_release(folder, version) as draft:
                write_table(new, proxies_path(images, draft))
                _note_environment(draft)
        with suppress(OSError):  # one that stays is read, and removed, by the next command
            journal.unlink()
    return len(jobs)


def _read_finished(file: TextIO, names: set[str]) -> list[Proxies]:
    """Return what the journal holds of some architectures, and cut off its unfinished line."""
    content = Path(file.name).read_bytes()
    complete = content[: content.rfind(b"\n") + 1]
    file.truncate(len(complete))
    rows = [
        parse_record(line, Proxies, f"{file.name}: line {number}")
        for number, line in enumerate(complete.splitlines(), start=1)
    ]
    current = (SEED, BATCH, GENERATOR_VERSION)
    return [
        row
        for row in {row.architecture_id: row for row in rows}.values()
        if row.architecture_id in names and (row.seed, row.batch, row.generator_version) == current
    ]


def _keep(path: Path, kept: list[Proxies], row: Row) -> None:
    """Append a network's proxies to the journal, and add them to a list."""
    proxies = row["proxies"]
    assert isinstance(proxies, Proxies)
    with name_errors(path), path.open("a") as file:
        file.write(json.dumps(asdict(proxies)) + "\n")
    kept.append(proxies)


def _give_up(job: Job, reason: str) -> None:
    """End the command.

    Raises:
        ChildProcessError: Always; it says why a network was not measured.
    """
    raise ChildProcessError(
        f"network {job.run.architecture_id!r} was not measured: {reason}; run the same command to "
        "resume"
    )


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
    known = read_environments(path) if path.exists() else {}
    known[environment_id(versions)] = versions
    write_atomically(path, json.dumps(known, indent=1, sort_keys=True) + "\n")
