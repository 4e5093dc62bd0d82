"""Networks that were made to give rows of something else than what they compute."""

import random
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.space.layer_walk import LayerRow, parameters
from tests.toys.own_networks import PLAIN, Net, features, kinds, net, refusal, trace

PIXELS = "reads numbers that depend on the pixels, and that no function of torch computed"
IN_PLACE = "is changed in place by code that is no function of torch, and cannot be followed"
RNG = random.Random(0)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # torch wants TorchScript to be left
    scripted = torch.jit.script(nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.ReLU()))
    scripted_change = torch.jit.script(nn.ReLU(inplace=True))


def in_thread(function: Callable[[], Tensor]) -> Tensor:
    found: list[Tensor] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


class Wrapped(Tensor):
    """Tensors on which a ReLU is a sine."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        called = torch.sin if func.__name__ == "relu" else func
        return super().__torch_function__(called, types, args, kwargs or {})  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("forward", "reason"),
    [
        (lambda self, x: self.head(features(self, x + scripted(x))), PIXELS),
        (lambda self, x: self.head(features(self, x + in_thread(lambda: self.other(x)))), PIXELS),
        (lambda self, x: self.head(features(self, x - x.detach().numpy().mean())), PIXELS),
        (lambda self, x: self.head(features(self, x * self.conv(x).mean().item())), PIXELS),
        (lambda self, x: self.head(functional.relu(functional.conv2d(
            x, self.conv.weight + in_thread(lambda: self.other(x)).mean(), padding=1))), PIXELS),
        (lambda self, x: self.head(features(self, x.as_subclass(Wrapped))),
         "reads a class of tensors with functions of its own"),
        (lambda self, x: self.head(torch.vmap(self.conv)(x[:, None]).squeeze(1)),
         "`vmap` computes cannot be traced"),
        (lambda self, x: self.head(features(self, functional.pad(x, (1, 1, 1, 1), value=1.0))),
         "has value=1.0; layers pad with zeros"),
    ],
)  # fmt: skip
def test_what_torch_functions_do_not_show_is_refused(
    forward: Callable[..., object], reason: str
) -> None:
    assert reason in refusal(net(forward, other=nn.Conv2d(1, 1, 3, padding=1)))


def test_a_change_in_place_that_is_not_seen_is_refused() -> None:
    def changes(self: Net, x: Tensor) -> object:
        y = self.conv(x)
        scripted_change(y)
        return self.head(y)

    assert IN_PLACE in refusal(net(changes))


@pytest.mark.parametrize("constant", [0.5, torch.full((1, 1, 1, 1), 0.5), [0.5]])
def test_images_may_be_shifted_by_constants(constant: Any) -> None:
    def shifted(self: Net, x: Tensor) -> object:
        return self.head(features(self, (x - torch.as_tensor(constant)) / (self.shift + 1)))

    assert kinds(net(shifted, shift=torch.ones(1))) == PLAIN


def by_count(self: Any, x: Tensor) -> object:
    self.count = getattr(self, "count", 0) + 1
    y = features(self, x)
    return self.head(self.other(y) if self.count > 3 else y)


@pytest.mark.parametrize(
    ("forward", "reason"),
    [
        (by_count, "they depend on what the network kept from earlier runs; let it keep nothing"),
        (lambda self, x: self.head(self.other(features(self, x)) if len(x) > 2 else self.conv(x)),
         "they depend on the number of images; compute the same layers for any number"),
        (lambda self, x: self.head(
            self.other(features(self, x)) if RNG.random() < 0.5 else features(self, x)),
         "draws random numbers; take the layers that chance skips as computed"),
    ],
)  # fmt: skip
def test_layers_that_differ_have_their_reason(forward: Callable[..., object], reason: str) -> None:
    assert refusal(net(forward, other=nn.Conv2d(16, 16, 1))).endswith(reason)


@pytest.mark.parametrize(
    "draw",
    [
        lambda self: RNG.random(),
        lambda self: self.generator.random(),
        lambda self: torch.rand(1, generator=torch.Generator().manual_seed(0)),
    ],
)
def test_numbers_from_own_generators_are_said(draw: Callable[[Any], object]) -> None:
    class Drawing(Net):
        generator = random.Random(1)

        def __init__(self) -> None:
            super().__init__()
            self.generator = random.Random(1)

        def forward(self, x: Tensor) -> Tensor:
            draw(self)
            return super().forward(x)

    assert any("draws random numbers" in note for note in trace(Drawing()).notes)


class Parts(nn.Module):
    """A network whose weights are made from parameters in one way."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.flat = nn.Parameter(torch.randn(314 + 6))
        if way == "built":
            self.flat = nn.Parameter(torch.randn(16))
            self.fc = nn.Linear(16, 10)
        if way == "norm":
            self.mean = nn.Parameter(torch.zeros(16), requires_grad=False)
            self.var = nn.Parameter(torch.ones(16), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.way == "built":
            weight = torch.zeros(16, 1, 3, 3)
            weight[:, 0, 1, 1] = self.flat
            return self.fc(functional.conv2d(x, weight).mean((2, 3)))  # type: ignore[no-any-return]
        y = functional.conv2d(x, self.flat[:144].view(16, 1, 3, 3))
        if self.way == "norm":
            y = functional.batch_norm(y, self.mean, self.var, training=False)
        return functional.linear(
            y.mean((2, 3)), self.flat[144:304].view(10, 16), self.flat[304:314]
        )


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ("flat", {"unused": 6, "biases": 16}),
        ("built", {"computed": 16 - 144, "biases": 16}),
        ("norm", {"unused": 6, "biases": 16}),  # the row has as many as the running statistics
    ],
)
def test_parameters_are_counted_by_element(way: str, expected: dict[str, int]) -> None:
    found = trace(Parts(way))
    names = (
        "biases", "scales", "declared", "statistics", "shared", "unused", "computed",
    )  # fmt: skip
    count = {name: getattr(found.parameters, name) for name in names}
    assert {name: number for name, number in count.items() if number} == expected
    assert found.parameters.rows == parameters(found.rows)


