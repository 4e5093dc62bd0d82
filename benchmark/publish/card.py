"""Writes the dataset card: the text of `card.md.tmpl` with figures counted from the files."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from string import Template

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray

from benchmark.calibration import agreements
from benchmark.manifest import Manifest
from benchmark.proxies import COLUMNS as PROXY_COLUMNS
from benchmark.publish.citation import KEYWORDS, LICENCE, LICENCE_URL, TITLE, bibtex
from benchmark.publish.datasheet import datasheet_text, read_source, run_days
from benchmark.recipes import read_recipe_fields
from benchmark.release import Release
from benchmark.retrained import read_retrained
from benchmark.runs import correct_path, series
from benchmark.schema import COLUMNS, EPOCH_SERIES, TRAINED_STATUSES, Column
from benchmark.space.imagesets import IMAGES, ImageSet, get_images, learned_above
from benchmark.space.sampler import DRAWS, acceptance_rates
from benchmark.space.skeletons import SKELETONS
from benchmark.space.splits import SPLITS
from benchmark.tasks import has_full_curve

OPTIONAL = "calibration_rows", "retrained_rows", "proxy_rows"  # without them, no section
Cells = Iterator[tuple[object, ...]]  # of the rows of a table


def card_text(manifest: Manifest, folder: Path) -> str:
    """Return the card of a release as Markdown with a YAML header."""
    splits = manifest.splits
    runs = sum(entry.runs for entry in splits)
    trained = sum(entry.statuses.get(s, 0) for entry in splits for s in TRAINED_STATUSES)
    values = {
        "title": TITLE,
        "version": manifest.version,
        "runs": f"{runs:,}",
        "networks": f"{sum(entry.runs - entry.seeds for entry in splits):,}",
        "image_sets": ", ".join(f"`{name}`" for name in manifest.images),
        "example": next(iter(_complete_sets(manifest)), "digits"),
        "split_rows": _table(_splits(manifest)),
        "failed": runs - trained,
        "accuracy_rows": _table(_accuracies(manifest, folder)),
        "skeleton_rows": _table(_skeletons()),
        "draws": DRAWS,
        "sequence_rows": _table(_sequences(manifest)),
        "recipe_rows": _table(_recipes(manifest, folder)),
        "column_rows": _table(_columns(COLUMNS)),
        "series": len(EPOCH_SERIES),
        "calibration_rows": _table(_calibration(manifest, folder)),
        "retrained_rows": _table(_retrained(manifest, folder)),
        "proxy_rows": _table(_proxies(manifest)),
        "proxy_column_rows": _table(_columns(PROXY_COLUMNS)),
        "datasheet": datasheet_text(manifest.images, run_days(manifest, folder)),
        "licence": LICENCE,
        "licence_url": LICENCE_URL,
        "bibtex": bibtex(manifest.version, manifest.date),
    }
    absent = [f"${{{name}}}" for name in OPTIONAL if not values[name]]
    texts = read_source("card.md.tmpl").split("\n## ")
    sections = [text for text in texts if not any(name in text for name in absent)]
    return _header(manifest, runs) + Template("\n## ".join(sections)).substitute(values)


def _header(manifest: Manifest, runs: int) -> str:
    """Return the YAML header, in the form that https://hf.co/docs/hub/datasets-cards gives."""
    configs = [
        {
            "config_name": name,
            "version": manifest.version,
            **({"default": True} if number == 0 else {}),
            "data_files": [{"split": split, "path": path} for split, path in files.items()],
        }
        for number, (name, files) in enumerate(_configs(manifest))
    ]
    fields = {
        "pretty_name": TITLE,
        "license": LICENCE.lower(),
        "size_categories": [size_category(runs)],
        "tags": list(KEYWORDS),
        "task_categories": ["tabular-regression"],
        "annotations_creators": ["no-annotation"],
        **({"configs": configs} if configs else {}),
    }
    return f"---\n{yaml.safe_dump(fields, sort_keys=False)}---\n\n"


