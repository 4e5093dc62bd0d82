"""A datasheet's answers (Gebru et al. 2021, arXiv:1803.09010), for the card and for Croissant.

An answer that Croissant's responsible-AI vocabulary has a property for names it
(http://mlcommons.org/croissant/RAI/1.0).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from benchmark.manifest import Manifest
from benchmark.publish.citation import AUTHORS, LICENCE
from benchmark.runs import read_table, split_path
from benchmark.space.imagesets import get_images

Section = Literal[
    "Motivation",
    "Composition",
    "Collection",
    "Preprocessing",
    "Uses",
    "Distribution",
    "Maintenance",
]


@dataclass(frozen=True, slots=True)
class Entry:
    """One question and its answer; `rai` is the property of Croissant that asks the same."""

    section: Section
    question: str
    text: str
    rai: str = ""


def entries(images: Sequence[str]) -> tuple[Entry, ...]:
    """Return the datasheet of a release of some image sets, in the order of its sections."""
    sources = " and ".join(dict.fromkeys(get_images(name).source for name in images))
    return (*_made(), *_contents(), *_origin(sources), *_use(), *_care())


def _made() -> tuple[Entry, ...]:
    return (
        Entry(
            "Motivation",
            "Why was it made?",
            "To measure how well a network's accuracy can be predicted before or early in its "
            "training. No open dataset had whole curves of sampled networks with test networks of "
            "other skeletons than the training networks.",
        ),
        Entry("Motivation", "Who made it?", f"{AUTHORS}."),
    )


def _contents() -> tuple[Entry, ...]:
    return (
        Entry(
            "Composition",
            "What is a row?",
            "One training of one network with one recipe and seed; in a file of proxies, one "
            "network.",
        ),
        Entry(
            "Composition",
            "Is anything missing?",
            "No run is left out for what came of it. Networks that diverged, ran out of memory or "
            "failed are rows with their status and reason. From the epoch of a divergence on, "
            "losses and norms are null.",
            "dataCollectionMissingData",
        ),
        Entry(
            "Composition",
            "Does it describe people?",
            "No. Rows hold networks and their measurements, nothing personal or sensitive, and no "
            "images.",
            "personalSensitiveInformation",
        ),
    )


def _origin(sources: str) -> tuple[Entry, ...]:
    return (
        Entry(
            "Collection",
            "How was it made?",
            "By experiment: `peephole generate` drew the networks, trained each from scratch and "
            "measured every series after every epoch, on the device that its row names. A run that "
            "no device trained is never stored.",
            "dataCollection",
        ),
        Entry(
            "Collection",
            "What was it made from?",
            f"Networks were trained on {sources}.",
            "dataCollectionRawData",
        ),
        Entry(
            "Collection",
            "Who labelled it?",
            "Nobody: all values are measured. The labels that networks learn are those of the "
            "image sets.",
            "dataAnnotationProtocol",
        ),
        Entry(
            "Preprocessing",
            "Was anything cleaned or changed?",
            "Nothing is filtered, smoothed or rescaled; measurements are kept in single precision, "
            "proxies in double.",
            "dataPreprocessingProtocol",
        ),
        Entry(
            "Preprocessing",
            "Was anything filled in?",
            "From the epoch of a divergence on, accuracies are chance, 1 / classes: what a network "
            "without usable weights would reach. Nothing else is.",
            "dataImputationProtocol",
        ),
    )


def _use() -> tuple[Entry, ...]:
    return (
        Entry(
            "Uses",
            "What is it for?",
            "Fitting (train), choosing (validation) and scoring (test, heldout) predictors of "
            "accuracies and learning curves.",
            "dataUseCases",
        ),
        Entry(
            "Uses",
            "What does it not show?",
            "One recipe per image set, and three skeletons to fit on. It should not be used to "
            "rank recipes, or for claims about networks far from these skeletons.",
            "dataLimitations",
        ),
        Entry(
            "Uses",
            "Where is it lopsided?",
            "Seven in ten networks of each seen split have one skeleton. All blocks come from one "
            "Markov chain, and networks above a cap of multiply-accumulates were drawn again.",
            "dataBiases",
        ),
        Entry(
            "Uses",
            "Whom does it affect?",
            "Nobody directly. Better predictions would save trainings, and their energy.",
            "dataSocialImpact",
        ),
    )


def _care() -> tuple[Entry, ...]:
    return (
        Entry(
            "Distribution",
            "How is it had, and under which licence?",
            "As a folder inside the Python package peephole-bench; `peephole data export` makes a "
            f"copy or a versioned archive. {LICENCE}.",
        ),
        Entry(
            "Maintenance",
            "How is it kept?",
            "A release whose rows change raises its version; a published run is never changed, and "
            "a correction is a new name. `SHA256SUMS` has the checksum of every file, and "
            "`peephole data verify` checks them.",
            "dataReleaseMaintenancePlan",
        ),
    )


def run_days(manifest: Manifest, folder: Path) -> tuple[str, str]:
    """Return the days on which the first and the last run of a release started, in UTC."""
    places = [split_path(entry.images, entry.split, folder) for entry in manifest.splits]
    times = [
        time for path in places for time in read_table(path, ["started_at"])[0].to_pylist() if time
    ]
    return (str(min(times).date()), str(max(times).date())) if times else ("", "")


def datasheet_text(images: Sequence[str], days: tuple[str, str]) -> str:
    """Return the datasheet as Markdown.

    Args:
        images: The image sets of the release.
        days: When the first and the last run started, as "2026-11-22".
    """
    lines = ["## Datasheet"]
    for section in get_args(Section):
        lines.append(f"\n### {section}\n")
        lines += [f"- **{a.question}** {a.text}" for a in entries(images) if a.section == section]
        if section == "Collection":
            lines.append(f"- **When?** Runs started from {days[0]} to {days[1]} (UTC).")
    return "\n".join([*lines, ""])
