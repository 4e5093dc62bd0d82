"""Retrains published runs on this machine and compares them with the release."""

from collections.abc import Iterator, Sequence
from itertools import chain, islice, zip_longest

from benchmark.release import INSTALLED, Release
from benchmark.retrained import Verification
from benchmark.schema import TRAINED_STATUSES
from benchmark.space.imagesets import get_images
from benchmark.space.splits import Split
from benchmark.util.rng import generator_for
from benchmark.util.text import quantity
from generators.campaign.published import planned_again, published_rows
from generators.checks.agreement import compare, seed_differences, verdicts
from generators.workers.planned_run import Job, Row
from generators.workers.run_options import RunOptions
from generators.workers.scheduler import run_jobs
from generators.workers.worker import failed_row


def verify(
    images: str, networks: int, options: RunOptions, *, seed: int = 0, release: Release = INSTALLED
) -> Verification:
    """Retrain a stratified sample of an image set's published runs, and compare.

    Fewer than `networks` runs are retrained if the budget of `options` ends. Shard and limit of
    `options` are ignored, and `seed` is that of the sample.

    Raises:
        FileNotFoundError: If the release has no runs on the image set, or images are missing.
        ValueError: If the image set is not known, or none of its networks has several seeds.
    """
    get_images(images)
    published = published_rows(images, release)
    spread = seed_differences([row for _, row in published])
    if not len(spread):
        raise ValueError(f"no network on {images!r} has runs with two seeds to measure the spread")
    sample = list(islice(stratified_sample(published, seed), networks))
    plan = {str(row["run_id"]): (row, planned_again(row, split, release)) for split, row in sample}
    jobs = [
        Job(r, release.recipe(r.recipe_id), options.images_folder, options.device, options.workers)
        for _, r in plan.values()
    ]
    retrained: list[Row] = []

    def fail(job: Job, reason: str) -> None:
        retrained.append(failed_row(job, reason))

    run_jobs(jobs, options, retrained.append, fail)
    comparisons = [compare(plan[str(row["run_id"])][0], row, spread) for row in retrained]
    comparisons.sort(key=lambda comparison: comparison.run_id)
    return Verification(len(jobs), tuple(comparisons), tuple(verdicts(comparisons, spread)))


def stratified_sample(published: Sequence[tuple[Split, Row]], seed: int) -> list[tuple[Split, Row]]:
    """Return the trained runs, taken from each skeleton in turn, in a random order.

    Any prefix is a sample with about the same number of networks of every skeleton.
    """
    groups: dict[str, list[tuple[Split, Row]]] = {}
    for split, row in sorted(published, key=lambda entry: str(entry[1]["run_id"])):
        if row["status"] in TRAINED_STATUSES:
            groups.setdefault(str(row["skeleton"]), []).append((split, row))
    drawn = []
    for skeleton, entries in sorted(groups.items()):
        order = generator_for("verify-v1", skeleton, seed).permutation(len(entries))
        drawn.append([entries[i] for i in order])
    turns = chain.from_iterable(zip_longest(*drawn))
    return [entry for entry in turns if entry is not None]


def report(verification: Verification) -> Iterator[str]:
    """Yield a line for each network, then the verdict on each kind of difference."""
    comparisons = verification.comparisons
    width = max([len(c.run_id) for c in comparisons], default=0)
    yield f"{'run':{width}}  {'skeleton':14} published  retrained  difference"
    for c in comparisons:
        start = f"{c.run_id:{width}}  {c.skeleton:14} {c.published:9.4f}"
        if c.retrained is None:
            yield f"{start}  {c.status}"
            continue
        note = "identical" if c.identical else "" if c.within else "larger than 95 % of seeds"
        yield f"{start}  {c.retrained:9.4f}  {c.retrained - c.published:+10.4f}  {note}".rstrip()
    yield f"{len(comparisons)} of {quantity(verification.asked, 'network')} retrained"
    for v in verification.verdicts:
        yield (
            f"{v.kind}: {'agrees' if v.agrees else 'DOES NOT AGREE'}. "
            f"{quantity(v.networks, 'network')}, {v.identical} identical, {v.within} within the "
            f"spread of seeds, {v.failed} failed; "
            f"median difference {_number(v.median, 4)}, between seeds {v.seeds_median:.4f}; "
            f"p-values: no larger {_number(v.larger, 3)}, not shifted {_number(v.shifted, 3)}"
        )


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
