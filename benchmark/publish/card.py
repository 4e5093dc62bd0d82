"""The dataset card: made from what the files hold, so that every figure on it is true."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmark.manifest import Manifest, SplitCounts
from benchmark.proxies import COLUMNS as PROXY_COLUMNS
from benchmark.publish.citation import KEYWORDS, LICENCE, LICENCE_URL, TITLE, bibtex
from benchmark.publish.datasheet import datasheet_text, run_days
from benchmark.schema import COLUMNS, EPOCH_SERIES, TRAINED_STATUSES, Column
from benchmark.space.imagesets import IMAGES, SEQUENCES, learned_above
from benchmark.space.sampler import acceptance_rates
from benchmark.space.skeletons import SKELETONS
from benchmark.space.splits import SPLITS


def card_text(manifest: Manifest, folder: Path) -> str:
    """Return the card of a release as Markdown with a YAML header."""
    counts = manifest.splits
    runs = sum(entry.runs for entry in counts)
    sections = [
        _header(manifest, runs),
        f"# {TITLE}\n",
        _summary(manifest, runs),
        _usage(manifest),
        _contents(counts),
        _accuracies(counts, folder),
        _architectures(counts),
        _training(folder),
        _columns(),
        *([_proxies(manifest)] if manifest.proxies else []),
        datasheet_text(manifest.images, run_days(manifest, folder)),
        _licence(manifest),
    ]
    return "\n".join(sections)


def _complete(counts: "Sequence[SplitCounts]") -> list[str]:
    """Return the image sets whose four splits are all there; one missing file breaks a config."""
    by_images = Counter(entry.images for entry in counts)
    return [name for name in IMAGES if by_images[name] == len(SPLITS)]


def _header(manifest: Manifest, runs: int) -> str:
    """Return the YAML header, in the form that https://hf.co/docs/hub/datasets-cards gives."""
    lines = ["---", f"pretty_name: {TITLE!r}", f"license: {LICENCE.lower()}"]
    lines += [f"size_categories: [{size_category(runs)}]", f"tags: [{', '.join(KEYWORDS)}]"]
    lines += ["task_categories: [tabular-regression]", "annotations_creators: [no-annotation]"]
    configs = list(_configs(manifest))
    lines += ["configs:"] if configs else []
    for place, (name, files) in enumerate(configs):
        lines += [f"- config_name: {name}", f"  version: {manifest.version}"]
        lines += ["  default: true"] if place == 0 else []
        lines += ["  data_files:"]
        for split, path in files.items():
            lines += [f"  - split: {split}", f"    path: {path}"]
    return "\n".join([*lines, "---\n"])


