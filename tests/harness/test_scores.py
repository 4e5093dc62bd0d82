"""The strata of a prediction, their averages and intervals, and what is refused."""

import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from benchmark.space.skeletons import SKELETONS
from harness.metrics.bootstrap import Array, candidate_sets, resample_counts
from harness.metrics.registry import METRICS
from harness.scoring.scores import Score, flags, score_prediction
from harness.scoring.targets import ScoredSplit, Targets

EPOCHS = 6
SEEN = ("peephole-3x2", "shallow-3x1", "wide-3x1")
HELD_OUT = ("deep-3x3", "stages-4x1", "strided-3x2", "residual-3x2")
PER_SKELETON = 24


def make_targets(seed: int = 0) -> Targets:
    """Return networks of every skeleton, a fifth of which do not learn."""
    rng = np.random.default_rng(seed)
    names = [name for name in (*SEEN, *HELD_OUT) for _ in range(PER_SKELETON)]
    size = len(names)
    final = np.where(rng.random(size) < 0.2, 0.1, 0.7 + 0.1 * rng.normal(size=size))
    curves = np.linspace(0.6, 1.0, EPOCHS) * final[:, None]
    curves = (curves + 0.02 * rng.normal(size=curves.shape)).clip(0, 1).round(3)
    ids = tuple(f"a{index:03d}" for index in range(size))
    # The first networks of peephole-3x2 are rows 0, 1, ...
    paired = tuple(
        ids[index % PER_SKELETON] if name in ("strided-3x2", "residual-3x2") else None
        for index, name in enumerate(names)
    )
    splits: tuple[ScoredSplit, ...] = tuple(
        "heldout" if name in HELD_OUT else "test" for name in names
    )
    return Targets(
        tuple(f"r-{i}" for i in ids), ids, tuple(names), splits, paired, curves, 10, 0.03
    )


def make_mean(targets: Targets, observed: int, seed: int = 1) -> Array:
    noise = np.random.default_rng(seed).normal(size=targets.curves.shape)
    return (targets.curves + 0.1 * noise).clip(0, 1)[:, observed:]


def take(targets: Targets, rows: list[int]) -> Targets:
    """Return the targets of some runs, in the order of `rows`."""
    return Targets(
        tuple(targets.run_ids[row] for row in rows),
        tuple(targets.architecture_ids[row] for row in rows),
        tuple(targets.skeletons[row] for row in rows),
        tuple(targets.splits[row] for row in rows),
        tuple(targets.paired_architecture_ids[row] for row in rows),
        targets.curves[rows],
        targets.classes,
        targets.seed_difference,
    )


TARGETS = make_targets()
EARLY = tuple(range(3, EPOCHS + 1))
MEAN = make_mean(TARGETS, 2)
STD = np.full(MEAN.shape, 0.1)
SCORES = score_prediction(TARGETS, MEAN, epochs=EARLY, std=STD)


def rows_of(skeleton: str) -> list[int]:
    return [row for row, name in enumerate(TARGETS.skeletons) if name == skeleton]


def found(stratum: str, metric: str) -> float:
    score = SCORES[stratum][metric].value
    assert score is not None
    return score


def test_every_stratum_is_there() -> None:
    assert set(SCORES) == {
        *("test", "heldout", "heldout/extrapolates", "heldout/unseen feature"),
        *("test/learned", "heldout/learned"),
        *(f"skeleton/{name}" for name in SKELETONS),
    }


def test_each_stratum_has_the_metrics_that_apply() -> None:
    everywhere = set(METRICS) - {"tau_paired", "auc_learned"}
    expected = {name: everywhere | {"auc_learned"} for name in SCORES}
    for name in ("heldout/unseen feature", "skeleton/strided-3x2", "skeleton/residual-3x2"):
        expected[name] = set(METRICS)
    unknown = score_prediction(
        replace(TARGETS, seed_difference=None), MEAN, epochs=EARLY, std=STD, novelty={}
    )
    assert "tau_distinct" not in unknown["test"]
    for name in ("test/learned", "heldout/learned"):
        expected[name] = everywhere
    assert {name: set(scores) for name, scores in SCORES.items()} == expected


def test_the_last_epoch_alone_has_no_curve_scores_and_no_std_has_no_gaussian_ones() -> None:
    scores = score_prediction(TARGETS, MEAN[:, -1:], epochs=(EPOCHS,))
    absent = {name for name, metric in METRICS.items() if metric.needs in ("curve", "std")}
    assert all(not absent & set(metrics) for metrics in scores.values())
    for stratum, metrics in scores.items():
        for name, score in metrics.items():
            with_curve = SCORES[stratum][name]
            assert score.value == pytest.approx(with_curve.value, abs=1e-12)
            assert score.low == pytest.approx(with_curve.low, abs=1e-12)