def _configs(manifest: Manifest) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the name of every config and the file of each of its splits."""
    for name in _complete_sets(manifest):
        yield name, {split: f"{name}/{split}.parquet" for split in SPLITS}
    for proxies in manifest.proxies:
        yield f"{proxies.images}-proxies", {"networks": f"{proxies.images}/proxies.parquet"}


def _complete_sets(manifest: Manifest) -> list[str]:
    """Return the image sets that have all four splits; one missing file breaks a config."""
    by_images = Counter(entry.images for entry in manifest.splits)
    return [name for name in IMAGES if by_images[name] == len(SPLITS)]


def size_category(rows: int) -> str:
    """Return the Hub's name for a number of rows.

    >>> [size_category(rows) for rows in (999, 1000, 25_000, 3_000_000)]
    ['n<1K', '1K<n<10K', '10K<n<100K', '1M<n<10M']
    """
    names = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M")
    return names[sum(rows >= bound for bound in (1e3, 1e4, 1e5, 1e6))]


def _table(rows: Iterable[tuple[object, ...]]) -> str:
    """Return the rows of a Markdown table."""
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows
    )


def _splits(manifest: Manifest) -> Cells:
    for c in manifest.splits:
        statuses = (c.statuses.get(status, 0) for status in TRAINED_STATUSES)
        yield c.images, c.split, c.networks, c.runs, *statuses


def _runs(manifest: Manifest, folder: Path, images: str, columns: list[str]) -> pa.Table:
    """Return columns of all runs on an image set."""
    splits = [c.split for c in manifest.splits if c.images == images]
    return pa.concat_tables(Release(folder).runs(images, s, columns=columns) for s in splits)


def _accuracies(manifest: Manifest, folder: Path) -> Cells:
    """Yield the distribution of the final accuracies of each image set and skeleton."""
    columns = ["seed", "status", "skeleton", "valid_accuracy"]
    for name in manifest.images:
        runs = _runs(manifest, folder, name, columns)
        runs = runs.filter(has_full_curve(runs))
        if not len(runs):
            continue
        skeletons = np.array(runs.column("skeleton").to_pylist())
        finals = series(runs, "valid_accuracy")[:, -1]
        for skeleton in SKELETONS:
            v = finals[skeletons == skeleton]
            if len(v):
                figures = (f"{x:.3f}" for x in (v.mean(), v.std(), v.min(), v.max()))
                share = (v <= learned_above(IMAGES[name].classes)).mean()
                yield name, skeleton, len(v), *figures, f"{share:.0%}"


def _skeletons() -> Cells:
    for s in SKELETONS.values():
        wiring = "max pool" if s.downsampling == "max_pool" else "strided convolution"
        wiring += ", shortcut around each block" if s.residual else ""
        use = f"held out: {s.novelty}" if s.held_out else f"seen ({s.share:.0%})"
        stages = f"{len(s.widths)} x {s.blocks_per_stage}"
        yield s.name, stages, " ".join(map(str, s.widths)), wiring, use


def _sequences(manifest: Manifest) -> Cells:
    """Yield the limits and the accepted shares of each sequence of architectures."""
    for sequence in dict.fromkeys(IMAGES[name].sequence for name in manifest.images):
        caps = (f"{cap / 1e6:.0f}" for cap in (sequence.macs_cap, sequence.deep_macs_cap))
        rates = acceptance_rates(sequence.name)
        yield sequence.name, *caps, ", ".join(f"{name} {rate:.1%}" for name, rate in rates.items())


def _recipes(manifest: Manifest, folder: Path) -> Cells:
    """Yield each recipe of the runs, which images are measured, and what augments them."""
    path = folder / "recipes.json"
    for name, fields in (read_recipe_fields(path) if path.exists() else {}).items():
        images = get_images(str(fields["images"]))
        settings = ", ".join(f"{k} {v}" for k, v in sorted(fields.items()) if k != "images")
        measured = f"{images.measured:,} of {images.valid + images.test:,}"
        splits = [entry.split for entry in manifest.splits if entry.images == images.name]
        if splits and _runs(manifest, folder, images.name, ["recipe_id"])[0][0].as_py() != name:
            splits = []  # as for a recipe of calibration runs
        easier = _subset_differences(images, splits, folder)
        bias = "-" if easier is None else ", ".join(f"{difference:+.4f}" for difference in easier)
        augmented = ", ".join(["cropped"] * images.cropped + ["mirrored"] * images.flipped) or "-"
        yield f"`{images.name}`", f"`{name}`", measured, bias, augmented, settings


def _subset_differences(
    images: ImageSet, splits: list[str], folder: Path
) -> tuple[float, float] | None:
    """Return the mean accuracy on the subset minus that on all images, for valid and test images.

    Runs that diverged count as chance everywhere, so they are left out.

    Args:
        images: The image set.
        splits: The released splits.
        folder: The release.

    Returns:
        None if all images are measured after every epoch, no run completed, or the release does not
        say which images are measured.
    """
    published = folder / "images" / f"{images.published}.json"
    if images.curve_valid is None or not published.exists():
        return None
    record = json.loads(published.read_bytes())
    valid = np.searchsorted(record["valid"], record["curve_valid"])
    test = images.valid + np.array(record["curve_test"])
    rates = _image_accuracies(images, splits, folder)
    if rates is None:
        return None
    every = rates[: images.valid].mean(), rates[images.valid :].mean()
    return float(rates[valid].mean() - every[0]), float(rates[test].mean() - every[1])


def _image_accuracies(
    images: ImageSet, splits: list[str], folder: Path
) -> NDArray[np.float64] | None:
    """Return the share of final networks that are right about each valid, then test image."""
    total, runs = np.zeros(images.valid + images.test), 0
    for split in splits:
        for bits in pq.read_table(correct_path(images.name, split, folder))["correct"].to_pylist():
            right = np.unpackbits(np.frombuffer(bits, np.uint8))[: len(total)]
            if right.any():  # as in no run that did not complete
                total += right
                runs += 1
    return total / runs if runs else None


def _calibration(manifest: Manifest, folder: Path) -> Cells:
    """Yield how well the runs of each image set rank networks as other trainings do."""
    for n in manifest.images:
        yield from ((f"`{n}`", *agreement.cells) for agreement in agreements(n, Release(folder)))


def _retrained(manifest: Manifest, folder: Path) -> Cells:
    """Yield whether runs of each image set that were trained again agree, by kind of difference."""
    for n in manifest.images:
        if found := read_retrained(n, folder):
            yield from ((f"`{n}`", *verdict.cells) for verdict in found.verdicts)


def _columns(columns: Mapping[str, Column]) -> Cells:
    for name, c in columns.items():
        yield f"`{name}`", c.unit, c.range, c.meaning


def _proxies(manifest: Manifest) -> Cells:
    for c in manifest.proxies:
        yield f"`{c.images}/proxies.parquet`", f"{c.networks:,}", c.seed, c.batch
