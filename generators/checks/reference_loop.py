"""A textbook training loop, with which the speed and the accuracies of the engine are compared.

Networks are built layer by layer from separate pads, convolutions and pools. A `DataLoader`
augments one image at a time, and every step reads its loss from the device. Torch draws weights,
order and augmentation, so accuracies differ from the engine's as those of another seed do.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, RandomSampler

from benchmark.recipes import Recipe, learning_rates
from benchmark.space.layer_walk import LayerRow
from generators.training.images import ImageArrays, Pixels
from generators.training.network import GlobalPool


@dataclass(frozen=True, slots=True)
class Setting:
    """How a textbook loop runs.

    Attributes:
        device: Torch device to train on.
        autocast: Whether convolutions are computed in bf16.
        channels_last: Whether tensors are in channels_last order.
        epochs: Number of epochs to train, of the recipe's schedule.
        loaders: Number of processes that load training images; 0: this process loads them.
    """

    device: torch.device
    autocast: bool
    channels_last: bool
    epochs: int
    loaders: int = 0


class TextbookLayer(nn.Module):
    """A layer with a separate pad before it."""

    def __init__(self, row: LayerRow) -> None:
        """Make the layer of a row, with weights drawn by torch."""
        super().__init__()
        self.row = row
        if row.kind == "conv":
            kernel = (row.kernel_height, row.kernel_width)
            self.inner: nn.Module = nn.Conv2d(row.in_channels, row.out_channels, kernel, row.stride)
            self._initialise((2 / (row.in_channels * kernel[0] * kernel[1])) ** 0.5)
        elif row.kind == "bn":
            self.inner = nn.BatchNorm2d(row.out_channels)
        elif row.kind == "linear":
            self.inner = nn.Linear(row.in_channels, row.out_channels)
            self._initialise(row.in_channels**-0.5)
        else:
            simple = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
            self.inner = simple.get(row.kind, GlobalPool)()

    def _initialise(self, std: float) -> None:
        """Draw normal weights and set biases to zero."""
        for parameter in self.inner.parameters():
            nn.init.normal_(parameter, std=std if parameter.ndim > 1 else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the layer."""
        row, kernel = self.row, (self.row.kernel_height, self.row.kernel_width)
        pad = (0, 0, 0, 0)
        if row.role != "transition" or row.kind == "conv":
            pad = row.same_padding
        if row.kind == "conv":
            y: Tensor = self.inner(functional.pad(x, pad))
        elif row.kind == "max_pool":
            y = functional.max_pool2d(functional.pad(x, pad, value=-torch.inf), kernel, row.stride)
        elif row.kind == "avg_pool":
            ones = torch.ones_like(x[:1, :1])
            share = functional.avg_pool2d(functional.pad(ones, pad), kernel, 1)
            y = functional.avg_pool2d(functional.pad(x, pad), kernel, 1) / share
        else:
            y = self.inner(x)
        return y


class TextbookNetwork(nn.Module):
    """A network that computes its rows in order and keeps all activations."""

    def __init__(self, rows: tuple[LayerRow, ...]) -> None:
        """Make all layers."""
        super().__init__()
        self.rows = rows
        self.layers = nn.ModuleList(TextbookLayer(row) for row in rows)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (n, classes) of images (n, channels, r, r), normalised."""
        activations = {-1: images}
        for index, (row, module) in enumerate(zip(self.rows, self.layers, strict=True)):
            inputs = [activations[source] for source in row.inputs]
            activations[index] = inputs[0] + inputs[1] if row.kind == "add" else module(inputs[0])
        return activations[len(self.rows) - 1]


class Images(Dataset[tuple[Tensor, int]]):
    """Images one at a time, normalised and, in training, cropped and mirrored."""

    def __init__(self, subset: ImageArrays, pixels: Pixels, *, augmented: bool) -> None:
        """Take images of an image set, and whether to augment them as its training images."""
        self.subset = subset
        self.cropped = augmented and pixels.images.cropped
        self.flipped = augmented and pixels.images.flipped
        self.mean = torch.tensor(pixels.mean).view(-1, 1, 1)
        self.std = torch.tensor(pixels.std).view(-1, 1, 1)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.subset.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return an image fp32 (channels, r, r) and its label."""
        image = torch.tensor(self.subset.images[index])
        if self.cropped:
            size = image.shape[-1]
            row, column = torch.randint(9, (2,)).tolist()
            image = functional.pad(image, (4,) * 4)[:, row : row + size, column : column + size]
        if self.flipped and torch.rand(()) < 0.5:
            image = image.flip(2)
        return (image.float() - self.mean) / self.std, int(self.subset.labels[index])


def train_textbook(
    network: nn.Module, recipe: Recipe, pixels: Pixels, setting: Setting
) -> list[float]:
    """Train a network, such as a `TextbookNetwork`, and return its valid accuracy after each epoch.

    Test images are evaluated too, as in the engine, but the result is not used. Every epoch draws
    its images at random, so two epochs may share images.
    """
    network = network.to(setting.device)
    if setting.channels_last:
        network = network.to(memory_format=torch.channels_last)
    decayed = [p for p in network.parameters() if p.ndim > 1]
    rest = [p for p in network.parameters() if p.ndim == 1]
    groups: list[dict[str, object]] = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": rest},
    ]
    optimizer = torch.optim.SGD(groups, 0.1, momentum=recipe.momentum, nesterov=recipe.nesterov)
    train = Images(pixels.train, pixels, augmented=True)
    loader = DataLoader(
        train,
        recipe.batch,
        sampler=RandomSampler(train, num_samples=recipe.epoch_images),
        drop_last=True,
        num_workers=setting.loaders,
        persistent_workers=setting.loaders > 0,
    )
    splits = (pixels.valid, pixels.curve_valid), (pixels.test, pixels.curve_test)
    last = [Images(split, pixels, augmented=False) for split, _ in splits]
    earlier = [Images(split.take(rows), pixels, augmented=False) for split, rows in splits]
    rates, accuracies = iter(learning_rates(recipe)), []
    for epoch in range(setting.epochs):
        network.train()
        for images, labels in loader:
            rate = next(rates)
            for group in optimizer.param_groups:
                group["lr"] = rate
            logits, labels = _logits(network, images, setting), labels.to(setting.device)
            loss = functional.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            loss.item(), (logits.argmax(1) == labels).sum().item()
        subsets = last if epoch == recipe.epochs - 1 else earlier
        valid, _ = (_accuracy(network, subset, recipe, setting) for subset in subsets)
        accuracies.append(valid)
    return accuracies


def _logits(network: nn.Module, images: Tensor, setting: Setting) -> Tensor:
    images = images.to(setting.device)
    if setting.channels_last:
        images = images.to(memory_format=torch.channels_last)
    with torch.autocast(setting.device.type, torch.bfloat16, enabled=setting.autocast):
        logits: Tensor = network(images)
    return logits.float()


@torch.no_grad()
def _accuracy(network: nn.Module, subset: Images, recipe: Recipe, setting: Setting) -> float:
    network.eval()
    correct = [
        (_logits(network, images, setting).argmax(1).cpu() == labels).numpy()
        for images, labels in DataLoader(subset, recipe.batch)
    ]
    return float(np.concatenate(correct).mean())
