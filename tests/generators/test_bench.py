"""The textbook loop against the engine, and the speeds that `bench` reports."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import wilcoxon

import generators.checks.bench
from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import LayerRow, walk
from benchmark.space.sampler import sequence
from benchmark.space.skeletons import SKELETONS
from generators.campaign.campaign import Campaign
from generators.campaign.plan import make_plan
from generators.campaign.run_campaign import Outcome
from generators.checks.bench import Ways, bench, stratified_by_cost
from generators.checks.device_limits import Limits, limits, traffic_of
from generators.checks.reference_loop import (
    Images,
    Setting,
    TextbookLayer,
    TextbookNetwork,
    train_textbook,
)
from generators.checks.speed_table import Speed, parity, report
from generators.training.images import load_images
from generators.training.network import Convolution, Network, initialise
from generators.workers.run_options import RunOptions
from generators.workers.worker import failed_row
from tests.toys.campaign import RECIPE, job_of, options_of, tiny_architecture, tiny_plan, toy_row

CPU = torch.device("cpu")


@pytest.mark.parametrize("skeleton", SKELETONS)
def test_a_textbook_network_gives_the_logits_of_the_engines(skeleton: str) -> None:
    images = get_images("digits")
    rows = walk(next(sequence(skeleton, images)).architecture, images)
    network, textbook = Network(rows, RECIPE), TextbookNetwork(rows)
    initialise(network, RECIPE, "toy")
    for ours, theirs in zip(network.layers, textbook.layers, strict=True):
        if isinstance(ours, Convolution | torch.nn.Linear):
            assert isinstance(theirs, TextbookLayer)
            theirs.inner.load_state_dict(
                {"weight": ours.weight.detach(), "bias": ours.bias.detach()}
            )
    x = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(network(x), textbook(x), atol=1e-3, rtol=1e-3)


def test_weights_of_a_textbook_network_are_drawn_as_the_recipe_says() -> None:
    rows = walk(tiny_architecture(), get_images("digits"))
    torch.manual_seed(0)
    many = [TextbookNetwork(rows) for _ in range(50)]
    for index, row in enumerate(rows):
        if row.kind in ("conv", "linear"):
            drawn = [list(n.layers[index].parameters()) for n in many]  # weight, then bias
            weights = torch.cat([weight.detach().flatten() for weight, _ in drawn])
            assert float(weights.std()) == pytest.approx(expected_std(row), rel=0.05)
            assert not any(bias.any() for _, bias in drawn)


def expected_std(row: LayerRow) -> float:
    fan_in = row.in_channels * row.kernel_height * row.kernel_width
    return float(np.sqrt((1 if row.kind == "linear" else 2) / fan_in))


def test_images_are_normalised_and_in_training_augmented() -> None:
    pixels = load_images("digits")
    plain = Images(pixels.valid, pixels, augmented=False)
    image, label = plain[3]
    raw = pixels.valid.images[3].astype(float)
    assert np.allclose(image.numpy(), (raw - pixels.mean[0]) / pixels.std[0], atol=1e-6)
    assert (label, len(plain)) == (int(pixels.valid.labels[3]), 350)
    spec = replace(pixels.images, cropped=True, flipped=True)
    moved = Images(pixels.valid, replace(pixels, images=spec), augmented=True)
    seen = {moved[3][0].numpy().tobytes() for _ in range(20)}
    assert len(seen) > 10
    assert moved[3][0].shape == image.shape


def test_a_textbook_loop_learns_and_stops_after_its_epochs() -> None:
    recipe = replace(RECIPE, epochs=4, warmup_epochs=1)
    torch.manual_seed(0)
    setting = Setting(CPU, autocast=False, channels_last=False, epochs=3)
    rows = walk(tiny_architecture(), get_images("digits"))
    found = train_textbook(TextbookNetwork(rows), recipe, load_images("digits"), setting)
    assert len(found) == 3
    assert max(found) > 0.3
    loaded = replace(setting, epochs=1, loaders=1)
    torch.manual_seed(0)
    assert len(train_textbook(TextbookNetwork(rows), recipe, load_images("digits"), loaded)) == 1


def test_strata_are_evenly_spaced_ranks_of_cost() -> None:
    plan = make_plan(["digits"])
    found = stratified_by_cost(plan, 8)
    costs = sorted(run.cost for run in plan if run.seed == 0)
    step = len(costs) // 8
    assert [run.cost for run in found] == costs[step // 2 :: step]
    assert all(run.seed == 0 for run in found)
    message = rf"^`count` \(=0\) must be in 1..{len(costs)}, the number of planned networks$"
    with pytest.raises(ValueError, match=message):
        stratified_by_cost(plan, 0)


def test_every_way_trains_the_same_networks(threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generators.checks.bench, "make_plan", lambda _: tiny_plan(4))
    found = list(bench("digits", RECIPE, options_of(), Ways(2, plain_epochs=1)))
    assert [speed.name for speed in found] == ["N0", "N1", "N2", "engine x2"]
    assert [speed.accuracies is None for speed in found] == [True, True, False, False]
    assert found[2].accuracies == pytest.approx(found[3].accuracies)  # same streams and steps
    for speed in found:
        assert (speed.networks, speed.busy) == (2, None)
        assert speed.images == 2 * 2 * 21 * 50
        assert speed.seconds > 0
    lines = list(report(found, limits(CPU, "fp32")))
    assert [line.split()[0] for line in lines] == [
        "way",
        "N0",
        "N1",
        "N2",
        "engine",
        "a",
        "accuracy",
    ]
    assert lines[1].endswith("1.00")
    assert lines[-1].endswith("mean +0.0000 over 2 networks, p 1.000")


def test_plain_loops_may_train_some_networks_and_an_engine_runs_at_every_width(
    threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generators.checks.bench, "make_plan", lambda _: tiny_plan(8))
    recipe = replace(RECIPE, precision="bf16")
    ways = Ways(4, widths=(1, 2), plain=1, plain_epochs=1, audited=2)
    found = {speed.name: speed for speed in bench("digits", recipe, options_of(), ways)}
    assert list(found) == ["N0", "N1", "N2", "engine x1", "engine x2", "fp32"]
    assert [speed.networks for speed in found.values()] == [1, 1, 1, 4, 4, 2]
    assert found["N0"].bandwidth == 2 * found["N1"].bandwidth == 2 * found["N2"].bandwidth
    engine, audit = found["engine x2"], found["fp32"]
    assert engine.accuracies == found["engine x1"].accuracies
    assert audit.accuracies is not None
    assert engine.accuracies is not None
    assert set(audit.accuracies) < set(engine.accuracies)  # with the run ids of bf16
    assert parity(audit, engine)[0] == 2
    last = list(report(list(found.values()), limits(CPU, "bf16")))[-1]
    assert last.startswith("accuracy of fp32 minus that of engine x2: mean ")


def test_plain_loops_may_be_left_out(threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generators.checks.bench, "make_plan", lambda _: tiny_plan(4))
    found = list(bench("digits", RECIPE, options_of(), Ways(1, plain=0)))
    assert [speed.name for speed in found] == ["engine x2"]
    with pytest.raises(ValueError, match=r"^2 networks cannot be taken from a sample of 1$"):
        list(bench("digits", RECIPE, options_of(), Ways(1, plain=2)))
    with pytest.raises(ValueError, match=r"^the recipe of 'digits' is in fp32 already, so it"):
        list(bench("digits", RECIPE, options_of(), Ways(2, audited=1)))


def test_failed_runs_do_not_count_for_the_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generators.checks.bench, "make_plan", lambda _: tiny_plan(4))
    failing: set[int] = {1}

    def campaign(found: Campaign, _: RunOptions) -> Outcome:
        for place, run in enumerate(found.plan()):
            failed = failed_row(job_of(run), "so")
            found.store(failed if place in failing else toy_row(run))
        return Outcome(3, 0, {})

    monkeypatch.setattr(generators.checks.bench, "run_campaign", campaign)
    (speed,) = bench("digits", RECIPE, options_of(), Ways(3, plain=0))
    assert speed.networks == 2
    assert speed.accuracies is not None
    assert len(speed.accuracies) == 2
    assert speed.images == 2 * 2 * 21 * 50
    failing |= {0, 2}
    message = "engine x2: no network was trained; reason of the first: 'so'"
    with pytest.raises(ValueError, match=f"^{message}$"):
        list(bench("digits", RECIPE, options_of(), Ways(3, plain=0)))


def test_traffic_matches_a_calculation_by_hand() -> None:
    run = tiny_plan(1)[0]
    rows = walk(run.architecture, get_images("digits"))
    activations = sum(row.out_channels * row.out_resolution**2 for row in rows)
    moved = 4 * activations * (5 * 21 * 50 + 2 * 700) * 2  # fp32, two epochs
    assert traffic_of(run, RECIPE) == moved
    assert traffic_of(run, replace(RECIPE, precision="bf16")) == moved / 2


def test_the_table_matches_a_calculation_by_hand() -> None:
    slow = Speed("N0", 10, 3600.0, 7.2e6, 3.6e15, 3.6e15, {"a": 0.5, "b": 0.6})
    fast = Speed("engine x2", 20, 720.0, 1.4e7, 7.2e15, 3.6e15, {"a": 0.6, "b": 0.6}, 0.5)
    assert list(report([slow, fast], Limits(1e14, 1e13))) == [
        "way         networks/h    images/s  TFLOP/s  of peak     GB/s  of copy  busy  times N0",
        "N0                10.0       2,000    1.000     1.0%   1000.0    10.0%     -      1.00",
        "engine x2        100.0      19,444   10.000    10.0%   5000.0    50.0%   50%     10.00",
        "a network takes at least 3.600 s of arithmetic and 18.000 s of memory traffic on this "
        "device; engine x2 took 36.000 s",
        "accuracy of engine x2 minus that of N0: mean +0.0500 over 2 networks, p 1.000",
    ]


def test_parity_is_a_paired_test() -> None:
    rng = np.random.default_rng(0)
    first = {str(i): value for i, value in enumerate(rng.random(20))}
    second = {name: value + 0.01 for name, value in first.items()} | {"another": 0.5}
    one, other = (Speed("", 20, 1.0, 1.0, 1.0, 1.0, values) for values in (second, first))
    count, mean, p_value = parity(one, other)
    assert count == 20
    assert mean == pytest.approx(0.01)
    assert p_value == pytest.approx(float(wilcoxon(np.full(20, 0.01)).pvalue), abs=1e-3)
    assert parity(one, one) == (21, 0.0, 1.0)
    with pytest.raises(ValueError, match=r"^accuracies can only be compared after all epochs$"):
        parity(one, replace(other, accuracies=None))
    with pytest.raises(ValueError, match=r"^the two ways trained no common network$"):
        parity(one, replace(other, accuracies={}))
