"""The surrogate of the open track: its fit, its check on held-back networks, and its noise."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.release import Release
from benchmark.space.splits import SPLITS
from harness.features.logits import to_logits
from harness.search.open import surrogate as module
from harness.search.open.check import FoldScore, SurrogateCheck, score_fold
from harness.search.open.space import load_space
from harness.search.open.surrogate import (
    FOLDS,
    ForestSurrogate,
    Networks,
    check_folds,
    load_surrogate,
    read_networks,
)
from tests.toys.data import EPOCHS, make_rows, toy_release

SPACE = load_space("digits")


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return Release(toy_release(tmp_path_factory.mktemp("release")))


@pytest.fixture(scope="module")
def toy(release: Release) -> ForestSurrogate:
    return load_surrogate("digits", release)


def test_networks_have_the_runs_of_all_splits_and_seeds(release: Release) -> None:
    networks = read_networks("digits", release)
    rows = [
        (row["architecture_id"], row["valid_accuracy"][-1])
        for split in SPLITS
        for row in release.runs("digits", split).to_pylist()
        if row["status"] != "failed"
    ]
    names = sorted({name for name, _ in rows})
    assert networks.features.shape == (len(names), 163)
    for name, logits in zip(names, networks.logits, strict=True):
        finals = np.array([final for n, final in rows if n == name])
        assert logits == pytest.approx(to_logits(finals))
    assert sum(map(len, networks.logits)) == len(rows)
    assert networks.means[0] == networks.logits[0].mean()
    assert networks.epochs == EPOCHS


def test_networks_with_the_same_blocks_are_a_family(release: Release) -> None:
    families = read_networks("digits", release).families
    paired = release.runs("digits", "heldout")["paired_architecture_id"].to_pylist()
    others = {
        name for split in ("train", "validation", "test")
        for name in release.runs("digits", split)["architecture_id"].to_pylist()
    }  # fmt: skip
    together = len({name for name in paired if name in others})
    assert together > 0
    assert len(families) - len(set(families.tolist())) == together


def test_a_fold_holds_back_whole_families() -> None:
    """Twins have the same features, and a value that nothing else tells."""
    rng = np.random.default_rng(0)
    features, logits = rng.normal(size=(60, 5)), rng.normal(size=60)
    twins = Networks(
        EPOCHS, np.repeat(features, 2, axis=0), np.repeat(np.arange(60), 2),
        tuple(np.array([logit]) for logit in np.repeat(logits, 2)),
    )  # fmt: skip
    folds = check_folds(twins)
    assert [fold.networks for fold in folds] == [24] * FOLDS
    assert np.mean([fold.r2 or 0.0 for fold in folds]) < 0.1
    apart = check_folds(replace(twins, families=np.arange(120)))
    assert np.mean([fold.r2 or 0.0 for fold in apart]) > 0.2


def test_scores_of_a_fold_by_hand() -> None:
    found = score_fold(np.array([0.2, 0.4, 0.9]), np.array([0.3, 0.6, 0.5]))
    sse, sst = 0.01 + 0.04 + 0.16, 0.09 + 0.01 + 0.16
    assert found.networks == 3
    assert found.tau == pytest.approx(1 / 3)  # two of three pairs are in order
    assert (found.mse, found.r2) == pytest.approx((sse / 3, 1 - sse / sst))
    assert score_fold(np.full(2, 0.5), np.array([0.5, 1.0])) == FoldScore(2, None, None, 0.125)


def test_a_surrogate_says_what_it_was_fitted_to(toy: ForestSurrogate, release: Release) -> None:
    networks = read_networks("digits", release)
    repeated = sum(len(logits) > 1 for logits in networks.logits)
    assert (toy.check.networks, toy.check.repeated) == (len(networks.logits), repeated)
    assert sum(fold.networks for fold in toy.check.folds) == len(networks.logits)
    assert len(toy.residuals) == len(toy.centres) == repeated
    assert all(abs(residuals.mean()) < 1e-12 for residuals in toy.residuals)
    assert (toy.images, toy.epochs) == ("digits", EPOCHS)


def test_values_are_those_of_the_forest(toy: ForestSurrogate, release: Release) -> None:
    features = read_networks("digits", release).features
    expected = toy.forest.predict(features)
    assert module._predict(toy.forest, features) == pytest.approx(expected, abs=1e-5)
    drawn = SPACE.sample(np.random.default_rng(0))
    assert 0.02 <= toy.value(drawn) <= 0.995
    assert toy.value(drawn) == toy.value(drawn)


def hand_made(centres: list[float], residuals: list[list[float]]) -> ForestSurrogate:
    check = SurrogateCheck("none", 0, 0, ())
    arrays = tuple(map(np.array, residuals))
    return ForestSurrogate("digits", EPOCHS, check, None, np.array(centres), arrays)


def test_noise_is_that_of_the_networks_of_similar_accuracy(monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = hand_made([0.0, 2.0, 4.0], [[-1.0, 1.0], [0.0], [-0.1, 0.1]])
    monkeypatch.setattr(module, "NEIGHBOURS", 1)
    middle = {noisy.measure(0.5, str(name), 0) for name in range(40)}  # a logit of 0
    high = {noisy.measure(0.98, str(name), 0) for name in range(40)}  # of 3.89
    low, lucky = 1 / (1 + np.e), 1 / (1 + np.exp(-1))
    assert sorted(middle) == pytest.approx([low, lucky])
    by_hand = [1 / (1 + np.exp(-np.log(49) - change)) for change in (-0.1, 0.1)]
    assert sorted(high) == pytest.approx(by_hand)
    monkeypatch.setattr(module, "NEIGHBOURS", 2)
    assert len({noisy.measure(0.5, str(name), 0) for name in range(40)}) == 3


def test_noise_is_that_of_seed_and_architecture(toy: ForestSurrogate) -> None:
    runs = {(name, seed): toy.measure(0.8, name, seed) for name in ("a", "b") for seed in range(8)}
    assert runs == {key: toy.measure(0.8, *key) for key in runs}
    assert len(set(runs.values())) > 4
    assert all(0 < run < 1 for run in runs.values())


def test_too_few_networks_are_refused(tmp_path: Path) -> None:
    rows = make_rows({"peephole-3x2": {"train": 4}})
    few = Release(toy_release(tmp_path, (), rows))
    message = (
        "a surrogate of digits needs at least 5 networks, and one of them with several seeds; the "
        "data has 4 and 3"
    )
    with pytest.raises(ValueError, match=f"^{message}$"):
        load_surrogate("digits", few)


def test_image_sets_without_runs_are_refused(release: Release) -> None:
    with pytest.raises(ValueError, match=r"^unknown images 'digist'; did you mean 'digits'\? "):
        load_surrogate("digist", release)
    with pytest.raises(FileNotFoundError, match="mnist"):
        load_surrogate("mnist", release)
