"""Fits on trials: their scores and intervals, the file they are kept in, and its continuation."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import kendalltau

from harness.evaluate_cli import evaluate
from harness.metrics.bootstrap import resample_counts
from harness.predictors.baselines import MeanCurve
from harness.predictors.registry import PREDICTORS, has_weights
from harness.protocol import Runs
from harness.results.result import HARNESS_VERSION
from harness.running.evaluate_many import Setting
from harness.running.find_predictor import find
from harness.running.trials import Trial, applicable, average, fit_trial
from harness.running.try_many import read_fits, store, try_many
from harness.studies.external import external_trials
from tests.toys.external import network, write_external

PRETRAINED = {name for name in PREDICTORS if not has_weights(name)}
TASKS = ("--task", "digits-k0-v3", "--task", "digits-k2-v3")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_external(tmp_path / "toy.jsonl")


def noisy(tmp_path: Path) -> list[Trial]:
    """Return trials of 80 networks in pairs, whose first epochs tell nothing of the last.

    The second divides them otherwise: some of its test networks are tested in the first, too.
    """
    rng = np.random.default_rng(0)
    lines = [
        network(
            i,
            group=f"g{i // 2}",
            series={"valid_accuracy": rng.uniform(size=6).tolist()},
            split=("train", "validation", "test", "test")[i // 2 % 4],
        )
        for i in range(80)
    ]
    (first,) = external_trials(write_external(tmp_path / "noisy.jsonl", *lines))
    for i, line in enumerate(lines):
        line["split"] = ("test", "train", "validation", "test")[i // 2 % 4]
    (second,) = external_trials(write_external(tmp_path / "noisy.jsonl", *lines))
    return [first, replace(second, division=1)]


def test_a_task_that_leaves_no_epoch_to_predict_is_refused(file: Path) -> None:
    message = "the runs have 6 epochs, so none is left to predict after 7"
    with pytest.raises(ValueError, match=f"^{message}$"):
        try_many(["parameters"], external_trials(file), [7, 8], Setting(file.parent))


def test_a_score_is_the_mean_over_divisions_and_its_interval_draws_groups_once(
    tmp_path: Path,
) -> None:
    """Compared with scipy, network by network and resample by resample."""
    trials = noisy(tmp_path)
    fits = [fit for t in trials for fit in fit_trial(find("last-value"), t, [3], 0)]
    score = average(trials, fits)
    names = sorted({group for trial in trials for group in trial.groups})
    drawn = resample_counts(names)
    taus = []
    for counts in np.concatenate([np.ones((1, len(names)), np.int32), drawn]):
        often = dict(zip(names, counts, strict=True))
        values = []
        for trial in trials:
            repeated = np.repeat(np.arange(len(trial.test)), [often[g] for g in trial.groups])
            curves = trial.test.series.valid_accuracy[repeated]
            values.append(kendalltau(curves[:, 2], curves[:, -1]).statistic)
        taus.append(np.mean(values))
    tau = score.scores["tau"]
    assert tau.value == pytest.approx(taus[0])
    low, high = np.quantile(taus[1:], [0.025, 0.975])
    assert tau.low == pytest.approx(low)
    assert tau.high == pytest.approx(high)
    single = average(trials[:1], fits[:1])
    assert single.scores == fits[0].scores


def test_a_fit_that_changes_its_runs_does_not_reach_the_next(file: Path) -> None:
    trial = external_trials(file)[0]
    digest = trial.digest
    fits = [fit_trial(replace(find("mean-curve"), make=Careless), trial, [0], s) for s in (0, 1)]
    assert fits[0][0].predicted == fits[1][0].predicted
    assert {fit.data for (fit,) in fits} == {digest}


class Careless(MeanCurve):
    """Spoils the runs that it is fitted on."""

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Learn the mean curve."""
        super().fit(train, validation, observed=observed, seed=seed)
        train.series.valid_accuracy[:] = 0.0


def test_a_predictor_that_reads_layers_learns_them(file: Path) -> None:
    (constant, counted) = (
        average(trials, [fit for t in trials for fit in fit_trial(find(name), t, [0], 0)])
        for trials in [external_trials(file)]
        for name in ("mean-curve", "parameters")
    )
    assert constant.scores["tau"].value == 0.0
    assert (counted.scores["tau"].value or 0) > 0.9


def test_all_leaves_out_what_needs_proxies_where_there_are_none(file: Path) -> None:
    trials = external_trials(file)
    assert all(trial.train.proxies is None for trial in trials)
    names = applicable(tuple(PREDICTORS), has_proxies=False)
    assert set(PREDICTORS) - set(names) == {
        "grad-norm", "snip", "synflow", "jacov", "naswot", "proxy-forest", *PRETRAINED,
    }  # fmt: skip
    left_out = set(PREDICTORS) - set(applicable(tuple(PREDICTORS), has_proxies=True))
    assert left_out == PRETRAINED
    (fit,) = fit_trial(find("snip"), trials[0], [0], 0)  # named explicitly, it fails and says why
    assert fit.scores == {}
    why = r"^ValueError: there are no zero-cost proxies of these networks on 'mnist'; .+$"
    assert re.match(why, str(fit.failure))