def _configs(manifest: Manifest) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the name of every config and the file of each of its splits."""
    for name in _complete(manifest.splits):
        yield name, {split: f"{name}/{split}.parquet" for split in SPLITS}
    for proxies in manifest.proxies:
        yield f"{proxies.images}-proxies", {"networks": f"{proxies.images}/proxies.parquet"}


def size_category(rows: int) -> str:
    """Return the Hub's name for a number of rows.

    >>> [size_category(rows) for rows in (999, 1000, 25_000, 3_000_000)]
    ['n<1K', '1K<n<10K', '10K<n<100K', '1M<n<10M']
    """
    names = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M")
    return names[sum(rows >= bound for bound in (1e3, 1e4, 1e5, 1e6))]


def _summary(manifest: Manifest, runs: int) -> str:
    networks = sum(entry.runs - entry.seeds for entry in manifest.splits)
    names = ", ".join(f"`{name}`" for name in manifest.images)
    return (
        f"Version {manifest.version}: {runs:,} trainings of {networks:,} networks on {names}. "
        "Each network is a fixed skeleton whose blocks a Markov chain sampled (that of the "
        "Peephole paper, arXiv:1712.03351), trained from scratch with one recipe per image set, "
        "and every series was measured after every epoch. The question it serves: how well can a "
        "network's accuracy be predicted before it is trained, or early in its training?\n"
    )


def _usage(manifest: Manifest) -> str:
    name = next(iter(_complete(manifest.splits)), "digits")
    lines = [f'runs = datasets.load_dataset("path/to/this/folder", "{name}")']
    for proxies in manifest.proxies:
        config = f"{proxies.images}-proxies"
        lines.append(f'proxies = datasets.load_dataset("path/to/this/folder", "{config}")')
    return (
        "```python\nimport datasets\n\n" + "\n".join(lines) + "\n```\n\n"
        "or, without `datasets`, from the package:\n\n"
        "```python\n"
        "import peephole\n\n"
        f'runs = peephole.load_runs("{name}", "train")\n'
        'curves = peephole.series(runs, "valid_accuracy")  # (runs, epochs)\n'
        "```\n\n"
        "`croissant.json` describes the files of data and their columns in Croissant 1.1, "
        "`SHA256SUMS` has the checksum of every file.\n"
    )


def _contents(counts: "Sequence[SplitCounts]") -> str:
    lines = ["## What is in it\n", "| images | split | networks | runs | completed | diverged |"]
    lines += ["|---|---|--:|--:|--:|--:|"]
    other = 0
    for c in counts:
        done, lost = c.statuses.get("completed", 0), c.statuses.get("diverged", 0)
        other += c.runs - done - lost
        lines.append(f"| {c.images} | {c.split} | {c.networks} | {c.runs} | {done} | {lost} |")
    lines.append(f"\nRuns that ran out of memory or failed otherwise: {other}.\n")
    lines.append(
        "A held-out skeleton is never in a training split; otherwise the SHA-256 of the "
        "architecture as drawn decides its split, the same for every image set. Runs of other "
        "seeds than 0 are repeats of the first networks of a split, for the noise ceiling.\n"
    )
    return "\n".join(lines)


def _accuracies(counts: "Sequence[SplitCounts]", folder: Path) -> str:
    """Describe the final accuracies by skeleton, and how many networks did not learn."""
    import numpy as np

    from benchmark.release import Release
    from benchmark.runs import series

    lines = ["## Final valid accuracy (seed 0)\n"]
    lines += ["| images | skeleton | networks | mean | std | min | max | not above twice chance |"]
    lines += ["|---|---|--:|--:|--:|--:|--:|--:|"]
    for name in dict.fromkeys(entry.images for entry in counts):
        finals: dict[str, list[float]] = {}
        for split in (entry.split for entry in counts if entry.images == name):
            columns = ["seed", "status", "skeleton", "valid_accuracy"]
            table = Release(folder).runs(name, split, columns=columns)
            statuses = table.column("status").to_pylist()
            rows = table.filter([status in TRAINED_STATUSES for status in statuses])
            for seed, skeleton, final in zip(
                rows.column("seed").to_pylist(),
                rows.column("skeleton").to_pylist(),
                series(rows, "valid_accuracy")[:, -1],
                strict=True,
            ):
                if seed == 0:
                    finals.setdefault(skeleton, []).append(float(final))
        bar = learned_above(IMAGES[name].classes)
        for skeleton in (s for s in SKELETONS if s in finals):
            v = np.array(finals[skeleton])
            lines.append(
                f"| {name} | {skeleton} | {len(v)} | {v.mean():.3f} | {v.std():.3f} | "
                f"{v.min():.3f} | {v.max():.3f} | {(v <= bar).mean():.0%} |"
            )
    return "\n".join([*lines, ""])


def _architectures(counts: "Sequence[SplitCounts]") -> str:
    lines = ["## Skeletons\n", "| skeleton | stages x blocks | widths | wiring | use |"]
    lines += ["|---|---|---|---|---|"]
    for s in SKELETONS.values():
        wiring = "max pool" if s.downsampling == "max_pool" else "strided convolution"
        wiring += ", shortcut around each block" if s.residual else ""
        use = f"held out: {s.novelty}" if s.held_out else f"seen ({s.share:.0%})"
        widths = " ".join(map(str, s.widths))
        lines.append(
            f"| {s.name} | {len(s.widths)} x {s.blocks_per_stage} | {widths} | {wiring} | {use} |"
        )
    lines.append(
        "\nNetworks of `cifar10` and `mnist` are drawn at these widths and trained with half of "
        "every channel count, a multiple of 8; those of `digits` are drawn at half these widths. "
        "Networks above a sequence's cap of multiply-accumulates are drawn again; accepted shares "
        "of the first 500 draws:\n"
    )
    for name in dict.fromkeys(IMAGES[entry.images].sequence.name for entry in counts):
        sequence, rates = SEQUENCES[name], acceptance_rates(name)
        caps = f"{sequence.macs_cap / 1e6:.0f} million, deep {sequence.deep_macs_cap / 1e6:.0f}"
        shares = ", ".join(f"{k} {v:.1%}" for k, v in rates.items())
        lines.append(f"- sequence {name} ({caps}): {shares}")
    return "\n".join([*lines, ""])


def _training(folder: Path) -> str:
    path = folder / "recipes.json"
    recipes = json.loads(path.read_text()) if path.exists() else {}
    lines = ["## Training\n"]
    for name, recipe in recipes.items():
        used = {k: v for k, v in recipe.items() if k != "images" and v is not None}
        fields = ", ".join(f"{k} {v}" for k, v in used.items())
        images = IMAGES[recipe["images"]]
        early = "all" if images.curve_valid is None else "a fixed, stratified part"
        lines.append(
            f"- `{images.name}` (recipe `{name}`): {fields}. After every epoch but the last, "
            f"{early} of the valid and test images are measured, {images.measured:,} in all."
        )
    lines.append(
        "\nThe peak rate was chosen by a pilot on networks outside the dataset; its table lies in "
        "`<images>/pilot.csv`. Which images are valid images, and the normalisation constants, lie "
        "in `images/<images>.json`; which images each final network got right in `correct/`. "
        "`epoch_seconds` were measured while other networks, and at times other work, used the "
        "machine's other cores.\n"
    )
    return "\n".join(lines)


def _table(columns: Mapping[str, Column]) -> list[str]:
    """Return a table of columns with their units, ranges and meanings."""
    lines = ["| column | unit | range | meaning |", "|---|---|---|---|"]
    for name, c in columns.items():
        meaning = c.meaning.replace("|", "\\|")
        lines.append(f"| `{name}` | {c.unit} | {c.range} | {meaning} |")
    return lines


def _proxies(manifest: Manifest) -> str:
    lines = ["## Zero-cost proxies\n"]
    for c in manifest.proxies:
        lines.append(
            f"- `{c.images}/proxies.parquet`: {c.networks:,} networks, initialised with seed "
            f"{c.seed}, on {c.batch} training images"
        )
    lines.append(
        "\nWhat a network says before it is trained, once for each architecture, on the same "
        "images for all. The seed is that of no run, so a proxy shares no run's luck, and the "
        "noise ceiling before training holds for predictors that use proxies, too. `peephole "
        "generate proxies` computes them, `peephole.Release().proxies(images)` reads them.\n"
    )
    return "\n".join([*lines, *_table(PROXY_COLUMNS), ""])


def _columns() -> str:
    lines = ["## Columns\n", *_table(COLUMNS)]
    lines.append(
        f"\nThe {len(EPOCH_SERIES)} series have one entry per epoch: entry e is the value after "
        "epoch e + 1, and what was measured before training has fields of its own.\n"
    )
    return "\n".join(lines)


def _licence(manifest: Manifest) -> str:
    return (
        f"## Licence and citation\n\n[{LICENCE}]({LICENCE_URL}). Please cite, with the paper "
        "whose chain samples the blocks (arXiv:1712.03351):\n\n"
        f"```bibtex\n{bibtex(manifest.version, manifest.date)}\n```\n"
    )
