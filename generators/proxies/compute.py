"""The proxies of all architectures of a release, computed by processes and added to its files.

What is computed is kept line by line in a file beside the destination, so that the same command
goes on after a kill; the release is changed at the end alone, when nothing is missing.
"""

import json
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import TextIO

import torch

from benchmark.manifest import is_signed, read_manifest, released_splits
from benchmark.proxies import SEED, Proxies, proxies_path, proxy_table, read_proxies, table_rows
from benchmark.publish.finish import finish_release
from benchmark.publish.versions import agreed_version
from benchmark.recipes import Recipe, read_recipes
from benchmark.release import Release
from benchmark.runs import write_table
from benchmark.space.architectures import Architecture, from_record
from benchmark.space.imagesets import get_images
from benchmark.util.atomic import write_atomically
from benchmark.util.locks import locked
from benchmark.util.progress import Progress
from generators.environment import GENERATOR_VERSION, environment, environment_id
from generators.proxies.measure import BATCH, ProxyBatch, draw_batch, measure
from generators.training.batches import to_device
from generators.training.images import load_images
from generators.workers.scheduler import RunOptions
from generators.workers.worker import prepare

JOURNAL = "proxies.jsonl.part"  # in the folder of the image set; no release counts `.part` files


@dataclass(frozen=True, slots=True)
class ProxyJob:
    """What a worker is given to measure a network."""

    architecture: Architecture
    recipe: Recipe
    folder: Path
    device: str


def add_proxies(images: str, place: Path, options: RunOptions, version: str | None = None) -> int:
    """Compute what the architectures of a release lack, and add it; return how many were computed.

    Args:
        images: The image set.
        place: Folder of the release.
        options: Where images are, the device, and how many processes.
        version: Of the data from then on; by default, the minor number is raised if anything is
            new.

    Raises:
        FileNotFoundError: If the folder holds no release or no runs on these images.
        ValueError: If the images are not known, a file is damaged, the runs have several recipes,
            or something is missing and the version is not a higher one.
        BlockingIOError: If another process does the same.
        ChildProcessError: If a worker dies.
    """
    get_images(images)
    old = read_manifest(place)
    wanted, recipe = _wanted(images, place)
    table = read_proxies(images, place)
    kept = [] if table is None else [p for p in table_rows(table) if p.architecture_id in wanted]
    path = proxies_path(images, place)
    busy = f"another process computes proxies into {str(path.parent)!r}; wait for it"
    with locked(path.with_name(JOURNAL), busy) as file:
        kept += _finished(file, wanted.keys() - {row.architecture_id for row in kept})
        missing = sorted(wanted.keys() - {row.architecture_id for row in kept})
        agreed_version(old.version, version, changed=bool(missing))  # refused before the work
        jobs = [ProxyJob(wanted[n], recipe, options.images_folder, options.device) for n in missing]
        kept += _measure_all(jobs, options, partial(_note, file))
        new = proxy_table(kept)
        if table is None or not new.equals(table):
            write_table(new, path)
            _note_environment(place)
        if not is_signed(path, place):  # written last, so all that describes the file is there
            finish_release(place, version)
        path.with_name(JOURNAL).unlink()
    return len(jobs)


def _wanted(images: str, place: Path) -> tuple[dict[str, Architecture], Recipe]:
    """Return the architectures of a release's runs by id, and the recipe of the runs."""
    found: dict[str, Architecture] = {}
    recipes: set[str] = set()
    for split in (split for name, split in released_splits(place) if name == images):
        columns = ["architecture_id", "architecture", "recipe_id"]
        for row in Release(place).runs(images, split, columns=columns).to_pylist():
            recipes.add(row["recipe_id"])
            if row["architecture_id"] not in found:
                found[row["architecture_id"]] = from_record(row["architecture"])
    if not found:
        raise FileNotFoundError(f"{str(place)!r} holds no runs on {images!r}")
    if len(recipes) > 1:
        raise ValueError(f"runs must share one recipe; these have {', '.join(sorted(recipes))}")
    return found, read_recipes(place / "recipes.json")[recipes.pop()]


def _finished(file: TextIO, names: set[str]) -> list[Proxies]:
    """Return what a killed command left of some architectures, and cut off its unfinished line."""
    file.seek(0)
    text = file.read()
    whole = text[: text.rfind("\n") + 1]
    file.truncate(len(whole))
    rows = [Proxies(**json.loads(line)) for line in whole.splitlines()]
    made_as_now = (SEED, BATCH, GENERATOR_VERSION)
    return [
        row
        for row in {row.architecture_id: row for row in rows}.values()
        if row.architecture_id in names
        and (row.seed, row.batch, row.generator_version) == made_as_now
    ]


def _note(file: TextIO, row: Proxies) -> None:
    """Keep what was computed, for good."""
    file.write(json.dumps(asdict(row)) + "\n")
    file.flush()


def _measure_all(
    jobs: list[ProxyJob], options: RunOptions, keep: Callable[[Proxies], None]
) -> list[Proxies]:
    """Return the proxies of all jobs, each kept as soon as it is there."""
    if not jobs:
        return []
    progress, found = Progress("networks", len(jobs)), []
    pool = _pool(options)
    try:
        for future in as_completed([pool.submit(work, job) for job in jobs]):
            row = future.result()
            keep(row)
            found.append(row)
            progress.advance()
    except BrokenProcessPool as error:
        raise ChildProcessError(
            f"a worker process died after {len(found)} of {len(jobs)} networks; the same command "
            "goes on from there"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
    return found


def _pool(options: RunOptions) -> Executor:
    return ProcessPoolExecutor(options.workers, get_context("spawn"), initializer=prepare)


def work(job: ProxyJob) -> Proxies:
    """Measure a network, in a worker."""
    return measure(job.architecture, job.recipe, _batch(job.recipe.images, job.folder, job.device))


@lru_cache(maxsize=1)
def _batch(images: str, folder: Path, device: str) -> ProxyBatch:
    """Return the batch, drawn once in each process."""
    return draw_batch(to_device(load_images(images, folder), torch.device(device)))


def _note_environment(place: Path) -> None:
    """Keep the versions that this machine's proxies are computed with, by id."""
    path, versions = place / "environments.json", environment()
    known = json.loads(path.read_text()) if path.exists() else {}
    known[environment_id(versions)] = versions
    write_atomically(path, json.dumps(known, indent=1, sort_keys=True) + "\n")
