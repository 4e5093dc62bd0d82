"""Draws networks unlike the released ones and trains them with the recipe of `digits`.

`python -m tests.odd_networks` takes some minutes and writes `tests/odd_networks.json`: the layer
rows and the final valid accuracy of each. `tests/harness/test_intervals.py` predicts them.
"""

import json
import sys
from dataclasses import astuple
from pathlib import Path
from random import Random

import torch
from torch import Tensor, nn

from benchmark.recipes import RECIPES
from benchmark.space.imagesets import get_images
from generators.checks.reference_loop import Setting, train_textbook
from generators.training.images import load_images
from harness.tracing.trace import trace_module

NUMBER = 60
FILE = Path(__file__).with_suffix(".json")
ACTIVATIONS = (nn.ReLU, nn.ReLU, nn.ReLU, nn.Sigmoid, nn.Tanh, nn.Identity)


class Block(nn.Module):
    """Some layers with a shortcut around them."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) + x  # type: ignore[no-any-return]


def draw_network(random: Random, channels: int, resolution: int, classes: int) -> nn.Sequential:
    """Return a network of one of many families, some of which hardly train."""
    activation = random.choice(ACTIVATIONS)
    normalised = random.random() < 0.5
    kernels = random.choice(((1,), (3,), (3,), (3, 1), (5,), (7, 3)))
    width = random.choice((2, 8, 16, 32, 48))
    depth = random.choice((1, 2, 2, 3, 4, 6, 10, 20))
    rate = random.choice((0, 0, 0, 0.2, 0.5, 0.9, 0.95))
    pools = random.choice((0, 1, 2))
    narrow = random.randrange(depth) if random.random() < 0.2 else -1
    residual = random.random() < 0.2
    layers: list[nn.Module] = []
    for index in range(depth):
        out = 1 if index == narrow else width
        kernel = kernels[index % len(kernels)]
        part: list[nn.Module] = [nn.Conv2d(channels, out, kernel, padding="same")]
        part += [nn.BatchNorm2d(out)] if normalised else []
        part += [activation()]
        layers += [Block(nn.Sequential(*part))] if residual and channels == out else part
        channels = out
        if pools and index % max(depth // 2, 1) == 0 and resolution > 2:
            layers.append(random.choice((nn.MaxPool2d, nn.AvgPool2d))(2))
            pools, resolution = pools - 1, resolution // 2
    layers += [nn.Dropout(rate)] if rate else []
    if random.random() < 0.5:
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]
    else:
        units = random.choice((16, 84))
        layers += [nn.Flatten(), nn.Linear(channels * resolution**2, units), activation()]
        layers += [nn.Dropout(rate)] if rate else []
        layers += [nn.Linear(units, classes)]
    return nn.Sequential(*layers)


def main() -> None:
    """Train the networks and write their rows and accuracies."""
    torch.set_num_threads(1)
    images, recipe = get_images("digits"), RECIPES["digits"]
    pixels = load_images("digits")
    setting = Setting(
        torch.device("cpu"), autocast=False, channels_last=False, epochs=recipe.epochs
    )
    records = []
    for index in range(NUMBER):
        torch.manual_seed(index)
        size = images.channels, images.resolution, images.classes
        network = draw_network(Random(index), *size)
        rows = [astuple(row) for row in trace_module(network, images).rows]
        final = train_textbook(network, recipe, pixels, setting)[-1]
        records.append({"rows": rows, "final": round(final, 4)})
        sys.stderr.write(f"{index} {len(rows)} layers: {final:.3f}\n")
    FILE.write_text("[\n" + ",\n".join(map(json.dumps, records)) + "\n]\n")


if __name__ == "__main__":
    main()
