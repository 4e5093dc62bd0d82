"""A recurrent controller that draws architectures, trained by REINFORCE.

As in Zoph and Le (2017, ICLR, arXiv:1611.01578), an LSTM makes one decision after another: the
skeleton, then layer by layer its kind or the end of the block, its kernel and its ratio. Unlike
there, its scores are added to the logarithms of the Markov chain's probabilities. So it starts as
the chain and never leaves the search space. Children are trained from scratch; to share weights
among them as in ENAS (Pham et al. 2018, ICML) is another problem.
"""

import math

import torch
from torch import Tensor, nn

from benchmark.space.architectures import Architecture
from harness.search.open.decisions import VALUES, Construction, Quantity, Value
from harness.search.open.session import OpenSession
from harness.search.open.space import Space

IDLE = 20  # batches without a new child after which a search ends


class Policy(nn.Module):
    """An LSTM that gives each value of the next decision a score."""

    def __init__(self, space: Space, units: int) -> None:
        """Create it; before it learns, all scores are 0."""
        super().__init__()
        self.space = space
        lists: dict[Quantity, tuple[Value, ...]] = {"skeleton": tuple(space.shares), **VALUES}
        values = [(quantity, value) for quantity, of in lists.items() for value in of]
        self.values = values
        self.places = {value: place for place, value in enumerate(values)}
        self.embedding = nn.Embedding(len(values) + 1, units)  # the last one begins
        self.cell = nn.LSTMCell(units, units)
        self.scores = nn.Linear(units, len(values))
        nn.init.zeros_(self.scores.weight)
        nn.init.zeros_(self.scores.bias)

    def draw(
        self, children: int, generator: torch.Generator
    ) -> tuple[list[Construction], Tensor, Tensor]:
        """Return complete constructions, and the log-probability and entropy of each, (children,).

        They may exceed the limit on cost.
        """
        made = [self.space.begin() for _ in range(children)]
        state = (torch.zeros(children, self.cell.hidden_size),) * 2
        last = torch.full((children,), len(self.values))
        log_probability, entropy = torch.zeros(children), torch.zeros(children)
        while any(child.quantity for child in made):
            state = self.cell(self.embedding(last), state)
            logits: Tensor = self.scores(state[0]) + self._log_priors(made)
            log_p = logits.log_softmax(dim=1)
            p = log_p.exp()
            last = torch.multinomial(p.detach(), 1, generator=generator)[:, 0]
            log_probability = log_probability + log_p.gather(1, last[:, None])[:, 0]
            entropy = entropy - (p * log_p.masked_fill(p == 0, 0.0)).sum(dim=1)
            for child, place in zip(made, last.tolist(), strict=True):
                if child.quantity:
                    child.take(self.values[place][1])
        return made, log_probability, entropy

    def _log_priors(self, made: list[Construction]) -> Tensor:
        """Return log-probabilities of the chain, (children, values); complete ones have value 0."""
        rows = [[-torch.inf] * len(self.values) for _ in made]
        for row, child in zip(rows, made, strict=True):
            if child.quantity is None:
                row[0] = 0.0
            else:
                for value, probability in child.options().items():
                    row[self.places[child.quantity, value]] = math.log(probability)
        return torch.tensor(rows)


class Controller:
    """Trains batches of children, and then the policy that drew them.

    The baseline is a moving average of the accuracies. Children above the limit on cost are left
    out; one that was trained before counts again, and costs nothing.
    """

    def __init__(
        self,
        *,
        children: int = 10,
        units: int = 64,
        rate: float = 0.02,
        entropy: float = 0.001,
        decay: float = 0.8,
    ) -> None:
        """Set batch, units of the LSTM, learning rate, entropy bonus and decay of the baseline."""
        self.children, self.units, self.rate = children, units, rate
        self.entropy, self.decay = entropy, decay

    def search(self, session: OpenSession, *, seed: int) -> None:
        """Search until the budget is spent, or the policy draws nothing new."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            policy = Policy(session.space, self.units)
        generator = torch.Generator().manual_seed(seed)
        optimiser = torch.optim.Adam(policy.parameters(), lr=self.rate)
        baseline, idle = None, 0
        while idle < IDLE:
            before = session.spent_epochs
            made, log_probability, entropy = policy.draw(self.children, generator)
            drawn = [child.architecture() for child in made]
            fits = [place for place, child in enumerate(drawn) if session.space.fits(child)]
            rewards = torch.tensor([_reward(session, drawn[place]) for place in fits])
            idle = idle + 1 if session.spent_epochs == before else 0
            if not fits:
                continue
            mean = float(rewards.mean())
            baseline = mean if baseline is None else self.decay * baseline + (1 - self.decay) * mean
            gain = (rewards - baseline) * log_probability[fits] + self.entropy * entropy[fits]
            optimiser.zero_grad()
            (-gain.mean()).backward()  # type: ignore[no-untyped-call]
            optimiser.step()


def _reward(session: OpenSession, child: Architecture) -> float:
    known = session.known(child)
    return session.train(child) if known is None else known
