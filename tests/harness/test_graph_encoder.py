"""The graph encoder: neighbours and loss by hand, and what its scores may depend on."""

import numpy as np
import torch

from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import ROW_KINDS, walk
from harness.predictors.encoders.graph_encoder import (
    STEPS,
    GraphEncoder,
    neighbours,
    node_features,
    pairwise_loss,
)
from tests.toys.runs import toy_runs


def test_neighbours_are_one_and_two_steps_away_in_both_directions() -> None:
    rows = toy_runs(2, skeleton="peephole-3x2").layer_rows[0]
    around = neighbours(rows)
    assert around.shape == (2 * STEPS, len(rows), len(rows))
    middle = 5
    found = [np.flatnonzero(around[kind, middle]).tolist() for kind in range(4)]
    assert found == [[4], [6], [3], [7]]  # a chain: read, read by, then two steps away
    ends = [around[kind, place].sum() for kind, place in ((0, 0), (1, -1), (2, 1), (3, -2))]
    assert ends == [0.0] * 4  # the image is no layer, and nothing reads the last one


def test_an_addition_takes_the_mean_of_what_it_reads() -> None:
    rows = toy_runs(2, skeleton="residual-3x2").layer_rows[0]
    addition = next(i for i, row in enumerate(rows) if row.kind == "add")
    before = neighbours(rows)[0, addition]
    assert np.flatnonzero(before).tolist() == sorted(i for i in rows[addition].inputs if i >= 0)
    assert set(before[before > 0]) == {1 / len(rows[addition].inputs)}


def test_a_stride_is_a_feature() -> None:
    images = get_images("cifar10")
    architecture = toy_runs(2, skeleton="strided-3x2").architectures[0]
    assert architecture is not None
    rows = walk(architecture, images)
    strides = node_features(rows)[:, len(ROW_KINDS) + 2]
    assert strides.tolist() == [float(np.log2(row.stride)) for row in rows]
    assert strides.max() == 1.0


def test_the_loss_counts_each_pair_that_is_not_tied() -> None:
    scores, targets = torch.tensor([2.0, 0.0, 5.0]), torch.tensor([1.0, 0.0, 1.0])
    by_hand = np.mean([np.log1p(np.exp(-2.0)), np.log1p(np.exp(-5.0))])  # each counts twice
    assert float(pairwise_loss(scores, targets)) == np.float32(by_hand)
    tied = pairwise_loss(scores.requires_grad_(), torch.ones(3))
    tied.backward()  # type: ignore[no-untyped-call]
    assert float(tied.detach()) == 0.0
    assert scores.grad is not None
    assert not scores.grad.any()


def test_scores_depend_on_neither_the_batch_nor_the_epochs() -> None:
    runs = toy_runs(24)
    predictor = GraphEncoder(training_epochs=2)
    predictor.fit(runs, runs.take(np.arange(6)), observed=1, seed=3)
    whole = predictor.predict(runs.observe(2))
    for index in (0, 7):
        alone = predictor.predict(runs.take(np.array([index])).observe(0))
        np.testing.assert_allclose(alone.mean, whole.mean[[index]], atol=1e-5)
    assert whole.epochs == (runs.recipe.epochs,)
    assert whole.std is not None
    assert (whole.std > 0).all()
