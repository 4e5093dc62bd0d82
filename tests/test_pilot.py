"""The pilot's plan, its rule of choice on hand-made tables, and its table."""

import re
from functools import lru_cache

import numpy as np
import pytest

import generators.pilot
from benchmark.imagesets import IMAGES
from benchmark.sequence import sequence
from generators.pilot import (
    RATES,
    between_share,
    pilot_csv,
    pilot_plan,
    pilot_rates,
    pilot_recipes,
)

CHANCE = 0.1
plan_of = lru_cache(pilot_plan)
Finals = dict[tuple[float, int, int], float]


@pytest.fixture(autouse=True)
def _plan_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generators.pilot, "pilot_plan", plan_of)


def rows(
    stuck: tuple[int, int, int] = (0, 0, 0),
    noise: tuple[float, float, float] = (0.01, 0.01, 0.01),
    lift: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> list[dict[str, object]]:
    """Return the pilot's rows: finals from .5 to .73 in steps of .01, by network.

    At each rate: `lift` is added to all, the last `stuck` networks end at chance, and seed 1 is
    `noise` above seed 0 for even networks and below for odd ones.
    """
    made: list[dict[str, object]] = []
    recipes = list(pilot_recipes("digits"))
    numbers: dict[str, int] = {}
    for run in plan_of("digits"):
        rate = recipes.index(run.recipe_id)
        i = numbers.setdefault(run.architecture_id, len(numbers))
        final = 0.5 + 0.01 * i + lift[rate] + noise[rate] * run.seed * (1 if i % 2 == 0 else -1)
        final = CHANCE if i >= 24 - stuck[rate] else final
        made.append({"run_id": run.run_id, "valid_accuracy": [CHANCE, final]})
    return made


def chosen(**tables: tuple[float, float, float]) -> float:
    table = pilot_rates(rows(**tables), "digits")  # type: ignore[arg-type]
    assert [row.rate for row in table] == list(RATES)
    picked = [row.rate for row in table if row.chosen]
    assert len(picked) == 1
    return picked[0]


def test_the_largest_share_between_networks_wins() -> None:
    assert chosen(noise=(0.06, 0.01, 0.06)) == 0.05
    assert chosen(noise=(0.06, 0.06, 0.01), lift=(0.2, 0.1, 0.0)) == 0.1  # though its mean is least


def test_equal_shares_are_told_apart_by_the_mean() -> None:
    assert chosen(lift=(0.0, 0.0, 0.1)) == 0.1
    assert chosen(lift=(0.1, 0.0, 0.0)) == 0.02


def test_a_rate_with_more_stuck_networks_is_out() -> None:
    # Of 24, one more is 4.2 points: in. Two more are 8.3 points: out.
    best_between = (0.06, 0.06, 0.01)
    assert chosen(noise=best_between, stuck=(0, 0, 1)) == 0.1
    assert chosen(noise=best_between, stuck=(0, 0, 2), lift=(0.1, 0.0, 0.0)) == 0.02
    assert chosen(noise=best_between, stuck=(3, 3, 4)) == 0.1


def test_a_rate_holds_what_its_networks_gave() -> None:
    row = pilot_rates(rows(stuck=(6, 0, 0)), "digits")[0]
    learned = 0.5 + 0.01 * np.arange(18)
    assert (row.rate, row.networks, row.stuck) == (0.02, 24, 0.25)
    assert row.mean == pytest.approx(learned.mean())
    assert row.std == pytest.approx(learned.std(ddof=1))


def test_networks_stuck_with_one_seed_are_no_pair() -> None:
    table = rows()
    recipe = next(iter(pilot_recipes("digits")))
    lucky = next(r for r in plan_of("digits") if r.recipe_id == recipe and r.seed == 1)
    before = pilot_rates(table, "digits")[0].between
    for row in table:
        if row["run_id"] == lucky.run_id:
            row["valid_accuracy"] = [CHANCE, CHANCE]
    after = pilot_rates(table, "digits")[0]
    assert abs(after.between - before) < 0.05  # as a pair it would be most of the variance
    assert after.stuck == 0  # stuck networks are counted with seed 0


def test_between_share_by_hand() -> None:
    # Pairs (0, .2) and (1, .8): within .02 each; each seed's variance .5 and .18, mean .34.
    assert between_share(np.array([[0.0, 0.2], [1.0, 0.8]])) == pytest.approx(1 - 0.02 / 0.34)
    assert between_share(np.array([[0.5, 0.5], [0.5, 0.5]])) == 0.0


def test_the_pilot_is_outside_the_dataset_and_half_of_it_is_repeated() -> None:
    plan = plan_of("digits")
    assert len(plan) == 3 * (24 + 12)
    networks = {run.architecture_id: run.draw_index for run in plan}
    assert sorted(networks.values()) == list(range(24))
    own = sequence("peephole-3x2", IMAGES["digits"])
    assert networks.keys().isdisjoint({next(own).architecture_id for _ in range(500)})
    for recipe in pilot_recipes("digits").values():
        for seed, count in ((0, 24), (1, 12)):
            chosen = [r for r in plan if (r.recipe_id, r.seed) == (recipe.recipe_id, seed)]
            assert sorted(run.draw_index for run in chosen) == list(range(count))
    assert {r.peak_rate for r in pilot_recipes("digits").values()} == {0.02, 0.05, 0.1}


def test_a_missing_run_is_named() -> None:
    first, second = (run.run_id for run in plan_of("digits")[3:5])
    table = [row for row in rows() if row["run_id"] not in (first, second)]
    message = f"the pilot of 'digits' lacks 2 runs, {first!r} first"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        pilot_rates(table, "digits")


def test_the_table_is_kept_as_csv() -> None:
    table = pilot_rates(rows(stuck=(6, 6, 6), lift=(0.0, 0.1, 0.0)), "digits")
    lines = pilot_csv(table).splitlines()
    assert lines[0] == "rate,networks,stuck,between,mean,std,chosen"
    # 18 learned: .50 to .67, mean .585, deviation .01 * sqrt(18 * 19 / 12)
    assert re.fullmatch(r"0\.02,24,0\.25,0\.\d+,0\.585,0\.0534,False", lines[1])
    assert re.fullmatch(r"0\.05,24,0\.25,0\.\d+,0\.685,0\.0534,True", lines[2])
    assert len(lines) == 4
