"""The pilot's plan, the rule that chooses a rate, and the table."""

import re
from functools import lru_cache
from types import SimpleNamespace

import numpy as np
import pytest

from benchmark.space.imagesets import IMAGES
from benchmark.space.sampler import sequence
from generators.campaign.learning_rate_pilot import (
    PilotRate,
    between_share,
    pilot_csv,
    pilot_plan,
    pilot_rates,
    pilot_recipes,
)
from generators.workers.planned_run import PlannedRun

CHANCE = 0.1
RATES = (0.02, 0.05, 0.1)


@lru_cache(maxsize=1)
def plan() -> list[PlannedRun]:
    return pilot_plan("digits", RATES)


def table_of(made: list[dict[str, object]]) -> list[PilotRate]:
    """Return the pilot's results for a campaign with some rows."""
    campaign = SimpleNamespace(
        rows=lambda: iter(made), plan=plan, recipes=lambda: pilot_recipes("digits", RATES),
        purpose="pilot",
    )  # fmt: skip
    return pilot_rates(campaign, "digits")  # type: ignore[arg-type]


def rows(
    stuck: tuple[int, int, int] = (0, 0, 0),
    noise: tuple[float, float, float] = (0.01, 0.01, 0.01),
    lift: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> list[dict[str, object]]:
    """Return the pilot's rows: finals from .5 to .61 in steps of .01, by network.

    At each rate: `lift` is added to all, the last `stuck` networks end at chance, and seed 1 is
    `noise` above seed 0 for even networks and below for odd ones.
    """
    made: list[dict[str, object]] = []
    recipes = list(pilot_recipes("digits", RATES))
    numbers: dict[str, int] = {}
    for run in plan():
        rate = recipes.index(run.recipe_id)
        i = numbers.setdefault(run.architecture_id, len(numbers))
        final = 0.5 + 0.01 * i + lift[rate] + noise[rate] * run.seed * (1 if i % 2 == 0 else -1)
        final = CHANCE if i >= 12 - stuck[rate] else final
        curve = [CHANCE, final]
        made.append({"run_id": run.run_id, "status": "completed", "valid_accuracy": curve})
    return made


def chosen(**tables: tuple[float, float, float]) -> float:
    table = table_of(rows(**tables))  # type: ignore[arg-type]
    assert [row.rate for row in table] == list(RATES)
    picked = [row.rate for row in table if row.chosen]
    assert len(picked) == 1
    return picked[0]


def test_the_largest_share_between_networks_wins() -> None:
    assert chosen(noise=(0.06, 0.01, 0.06)) == 0.05
    assert chosen(noise=(0.06, 0.06, 0.01), lift=(0.2, 0.1, 0.0)) == 0.1  # with the lowest mean


def test_of_equal_shares_the_highest_mean_wins() -> None:
    assert chosen(lift=(0.0, 0.0, 0.1)) == 0.1
    assert chosen(lift=(0.1, 0.0, 0.0)) == 0.02


def test_a_rate_with_more_stuck_networks_is_no_candidate() -> None:
    # Two more of 24 runs, the two seeds of a network, are 8.3 points
    best_between = (0.06, 0.06, 0.01)
    assert chosen(noise=best_between, stuck=(1, 1, 1)) == 0.1
    assert chosen(noise=best_between, stuck=(0, 0, 1), lift=(0.1, 0.0, 0.0)) == 0.02


def test_a_rate_with_one_more_stuck_run_of_24_is_a_candidate() -> None:
    table = rows(noise=(0.06, 0.06, 0.01))
    recipe = list(pilot_recipes("digits", RATES))[2]
    unlucky = next(run.run_id for run in plan() if run.recipe_id == recipe and run.seed == 1)
    for row in table:
        if row["run_id"] == unlucky:
            row["valid_accuracy"] = [CHANCE, CHANCE]
    assert [row.chosen for row in table_of(table)] == [False, False, True]


def test_a_rate_has_the_statistics_of_its_networks() -> None:
    row = table_of(rows(stuck=(3, 0, 0), noise=(0.0, 0.0, 0.0)))[0]
    learned = np.repeat(0.5 + 0.01 * np.arange(9), 2)
    assert (row.rate, row.networks, row.stuck) == (0.02, 12, 0.25)
    assert row.mean == pytest.approx(learned.mean())
    assert row.std == pytest.approx(learned.std(ddof=1))
    assert row.between == pytest.approx(1)


def test_a_network_stuck_with_one_seed_does_not_count_as_a_pair() -> None:
    table = rows()
    recipe = next(iter(pilot_recipes("digits", RATES)))
    lucky = next(r for r in plan() if r.recipe_id == recipe and r.seed == 1)
    before = table_of(table)[0].between
    for row in table:
        if row["run_id"] == lucky.run_id:
            row["valid_accuracy"] = [CHANCE, CHANCE]
    after = table_of(table)[0]
    assert abs(after.between - before) < 0.05  # as a pair it would be most of the variance
    assert after.stuck == 1 / 24


def test_shares_are_compared_on_networks_that_learned_at_every_candidate_rate() -> None:
    """A network that barely learns at one rate would otherwise be most of the variance there."""
    table = rows(noise=(0.01, 0.03, 0.03))
    recipes = list(pilot_recipes("digits", RATES))
    ends = dict(zip(recipes, (0.15, 0.25, 0.15), strict=True))
    for run, row in zip(plan(), table, strict=True):
        if run.draw_index == 11:
            row["valid_accuracy"] = [CHANCE, ends[run.recipe_id]]
    found = table_of(table)
    assert [row.stuck for row in found] == pytest.approx([2 / 24, 0, 2 / 24])
    assert [row.chosen for row in found] == [False, True, False]  # the others are no candidates
    for run, row in zip(plan(), table, strict=True):
        if (run.draw_index, run.seed) == (11, 1):
            row["valid_accuracy"] = [CHANCE, 0.25]  # within the tolerance
    found = table_of(table)
    assert [row.chosen for row in found] == [True, False, False]
    assert found[0].between > found[1].between


def test_between_share_by_hand() -> None:
    # Pairs (0, .2) and (1, .8): within .02 each; each seed's variance .5 and .18, mean .34.
    assert between_share(np.array([[0.0, 0.2], [1.0, 0.8]])) == pytest.approx(1 - 0.02 / 0.34)
    assert between_share(np.array([[0.5, 0.5], [0.5, 0.5]])) == 0.0


def test_the_pilot_is_outside_the_dataset_and_trains_each_network_twice() -> None:
    assert len(plan()) == 3 * 12 * 2
    networks = {run.architecture_id: run.draw_index for run in plan()}
    assert sorted(networks.values()) == list(range(12))
    own = sequence("peephole-3x2", IMAGES["digits"])
    assert networks.keys().isdisjoint({next(own).architecture_id for _ in range(500)})
    recipes = pilot_recipes("digits", RATES)
    assert [recipe.peak_rate for recipe in recipes.values()] == list(RATES)
    for recipe in recipes:
        for seed in (0, 1):
            drawn = [r.draw_index for r in plan() if (r.recipe_id, r.seed) == (recipe, seed)]
            assert drawn == list(range(12))


def test_a_missing_run_is_named() -> None:
    first, second = (run.run_id for run in plan()[3:5])
    table = [row for row in rows() if row["run_id"] not in (first, second)]
    message = f"the pilot of 'digits' lacks 2 runs; the first is {first!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        table_of(table)


def test_a_run_that_failed_counts_as_missing() -> None:
    table = rows()
    table[0] |= {"status": "failed", "valid_accuracy": []}
    with pytest.raises(ValueError, match=f"lacks 1 run; the first is {plan()[0].run_id!r}$"):
        table_of(table)


def test_the_table_is_written_as_csv() -> None:
    table = table_of(rows(stuck=(3, 3, 3), noise=(0.0, 0.0, 0.0), lift=(0.0, 0.1, 0.0)))
    lines = pilot_csv(table).splitlines()
    assert lines[0] == "rate,networks,stuck,between,mean,std,chosen"
    # 9 learned with both seeds: .50 to .58, twice each, deviation .01 * sqrt(120 / 17)
    assert lines[1] == "0.02,12,0.25,1.0,0.54,0.0266,False"
    assert lines[2] == "0.05,12,0.25,1.0,0.64,0.0266,True"
    assert len(lines) == 4
