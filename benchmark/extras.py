"""The packages of each extra, and the error of what needs one that is not installed."""

from importlib.util import find_spec

EXTRAS = {  # names to import, by extra of pyproject.toml
    "predictors": ("torch", "sklearn"),
    "tabular": ("torch", "sklearn", "tabpfn", "tabicl"),
    "generate": ("torch", "torchvision", "sklearn"),
    "hub": ("datasets", "huggingface_hub"),
    "plot": ("matplotlib",),
    "fast": ("numba",),
    "ray": ("ray",),
    "onnx": ("onnx",),
}


def how_to_install(extra: str) -> str:
    """Return what to run to install an extra.

    No index has this package yet, so its name alone cannot be installed.

    >>> how_to_install("plot")
    "pip install '.[plot]' in a checkout of the repository, or pip install 'FILE.whl[plot]'"
    """
    checkout, wheel = f"pip install '.[{extra}]'", f"pip install 'FILE.whl[{extra}]'"
    return f"{checkout} in a checkout of the repository, or {wheel}"


def check_extra(what: str, extra: str, packages: tuple[str, ...] = ()) -> None:
    """Check that packages of an extra are installed, and import none of them.

    Args:
        what: What needs them, as the subject of a sentence.
        extra: A key of `EXTRAS`.
        packages: The packages that are needed [default: all of the extra].

    Raises:
        ValueError: If one is missing; the message says how to install it.
    """
    missing = [name for name in packages or EXTRAS[extra] if find_spec(name) is None]
    if missing:
        raise ValueError(
            f"{what} needs {' and '.join(missing)} of the extra `{extra}`; "
            f"install it with: {how_to_install(extra)}"
        )
