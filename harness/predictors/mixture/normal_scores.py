"""Normal scores: accuracies as ranks on the scale of a standard normal variable, and back.

A network with rank r of n has the score that a standard normal variable falls below with
probability (r - 1/2) / n. Models that are fitted to scores learn the order of networks and are not
dominated by networks that fail. A predicted score becomes an accuracy by what was seen of networks
that were held out: their scores differ from the predicted ones by residuals, so the accuracy is a
mean over the training accuracies at the predicted score plus each residual. Standard deviations are
scaled until nine of ten held-out networks lie within 1.645 of them (split conformal prediction, Lei
et al. 2018, arXiv:1604.04173, on held-out folds).
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import norm, rankdata

from harness.protocol import Array

COVERAGE, DEVIATIONS = 0.9, 1.645  # share of a normal distribution within so many std
LEAST_STD, LEAST_FACTOR = 1e-4, 0.1  # of an accuracy, and of what multiplies it


def normal_scores(accuracies: Array) -> Array:
    """Return the normal scores of accuracies (networks, epochs) in each epoch; ties share one.

    >>> normal_scores(np.array([[0.1], [0.9], [0.5]])).round(2).ravel().tolist()
    [-0.97, 0.97, 0.0]
    """
    ranks = rankdata(accuracies, axis=0)
    return np.asarray(norm.ppf((ranks - 0.5) / len(accuracies)), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class ScoreScale:
    """Accuracies to expect at predicted scores.

    Attributes:
        sorted_accuracies: (networks, epochs), training accuracies in ascending order.
        slopes: (epochs,), what a predicted score is multiplied by.
        residuals: (networks, epochs), scores of held-out networks minus the multiplied ones.
        factors: (epochs,), what standard deviations are multiplied by.
    """

    sorted_accuracies: Array
    slopes: Array
    residuals: Array
    factors: Array

    @classmethod
    def fit(cls, accuracies: Array, predicted: Array) -> "ScoreScale":
        """Return the scale for accuracies of networks and the scores predicted for them.

        Both are (networks, epochs), and each network was held out when its scores were predicted. A
        slope is least squares, and at least 0.
        """
        scores = normal_scores(accuracies)
        squares = np.maximum(np.square(predicted).sum(axis=0), 1e-12)
        slopes = np.maximum((predicted * scores).sum(axis=0) / squares, 0.0)
        residuals = scores - slopes * predicted
        unscaled = cls(np.sort(accuracies, axis=0), slopes, residuals, np.ones(len(slopes)))
        mean, std = unscaled.moments(predicted)
        level = min(1.0, COVERAGE * (1 + 1 / len(scores)))  # corrected for few networks
        wide = np.quantile(abs(accuracies - mean) / std, level, axis=0, method="higher")
        return replace(unscaled, factors=np.maximum(wide, LEAST_FACTOR) / DEVIATIONS)

    def moments(self, predicted: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation of accuracies at scores (networks, epochs)."""
        known = norm.ppf((np.arange(len(self.residuals)) + 0.5) / len(self.residuals))
        mean, std = np.empty_like(predicted), np.empty_like(predicted)
        for epoch, (slope, residuals) in enumerate(zip(self.slopes, self.residuals.T, strict=True)):
            scores = slope * predicted[:, epoch, None] + residuals
            accuracies = np.interp(scores, known, self.sorted_accuracies[:, epoch])
            mean[:, epoch], std[:, epoch] = accuracies.mean(axis=1), accuracies.std(axis=1)
        return mean, np.maximum(std, LEAST_STD) * self.factors