def test_test_is_pooled_over_its_skeletons() -> None:
    rows = [row for name in SEEN for row in rows_of(name)]
    expected = stats.kendalltau(TARGETS.curves[rows, -1], MEAN[rows, -1]).statistic
    assert found("test", "tau") == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    "metric", [name for name, m in METRICS.items() if name != "tau_paired" and not m.pooled]
)
@pytest.mark.parametrize(
    ("stratum", "names"),
    [
        ("heldout", HELD_OUT),
        ("heldout/extrapolates", ("deep-3x3", "stages-4x1")),
        ("heldout/unseen feature", ("strided-3x2", "residual-3x2")),
    ],
)
def test_held_out_is_the_average_of_its_skeletons(
    metric: str, stratum: str, names: tuple[str, ...]
) -> None:
    expected = np.mean([found(f"skeleton/{name}", metric) for name in names])
    assert found(stratum, metric) == pytest.approx(expected, abs=1e-12)


def test_r2_over_skeletons_is_of_the_sums_about_the_mean_of_each() -> None:
    sums = np.zeros(2)
    for name in HELD_OUT:
        rows = rows_of(name)
        target, mean = TARGETS.curves[rows, -1], MEAN[rows, -1]
        sums += np.sum((target - mean) ** 2), np.sum((target - target.mean()) ** 2)
    assert found("heldout", "r2") == pytest.approx(1 - sums[0] / sums[1], abs=1e-12)


def test_regret_is_the_mean_over_candidate_sets_and_its_interval_their_distribution() -> None:
    rows = np.array([row for row, split in enumerate(TARGETS.splits) if split == "test"])
    target, mean = TARGETS.curves[rows, -1], MEAN[rows, -1]
    sets = candidate_sets([TARGETS.architecture_ids[row] for row in rows])
    regrets = [target[s].max() - target[s][np.argmax(mean[s])] for s in sets]
    score = SCORES["test"]["regret_1"]
    assert score.value == pytest.approx(np.mean(regrets), abs=1e-12)
    assert (score.low, score.high) == pytest.approx(np.quantile(regrets, [0.025, 0.975]))


def test_held_out_is_not_pooled() -> None:
    # The prediction is the level of each skeleton, the same for all its networks
    shift = np.array([0.2 * HELD_OUT.index(s) if s in HELD_OUT else 0.0 for s in TARGETS.skeletons])
    rng = np.random.default_rng(0)
    curves = (shift[:, None] + 0.1 + 0.05 * rng.random(TARGETS.curves.shape)).clip(0, 1)
    scores = score_prediction(
        replace(TARGETS, curves=curves), shift[:, None] + 0.0 * curves[:, :1], epochs=(EPOCHS,)
    )
    assert scores["heldout"]["tau"].value == 0.0


def test_learned_networks_are_those_truly_above_twice_chance() -> None:
    rows = [i for name in SEEN for i in rows_of(name) if TARGETS.curves[i, -1] > 0.2]
    assert 0 < len(rows) < 3 * PER_SKELETON
    expected = np.mean((TARGETS.curves[rows, -1] - MEAN[rows, -1]) ** 2)
    assert found("test/learned", "mse") == pytest.approx(expected, abs=1e-15)
    assert not replace(TARGETS, curves=np.full((len(MEAN), 1), 0.2)).learned.any()


def test_paired_tau_is_of_the_differences_to_the_paired_networks() -> None:
    expected = []
    for name in ("strided-3x2", "residual-3x2"):
        rows, lenders = rows_of(name), rows_of("peephole-3x2")
        targets = (TARGETS.curves[rows, -1] - TARGETS.curves[lenders, -1]).round(6)
        mean = (MEAN[rows, -1] - MEAN[lenders, -1]).round(6)
        expected.append(stats.kendalltau(targets, mean).statistic)
        assert found(f"skeleton/{name}", "tau_paired") == pytest.approx(expected[-1], abs=1e-12)
    average = found("heldout/unseen feature", "tau_paired")
    assert average == pytest.approx(np.mean(expected), abs=1e-12)


def test_equal_differences_stay_ties_in_float32() -> None:
    # .8 - .7 and .3 - .2 differ in the 8th decimal when they come from float32
    stored = np.array([[0.7], [0.2], [0.8], [0.3], [0.9]], np.float32)
    curves = stored.astype(np.float64)
    assert curves[2, 0] - curves[0, 0] != curves[3, 0] - curves[1, 0]
    targets = Targets(
        run_ids=tuple("abcde"),
        architecture_ids=tuple("abcde"),
        skeletons=("p", "p", "s", "s", "s"),
        splits=("test", "test", "heldout", "heldout", "heldout"),
        paired_architecture_ids=(None, None, "a", "b", "a"),
        curves=curves,
        classes=10,
    )
    mean = np.array([[0.5], [0.5], [0.5], [0.6], [0.7]])
    # Differences .1 .1 .2 against 0 .1 .2: 2 concordant, 1 tied in the target
    scores = score_prediction(targets, mean, epochs=(1,))
    assert scores["skeleton/s"]["tau_paired"].value == pytest.approx(2 / np.sqrt(2 * 3))


