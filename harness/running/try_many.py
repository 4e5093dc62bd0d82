"""Fits many predictors on trials in parallel, and keeps the fits in a file of JSON lines.

Each process appends its fits to the file as they are made. Another call with the same file makes
only those that are missing or failed.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmark.util.atomic import check_writable
from benchmark.util.locks import locked
from benchmark.util.processes import EndedEarlyError, run_in_processes
from benchmark.util.progress import Progress
from benchmark.util.strict_json import encode, parse_record, refuse
from harness.results.result import HARNESS_VERSION
from harness.running.attempt import Failed, attempt, raise_first
from harness.running.evaluate_many import Setting, find_all
from harness.running.find_predictor import Candidate, find
from harness.running.trials import Fit, Trial, TrialScore, average, failed_fits, fit_trial

OTHER = "; give another --output"
START = b'{"predictor": '  # of every line of the file
Fits = dict[tuple[str, str, int, int, int], Fit]  # by `Fit.key`


@dataclass(frozen=True, slots=True)
class Job:
    """Fits that one process makes one after the other.

    Attributes:
        predictor: An argument of `harness.running.find_predictor.find`.
        observed: Numbers of observed epochs that share a fit.
        fits: Trial and seed of each fit.
    """

    predictor: str
    observed: tuple[int, ...]
    fits: tuple[tuple[Trial, int], ...]


def try_many(
    predictors: Sequence[str],
    trials: Sequence[Trial],
    observed: Sequence[int],
    setting: Setting,
    output: Path | None = None,
) -> list[TrialScore]:
    """Return scores on trials by predictor, observed epochs (from the fewest) and label.

    A predictor that does not use curves is fitted once for all numbers of observed epochs.

    Args:
        predictors: Arguments of `harness.running.find_predictor.find`.
        trials: The trials.
        observed: Numbers of observed epochs; those that leave no epoch to predict are left out.
        setting: Numbers of seeds and processes, name and traceback.
        output: File of the fits; it may exist. None: they are not kept.

    Raises:
        ValueError: If a predictor is unknown or needs a package that is not installed, or the file
            cannot be written, or holds other lines than fits, or fits on other data.
        OSError: If the file cannot be read.
    """
    candidates = find_all(predictors, setting)
    if output is not None:
        check_writable(output)
    epochs = min(trial.train.recipe.epochs for trial in trials)
    left = sorted({k for k in observed if k < epochs})
    if not left:
        raise ValueError(
            f"the runs have {epochs} epochs, so none is left to predict after {min(observed)}"
        )
    observed = left
    with TemporaryDirectory() as place:
        path = output or Path(place) / "fits.jsonl"
        jobs = _missing(candidates, trials, observed, setting.seeds, read_fits(path, trials))
        _make(jobs, path, setting)
        fits = read_fits(path, trials)
    scores = []
    for candidate in candidates.values():
        seeds = candidate.seeds(setting.seeds)
        for k in observed:
            for label in dict.fromkeys(trial.label for trial in trials):
                own = [trial for trial in trials if trial.label == label]
                keys = ((candidate.name, label, t.division, k, seed) for t in own for seed in seeds)
                scores.append(average(own, [fits[key] for key in keys]))
    return scores


def _missing(
    candidates: dict[str, Candidate],
    trials: Sequence[Trial],
    observed: Sequence[int],
    seeds: int,
    stored: Fits,
) -> list[Job]:
    """Return jobs that make the fits that are not stored, or failed."""
    done = {key for key, fit in stored.items() if fit.failure is None}
    jobs = []
    for predictor, candidate in candidates.items():
        for shared in [(k,) for k in observed] if candidate.uses_curve else [tuple(observed)]:
            fits = tuple(
                (trial, seed)
                for trial in trials
                for seed in candidate.seeds(seeds)
                if not done.issuperset(
                    (candidate.name, trial.label, trial.division, k, seed) for k in shared
                )
            )
            if fits:
                jobs.append(Job(predictor, shared, fits))
    return jobs


def _make(jobs: Sequence[Job], path: Path, setting: Setting) -> None:
    """Run all jobs. What a process that ended early left out is stored as failed."""
    progress = Progress("fits", sum(len(job.fits) for job in jobs))
    calls = [partial(attempt, run, job, path.absolute(), setting) for job in jobs]
    failed: list[tuple[str, Failed]] = []
    for number, ended in run_in_processes(calls, setting.processes):
        job = jobs[number]
        if isinstance(ended, EndedEarlyError):
            _store_ended(job, path, setting, str(ended))
        elif isinstance(ended, Failed):
            failed.append((job.predictor, ended))
        progress.advance(len(job.fits))
    raise_first(failed)


def run(job: Job, path: Path, setting: Setting) -> None:
    """Make the fits of a job in this process, and store each as soon as it is made."""
    candidate, traceback = find(job.predictor, setting.name), setting.traceback
    for trial, seed in job.fits:
        store(path, fit_trial(candidate, trial, job.observed, seed, traceback=traceback))


def _store_ended(job: Job, path: Path, setting: Setting, why: str) -> None:
    """Store failed fits for those that a process did not come to."""
    name = find(job.predictor, setting.name).name
    made = read_fits(path, [trial for trial, _ in job.fits])
    for trial, seed in job.fits:
        fits = failed_fits(name, trial, job.observed, seed, why)
        store(path, [fit for fit in fits if fit.key not in made])


def store(path: Path, fits: Sequence[Fit]) -> None:
    """Append fits to a file, a line each."""
    with locked(path) as file:
        file.write("".join(f"{json.dumps(encode(fit), allow_nan=False)}\n" for fit in fits))


def read_fits(path: Path, trials: Sequence[Trial]) -> Fits:
    """Return the fits of trials in a file, the last of each key; a torn last line is dropped.

    Raises:
        ValueError: If a line is not a fit, or a fit of a trial has other data or was scored by
            another version of the harness.
        OSError: If the file cannot be read or written.
    """
    data = {(trial.label, trial.division): trial.digest for trial in trials}
    fits: Fits = {}
    for number, line in enumerate(_whole_lines(path), start=1):
        fit = parse_record(line, Fit, f"{path}: line {number}")
        expected = data.get((fit.label, fit.division))
        if expected is None:
            continue
        try:
            if fit.data != expected:
                refuse("data", fit.data, f"{expected!r}, the networks given{OTHER}")
            if fit.harness_version != HARNESS_VERSION:
                refuse("harness_version", fit.harness_version, f"{HARNESS_VERSION!r}{OTHER}")
        except ValueError as error:
            raise ValueError(f"{path}: line {number}: {error}") from error
        fits[fit.key] = fit
    return fits


def _whole_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file; remove the last if it does not end, as a killed process leaves."""
    with locked(path):
        *lines, rest = path.read_bytes().split(b"\n")
        if rest and (rest.startswith(START) or START.startswith(rest)):
            with path.open("r+b") as file:
                file.truncate(path.stat().st_size - len(rest))
            text = f"{path}: line {len(lines) + 1} is torn and was dropped; it is made again\n"
            sys.stderr.write(text)
        elif rest:
            lines.append(rest)
    yield from lines
