"""The card: a header that the Hub reads, and a datasheet that answers every section."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmark.manifest import read_manifest
from benchmark.publish import card
from benchmark.publish.card import card_text
from benchmark.publish.datasheet import entries, run_days
from benchmark.release import load_runs
from benchmark.runs import correct_path, data_folder
from benchmark.space.imagesets import IMAGES, ImageSet, get_images
from benchmark.space.splits import SPLITS
from tests.toys.campaign import toy_release

# https://github.com/huggingface/hub-docs, datasetcard.md: the values that the Hub knows.
SIZES = {"n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M"}
SECTIONS = [  # of a datasheet (Gebru et al. 2021, arXiv:1803.09010), in order
    "Motivation", "Composition", "Collection", "Preprocessing", "Uses", "Distribution",
    "Maintenance",
]  # fmt: skip
DAYS = ("2026-11-22", "2026-11-26")
MEASURED_ONLY = {"dataCollectionType", "dataCollectionTimeframe"}  # properties that need no answer


def published() -> str:
    return (data_folder() / "README.md").read_text()


def released(images: str) -> set[str]:
    """Return the splits that the published release has of an image set."""
    return {entry.split for entry in read_manifest(data_folder()).splits if entry.images == images}


def test_the_hub_s_own_reader_takes_the_header() -> None:
    hub = pytest.importorskip("huggingface_hub")
    found = hub.DatasetCard(published()).data
    manifest = read_manifest(data_folder())
    assert (found.license, found.size_categories) == ("cc-by-4.0", ["1K<n<10K"])
    assert found.pretty_name.startswith("peephole-bench")
    assert set(found.size_categories) <= SIZES
    configs = {config["config_name"]: config for config in found.to_dict()["configs"]}
    whole = [name for name in IMAGES if released(name) == set(SPLITS)]
    assert list(configs) == [*whole, *(f"{p.images}-proxies" for p in manifest.proxies)]
    assert [c["config_name"] for c in configs.values() if c.get("default")] == whole[:1]
    assert {config["version"] for config in configs.values()} == {manifest.version}
    for config in configs.values():
        for entry in config["data_files"]:
            assert (data_folder() / entry["path"]).exists()
    assert [entry["split"] for entry in configs["digits"]["data_files"]] == list(SPLITS)


@pytest.mark.parametrize("config", ["digits", "digits-proxies", None])
def test_load_dataset_reads_every_config_of_the_published_folder(
    config: str | None, tmp_path: Path
) -> None:
    datasets = pytest.importorskip("datasets")
    found = datasets.load_dataset(str(data_folder()), config, cache_dir=str(tmp_path))
    manifest = read_manifest(data_folder())
    name = config or next(name for name in IMAGES if released(name) == set(SPLITS))
    expected = {entry.split: entry.runs for entry in manifest.splits if entry.images == name}
    if config == "digits-proxies":
        (expected,) = ({"networks": p.networks} for p in manifest.proxies if p.images == "digits")
    assert {split: rows.num_rows for split, rows in found.items()} == expected


@pytest.mark.parametrize("name", ["cifar10", "mnist"])
def test_a_subset_is_compared_with_all_images(name: str) -> None:
    images = get_images(name)
    record = json.loads((data_folder() / "images" / f"{images.published}.json").read_text())
    finals = {
        run["run_id"]: (run["valid_accuracy"][-1], run["test_accuracy"][-1])
        for run in load_runs(name, "validation").to_pylist()
    }
    differences = []
    for row in pq.read_table(correct_path(name, "validation", data_folder())).to_pylist():
        bits = "".join(f"{byte:08b}" for byte in row["correct"])
        valid = [bits[record["valid"].index(image)] for image in record["curve_valid"]]
        test = [bits[images.valid + image] for image in record["curve_test"]]
        subset = [part.count("1") / len(part) for part in (valid, test)]
        differences.append(np.subtract(subset, finals[row["run_id"]]))
    found = card._subset_differences(images, ["validation"], data_folder())
    assert found == pytest.approx(np.mean(differences, axis=0), abs=1e-6)


def test_an_image_set_without_subsets_has_none() -> None:
    assert card._subset_differences(get_images("digits"), ["train"], data_folder()) is None


def test_every_section_of_the_datasheet_is_answered_and_on_the_card() -> None:
    manifest = read_manifest(data_folder())
    text = card_text(manifest, data_folder()).split("## Datasheet\n")[1]
    found = entries(manifest.images, run_days(manifest, data_folder()))
    positions = [text.index(f"### {section}\n") for section in SECTIONS]
    assert positions == sorted(positions)
    assert list(dict.fromkeys(answer.section for answer in found)) == SECTIONS
    for answer in found:
        assert f"- **{answer.question}** {answer.text}\n" in text


def test_the_card_of_a_release_without_proxies_has_no_section_on_them(tmp_path: Path) -> None:
    text = (toy_release(tmp_path) / "README.md").read_text()
    assert "## Columns\n" in text
    assert "Zero-cost proxies" not in text


def test_no_two_answers_have_one_property() -> None:
    names = [answer.rai for answer in entries(["digits"], DAYS) if answer.rai]
    assert len(set(names)) == len(names)
    assert not set(names) & MEASURED_ONLY


@pytest.mark.parametrize("images", IMAGES.values(), ids=list(IMAGES))
def test_the_datasheet_names_the_source_of_every_image_set(images: ImageSet) -> None:
    assert any(images.source in answer.text for answer in entries([images.name], DAYS))