def test_the_digest_of_a_trial_depends_on_every_network(tmp_path: Path) -> None:
    first = external_trials(write_external(tmp_path / "a.jsonl"))
    again = external_trials(write_external(tmp_path / "b.jsonl"))
    assert [t.digest for t in first] == [t.digest for t in again]
    lines = [network(i) for i in range(60)]
    lines[7]["series"]["learning_rate"] = [0.1] * 6
    changed = external_trials(write_external(tmp_path / "c.jsonl", *lines))
    assert not {t.digest for t in first} & {t.digest for t in changed}


def test_a_second_run_makes_only_what_is_missing_and_prints_the_same(
    file: Path, tmp_path: Path
) -> None:
    output = tmp_path / "fits.jsonl"
    words = ["last-value", "--external", str(file), *TASKS, "--output", str(output)]
    first = CliRunner().invoke(evaluate, words)
    assert first.exit_code == 0, first.output
    whole = output.read_text()
    lines = [json.loads(line) for line in whole.splitlines()]
    assert {(line["division"], line["observed"]) for line in lines} == {
        (division, k) for division in range(3) for k in (0, 2)
    }
    again = CliRunner().invoke(evaluate, words)
    assert (again.stdout, output.read_text()) == (first.stdout, whole)

    output.write_text(whole[: -len(whole.splitlines()[-1]) // 2 - 1])  # killed in the last line
    resumed = CliRunner().invoke(evaluate, words)
    torn = f"{output}: line 6 is torn and was dropped; it is made again\n"
    assert resumed.stderr.startswith(torn)
    assert resumed.stdout == first.stdout
    assert output.read_text() == whole


def test_a_failed_fit_is_stored_and_made_again(file: Path, tmp_path: Path) -> None:
    own, output = tmp_path / "own.py", tmp_path / "fits.jsonl"
    own.write_text(
        "import os\nclass Dying:\n"
        "    def fit(self, train, validation, *, observed, seed):\n"
        "        if len(train) == SIZE: os._exit(9)\n"
        "        self.train = train\n"
        "    def predict(self, queries):\n"
        "        from harness.protocol import Prediction\n"
        "        import numpy as np\n"
        "        return Prediction(np.full((len(queries), 1), 0.5), (6,))\n"
    )
    source, trials = own.read_text(), external_trials(file)
    own.write_text(source.replace("SIZE", str(len(trials[1].train))))
    words = [f"{own}:Dying", "--external", str(file), *TASKS[:2], "--seeds", "1"]
    words += ["--output", str(output)]
    dead = CliRunner().invoke(evaluate, words)
    assert dead.exit_code == 1
    assert "2 failed: the process ended early: exit code 9" in dead.stdout
    fits = read_fits(output, trials)
    assert [fit.failure is None for fit in fits.values()] == [True, False, False]
    own.write_text(source.replace("SIZE", "0"))
    done = CliRunner().invoke(evaluate, words)
    assert done.exit_code == 0
    assert len(output.read_text().splitlines()) == 5


def test_fits_on_other_data_or_by_another_version_are_refused(file: Path, tmp_path: Path) -> None:
    output, trials = tmp_path / "fits.jsonl", external_trials(file)
    (fit,) = fit_trial(find("last-value"), trials[0], [1], 0)
    store(output, [fit])
    text = output.read_text()
    other, version, give = "0" * 16, HARNESS_VERSION, "give another --output"
    for name, value, message in (
        ("data", other, f"(={other!r}) must be {fit.data!r}, the networks given; {give}"),
        ("harness_version", "0", f"(='0') must be {version!r}; {give}"),
        ("seed", "x", "(='x') must be a whole number"),
    ):
        output.write_text(text + json.dumps(json.loads(text) | {name: value}) + "\n")
        message = f"`{name}` {message}"
        with pytest.raises(ValueError, match=f"^{re.escape(f'{output}: line 2: {message}')}$"):
            read_fits(output, trials)


def test_a_file_of_another_kind_is_refused_and_left_as_it_was(file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(ValueError, match=r"toy.jsonl: line 1: unknown field 'format'"):
        read_fits(file, external_trials(file))
    file.write_bytes(before.rstrip())  # without the end of the last line
    with pytest.raises(ValueError, match=r"toy.jsonl: line 1: unknown field 'format'"):
        read_fits(file, external_trials(file))
    assert file.read_bytes() == before.rstrip()


def test_output_without_trials_is_a_mistake(tmp_path: Path) -> None:
    words = ["last-value", *TASKS, "--output", str(tmp_path / "fits.jsonl")]
    done = CliRunner().invoke(evaluate, words)
    assert done.exit_code == 2
    why = "--output goes with one of --external, --leave-one-skeleton-out, --train-size"
    assert why in " ".join(done.stderr.split())


def test_tasks_of_other_runs_are_not_replaced_by_the_first() -> None:
    words = ["--task", "digits-k0-v3", "--task", "mnist-k3-v1", "--train-size", "50"]
    done = CliRunner().invoke(evaluate, ["mean-curve", *words])
    assert done.exit_code == 2
    assert done.stderr.endswith("--train-size take tasks of the same runs\n")