def test_a_pair_counts_only_if_both_networks_are_there() -> None:
    lenders, strided = rows_of("peephole-3x2"), rows_of("strided-3x2")
    kept = take(TARGETS, lenders[:10] + strided)
    mean = MEAN[lenders[:10] + strided]
    scores = score_prediction(kept, mean, epochs=EARLY)
    alone = take(TARGETS, strided[:10] + lenders[:10])
    fewer = score_prediction(alone, MEAN[strided[:10] + lenders[:10]], epochs=EARLY)
    paired = scores["skeleton/strided-3x2"]["tau_paired"].value
    assert paired == fewer["skeleton/strided-3x2"]["tau_paired"].value
    none = score_prediction(take(TARGETS, strided), MEAN[strided], epochs=EARLY)
    assert "tau_paired" not in none["skeleton/strided-3x2"]


def test_the_order_of_runs_has_no_effect() -> None:
    order = np.random.default_rng(5).permutation(len(MEAN)).tolist()
    shuffled = score_prediction(take(TARGETS, order), MEAN[order], epochs=EARLY, std=STD[order])
    assert shuffled == SCORES


def test_dropping_a_skeleton_does_not_change_the_others() -> None:
    rows = [row for row, name in enumerate(TARGETS.skeletons) if name != "deep-3x3"]
    fewer = score_prediction(take(TARGETS, rows), MEAN[rows], epochs=EARLY, std=STD[rows])
    assert "skeleton/deep-3x3" not in fewer
    changed = {name for name in fewer if fewer[name] != SCORES[name]}
    assert changed == {"heldout", "heldout/extrapolates", "heldout/learned"}
    assert fewer["heldout/extrapolates"] == SCORES["skeleton/stages-4x1"]


def test_strata_without_networks_are_absent() -> None:
    rows = rows_of("shallow-3x1")
    scores = score_prediction(take(TARGETS, rows), MEAN[rows], epochs=EARLY)
    assert set(scores) == {"test", "test/learned", "skeleton/shallow-3x1"}
    assert scores["test"] == scores["skeleton/shallow-3x1"]


def test_a_seen_skeleton_can_be_held_out_and_belongs_to_no_novelty() -> None:
    rows = rows_of("wide-3x1")
    splits: tuple[ScoredSplit, ...] = tuple("heldout" for _ in rows)
    scores = score_prediction(replace(take(TARGETS, rows), splits=splits), MEAN[rows], epochs=EARLY)
    assert set(scores) == {"heldout", "heldout/learned", "skeleton/wide-3x1"}
    given = score_prediction(
        replace(take(TARGETS, rows), splits=splits),
        MEAN[rows],
        epochs=EARLY,
        novelty={"wide-3x1": "extrapolates"},
    )
    assert given["heldout/extrapolates"] == scores["heldout"]


def test_intervals_are_percentiles_of_explicit_resamples() -> None:
    rows = rows_of("stages-4x1")
    counts = resample_counts([TARGETS.architecture_ids[row] for row in rows])
    targets, mean = TARGETS.curves[rows, -1], MEAN[rows, -1]
    drawn = [np.repeat(np.arange(len(rows)), count) for count in counts]
    taus = [stats.kendalltau(targets[index], mean[index]).statistic for index in drawn]
    score = SCORES["skeleton/stages-4x1"]["tau"]
    assert (score.low, score.high) == pytest.approx(tuple(np.quantile(taus, [0.025, 0.975])))


def test_an_average_has_a_narrower_interval_than_its_skeletons() -> None:
    def width(stratum: str) -> float:
        score = SCORES[stratum]["tau"]
        assert score.low is not None
        assert score.high is not None
        return score.high - score.low

    widths = [width(f"skeleton/{name}") for name in HELD_OUT]
    # The skeletons' resamples are independent: the spread of a mean of 4 falls by about 2
    assert 0.35 * np.mean(widths) < width("heldout") < 0.65 * np.mean(widths)


