"""Networks of layer rows written as anybody would write them, without this project's modules."""

import operator

from torch import Tensor, nn
from torch.nn import functional

from benchmark.space.imagesets import ImageSet
from benchmark.space.layer_walk import LayerRow
from harness.tracing.trace import trace_module


def layer_rows(module: nn.Module, images: ImageSet) -> tuple[LayerRow, ...]:
    """Return the rows of a module alone."""
    return trace_module(module, images).rows


def plain_layer(row: LayerRow) -> nn.Module:
    """Return torch's own module of a row, its borders padded as the row needs."""
    kernel = (row.kernel_height, row.kernel_width)
    sides = ((kernel[1] - 1) // 2, kernel[1] // 2, (kernel[0] - 1) // 2, kernel[0] // 2)
    if row.kind == "conv":
        convolution = nn.Conv2d(row.in_channels, row.out_channels, kernel, row.stride)
        return nn.Sequential(nn.ZeroPad2d(sides), convolution)
    if row.kind == "max_pool":
        pool = nn.MaxPool2d(kernel, row.stride)
        keeps = row.in_resolution == row.out_resolution
        return nn.Sequential(nn.ConstantPad2d(sides, -1e9), pool) if keeps else pool
    if row.kind == "avg_pool":
        return nn.Sequential(nn.ZeroPad2d(sides), nn.AvgPool2d(kernel, 1))
    if row.kind == "global_pool":
        return nn.AdaptiveAvgPool2d(1)
    if row.kind == "linear":
        return nn.Sequential(nn.Flatten(), nn.Linear(row.in_channels, row.out_channels))
    simple = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
    return nn.BatchNorm2d(row.out_channels) if row.kind == "bn" else simple[row.kind]()


class PlainNetwork(nn.Module):
    """Rows in order, additions as sums."""

    def __init__(self, rows: tuple[LayerRow, ...]) -> None:
        super().__init__()
        self.rows_read = [row.inputs for row in rows]
        self.layers = nn.ModuleList(
            nn.Identity() if row.kind == "add" else plain_layer(row) for row in rows
        )

    def forward(self, x: Tensor) -> Tensor:
        outputs = {-1: x}
        for index, inputs in enumerate(self.rows_read):
            if len(inputs) == 2:
                outputs[index] = operator.add(outputs[inputs[0]], outputs[inputs[1]])
            else:
                outputs[index] = self.layers[index](outputs[inputs[0]])
        return outputs[len(self.rows_read) - 1]


class ResidualBlock(nn.Module):
    """A block as of ResNet, with a stride."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding="same", bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Sequential()
        if stride > 1 or channels != width:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        y += self.shortcut(x)
        return functional.relu(y)


class SmallResNet(nn.Module):
    """Two residual blocks between a stem and a head, for images of any channels."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 8, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(8)
        self.first = ResidualBlock(8, 8, 1)
        self.second = ResidualBlock(8, 16, 2)
        self.fc = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.first(self.bn1(self.conv1(x)).relu()))
        x = functional.adaptive_avg_pool2d(x, 1)
        return functional.log_softmax(self.fc(x.view(x.size(0), -1)), dim=1)


class Deep(nn.Module):
    """Something within a submodule, so that its qualified name can be told."""

    def __init__(self, inner: nn.Module, classes: int = 10) -> None:
        super().__init__()
        self.stages = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.Sequential(inner))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.pool(self.stages(x)).squeeze(-1).squeeze(-1))  # type: ignore[no-any-return]