def declared(**changed: Any) -> nn.Module:
    """Return a network with a module of 16 to 16 channels that declares a convolution."""
    fields: dict[str, Any] = {
        "kind": "conv", "kernel_height": 3, "kernel_width": 3, "stride": 1, "in_channels": 16,
        "out_channels": 16, "in_resolution": 8, "out_resolution": 8, "role": "block", "stage": 0,
        "block": 0, "inputs": (0,),
    }  # fmt: skip
    part = nn.Conv2d(16, 16, 3, padding=1, groups=16)
    part.layer_row = LayerRow(**(fields | changed))  # type: ignore[assignment]
    return net(lambda self, x: self.head(self.other(features(self, x))), other=part)


def test_a_declared_row_has_its_own_reason_for_other_parameters() -> None:
    found = trace(declared())
    assert found.parameters.declared == (9 * 16 + 1) * 16 - (9 + 1) * 16
    assert list(found.parameters.differences()) == [
        "+2,160 parameters of declared layers beside those of their modules"
    ]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"kind": "gelu"}, "has the unknown kind 'gelu'; known: add, avg_pool"),
        ({"role": "middle"}, "has the unknown role 'middle'; known: add, block"),
        ({"stride": 2.0}, "has stride 2.0, which is no whole number"),
        ({"block": None}, "has block None, which is no whole number"),
        ({"stride": 2}, "has the kernel 3x3 and stride 2, which make 8 of no 8 pixels"),
        ({"kernel_width": 0}, "has the kernel 3x0 and stride 1"),
        ({"kind": "relu"}, "must have kernel_height and kernel_width 1 and stride 1"),
        ({"in_channels": 8}, "has in_channels 8, but it is 16"),
    ],
)
def test_a_declared_row_is_checked(changed: dict[str, Any], reason: str) -> None:
    assert reason in refusal(declared(**changed))


def test_deep_networks_are_traced() -> None:
    deep: nn.Module = nn.Conv2d(16, 16, 1)
    for _ in range(250):
        deep = nn.Sequential(deep)
    found = kinds(net(lambda self, x: self.head(self.other(features(self, x))), other=deep))
    assert found == ["conv", "relu", "conv", "global_pool", "linear"]


@dataclass
class Output:
    logits: Tensor
    extra: None = None


def caught(self: Net, x: Tensor) -> object:
    try:
        self.other(x)
    except ValueError:
        pass
    raise KeyError("missing")


def test_what_networks_return_and_raise_is_told() -> None:
    assert kinds(net(lambda self, x: Output(self.head(features(self, x))))) == PLAIN
    assert refusal(net(lambda self, x: {"a": 1})).startswith("Other returns dict; `forward` must")
    message = refusal(net(caught, other=nn.Conv2d(4, 4, 3)))
    assert message.startswith("Other fails on images of 1x8x8: KeyError: 'missing'")
    message = refusal(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(7, 10)))
    assert "'2' (Linear) fails on images of 1x8x8" in message
    assert ".py:" not in message  # no place in torch's files


def test_the_function_of_a_hook_is_named() -> None:
    hooked = Net()
    hooked.conv.register_forward_hook(lambda module, given, result: result.sin())
    assert refusal(hooked).startswith("`sin` in 'conv' (Conv2d) is not supported")


def test_gradients_of_images_and_a_first_parameter_of_another_type() -> None:
    def wanted(self: Net, x: Tensor) -> object:
        x.requires_grad = True
        return self.head(features(self, x))

    scale = nn.Parameter(torch.ones(1, dtype=torch.float64))
    first = nn.Sequential(Net())
    first.register_parameter("scale", scale)
    assert kinds(net(wanted)) == kinds(first) == PLAIN