def test_the_interval_covers_the_true_tau() -> None:
    # Normal pairs of correlation .8: tau = 2/pi asin(.8) = .590; 40 samples of 100 networks
    rng, covered = np.random.default_rng(3), 0
    for repeat in range(40):
        scores_ = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], size=100)
        curves, mean = stats.norm.cdf(scores_[:, :1]), stats.norm.cdf(scores_[:, 1:])
        ids = tuple(f"{repeat}-{index}" for index in range(100))
        targets = Targets(ids, ids, ("s",) * 100, ("test",) * 100, (None,) * 100, curves, 2)
        score = score_prediction(targets, mean, epochs=(1,))["test"]["tau"]
        assert score.low is not None
        assert score.high is not None
        covered += score.low <= 2 / np.pi * np.arcsin(0.8) <= score.high
    assert covered >= 34  # of 40: fewer has a probability of .3 % at a coverage of 95 %


def test_repeated_runs_of_a_network_do_not_narrow_the_interval() -> None:
    rows = rows_of("stages-4x1")
    once_each = take(TARGETS, rows)
    thrice = Targets(
        run_ids=tuple(f"{run_id}-{seed}" for seed in range(3) for run_id in once_each.run_ids),
        architecture_ids=once_each.architecture_ids * 3,
        skeletons=once_each.skeletons * 3,
        splits=once_each.splits * 3,
        paired_architecture_ids=once_each.paired_architecture_ids * 3,
        curves=np.tile(once_each.curves, (3, 1)),
        classes=10,
    )
    scores = score_prediction(thrice, np.tile(MEAN[rows], (3, 1)), epochs=EARLY)
    for name in ("mse", "r2", "auc_learned", "curve_r2"):
        once, many = SCORES["skeleton/stages-4x1"][name], scores["skeleton/stages-4x1"][name]
        assert (once.low, once.high) == pytest.approx((many.low, many.high), abs=1e-12)


def test_auc_is_none_where_all_networks_learned_and_left_out_of_the_average() -> None:
    curves = TARGETS.curves.copy()
    curves[rows_of("deep-3x3"), -1] = np.linspace(0.5, 0.6, PER_SKELETON)
    scores = score_prediction(replace(TARGETS, curves=curves), MEAN, epochs=EARLY)
    assert scores["skeleton/deep-3x3"]["auc_learned"] == Score(None, None, None)
    stages = SCORES["skeleton/stages-4x1"]["auc_learned"]
    assert scores["heldout/extrapolates"]["auc_learned"] == stages
    every = score_prediction(replace(TARGETS, curves=0.5 + 0.4 * curves), MEAN, epochs=EARLY)
    assert every["heldout"]["auc_learned"] == Score(None, None, None)


def test_a_stratum_in_which_nothing_learned_is_absent() -> None:
    curves = TARGETS.curves * 0.2
    scores = score_prediction(replace(TARGETS, curves=curves), MEAN, epochs=EARLY)
    assert not {"test/learned", "heldout/learned"} & set(scores)


def test_a_constant_prediction_is_flagged() -> None:
    names = ("a", "a", "b", "b")
    assert flags(np.array([[0.1], [0.2], [0.3], [0.4]]), names) == ()
    assert flags(np.array([[0.1], [0.2], [0.3], [0.3]]), names) == ("constant in b",)
    assert flags(np.full((4, 2), 0.3), names) == ("constant",)
    scores = score_prediction(TARGETS, np.full((len(MEAN), 1), 0.3), epochs=(EPOCHS,))
    taus = {scores[stratum]["tau"] for stratum in scores}
    assert taus == {Score(0.0, 0.0, 0.0)}


@pytest.mark.parametrize("epochs", [(), (3, 4, 5), (3, 5, 6), (6, 5), (0, *range(1, 7)), (7,)])
def test_epochs_run_to_the_last_without_a_gap(epochs: tuple[int, ...]) -> None:
    message = f"`epochs` (={epochs}) must be all from the first one not observed to 6, or (6,)"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        score_prediction(TARGETS, MEAN, epochs=epochs)


@pytest.mark.parametrize("name", ["mean", "std"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(name: str, bad: float) -> None:
    values = {"mean": MEAN.copy(), "std": STD.copy()}
    values[name][2, 1] = bad
    message = f"`{name}` of run 'r-a002' at epoch 4 (={bad}) must be finite"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        score_prediction(TARGETS, values["mean"], epochs=EARLY, std=values["std"])


def test_wrong_shapes_are_refused() -> None:
    message = "`mean` of shape (168, 3) must be (networks, epochs) = (168, 4)"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        score_prediction(TARGETS, MEAN[:, 1:], epochs=EARLY)
    message = "`std` of shape (168,) must be (networks, epochs) = (168, 4)"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        score_prediction(TARGETS, MEAN, epochs=EARLY, std=STD[:, 0])


def test_a_std_of_zero_is_refused() -> None:
    std = STD.copy()
    std[0, 0] = 0.0
    message = "`std` of run 'r-a000' at epoch 3 (=0.0) must be above 0"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        score_prediction(TARGETS, MEAN, epochs=EARLY, std=std)
