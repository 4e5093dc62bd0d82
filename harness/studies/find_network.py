"""Finds a user's network by a text that names it; this runs the user's code."""

from types import FunctionType, ModuleType
from typing import TYPE_CHECKING

from benchmark.util.unknown_name import unknown_name
from harness.running.find_predictor import import_module_of
from harness.user_code import required_arguments, user_code

if TYPE_CHECKING:
    from torch import nn


def find_network(network: str) -> "nn.Module":
    """Return the torch module that a text names.

    Args:
        network: `path/to/file.py:Name` or `package.module:Name`, where Name is a module, or a class
            or function that returns one when called without arguments.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If there is no such name, or it does not give a module.
    """
    from torch import nn

    source, _, name = network.rpartition(":")
    is_file = network.endswith(".py")
    if not source and not is_file:
        raise ValueError(
            f"network {network!r} must be path/to/file.py:Class or package.module:Class"
        )
    module = import_module_of(network if is_file else source, network, "network")
    known = [n for n, value in vars(module).items() if _may_be_network(module, n, value)]
    if is_file:
        choices = ", ".join(f"{network}:{one}" for one in known) or "none"
        raise ValueError(f"network {network!r} must be {network}:Class; networks there: {choices}")
    if not hasattr(module, name):
        raise ValueError(f"network {network!r}: {unknown_name('class', name, known)}")
    value: object = getattr(module, name)
    if isinstance(value, nn.Module):
        return value
    if not callable(value):
        raise ValueError(f"network {network!r} must be a torch module, not {value!r}")
    required = required_arguments(value)
    if required:
        raise ValueError(
            f"network {network!r} needs the arguments {', '.join(required)}; name a function "
            "without arguments that returns it"
        )
    with user_code(f"network {network!r} cannot be made: "):
        value = value()
    if not isinstance(value, nn.Module):
        raise ValueError(f"network {network!r} must return a torch module, not {value!r}")
    return value


def _may_be_network(module: ModuleType, name: str, value: object) -> bool:
    """Return whether a name is a torch module, a class of such, or a function of this module."""
    from torch import nn

    origin = str(getattr(value, "__module__", ""))
    if isinstance(value, type):
        return issubclass(value, nn.Module) and not origin.startswith("torch.")
    is_own = isinstance(value, FunctionType) and origin == module.__name__ and name[:1] != "_"
    return is_own or isinstance(value, nn.Module)
