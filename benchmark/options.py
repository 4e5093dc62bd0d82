"""Options and printing that commands of several folders share."""

import math
import re
from collections.abc import Callable, Iterable
from functools import partial, wraps
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import click

if TYPE_CHECKING:
    from benchmark.release import Release

P = ParamSpec("P")
R = TypeVar("R")


class FiniteRange(click.FloatRange):
    """A range of numbers without NaN, which every comparison lets through, and infinity."""

    def convert(
        self, value: float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number of a text or a number; fail if it is out of range."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


HELP = {"help_option_names": ["-h", "--help"]}
COUNT = click.IntRange(1, 1_000_000)
COUNT_OR_NONE = click.IntRange(0, 1_000_000)
PARALLEL = click.IntRange(1, 4_096)  # they are all started
SEED = click.IntRange(0, 2**32 - 1)  # what numpy, torch and scikit-learn all take
MINUTES = FiniteRange(min=0, max=525_600, min_open=True)  # up to a year
RATE = FiniteRange(min=0, min_open=True)
FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)


def _existing(_: click.Context, __: click.Parameter, folder: Path | None) -> Path | None:
    if folder is not None and not folder.is_dir():
        raise FileNotFoundError(f"no folder of results {str(folder)!r}")
    return folder


_RESULTS = partial(click.option, "--results", type=FOLDER)
RESULTS_OPTION = _RESULTS(
    callback=_existing, help="Folder of results [default: results and leaderboard/results]."
)
PUBLISHED_OPTION = _RESULTS(
    help="Folder of results [default: leaderboard/results if it exists, else results]."
)
SHOWN_RESULTS_OPTION = _RESULTS(
    callback=_existing,
    help="Folder of results [default: leaderboard/results, else results, else the package's].",
)
JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print JSON Lines.")
TRACEBACK = "traceback"  # in the `meta` of a command's context: whether to write tracebacks


def _traceback(ctx: click.Context, _: click.Parameter, wanted: bool) -> bool:
    ctx.meta[TRACEBACK] = wanted
    return wanted


TRACEBACK_OPTION = click.option(
    "--traceback",
    is_flag=True,
    callback=_traceback,
    help="Also write the traceback of an exception in your code to stderr.",
)
VERSION_OPTION = click.option(
    "--release", "version", help="Version of the data [default: the next one if rows changed]."
)


def _release(_: click.Context, __: click.Parameter, folder: Path | None) -> "Release":
    from benchmark.release import INSTALLED, find_release

    return INSTALLED if folder is None else find_release(folder)


def _written(ctx: click.Context, option: click.Parameter, folder: Path | None) -> "Release":
    """Return the release to change; the installed one only in the checkout that it is part of."""
    release = _release(ctx, option, folder)
    if folder is None and Path("benchmark/data").resolve() != release.folder.resolve():
        raise ValueError(
            "this changes the data; name a folder of your own, --data my-data "
            "(`peephole data export my-data` copies the release)"
        )
    return release


def _merged(ctx: click.Context, option: click.Parameter, folder: Path | None) -> "Release":
    """Return the release to make or change."""
    from benchmark.release import Release

    return _written(ctx, option, None) if folder is None else Release(folder)


_DATA = partial(click.option, "--data", "--folder", "release", type=click.Path(path_type=Path))
DATA_OPTION = _DATA(
    callback=_release, help="Folder of the data [default: that of the installed package]."
)
WRITTEN_DATA_OPTION = _DATA(
    callback=_written, help="Folder of the data to change [default: in a checkout, the release]."
)

MERGED_DATA_OPTION = _DATA(
    callback=_merged,
    help="Folder of the data to make or change [default: in a checkout, the release].",
)


def _device(context: click.Context, _: click.Parameter, name: str) -> str:
    from benchmark.util.text import quantity
    from benchmark.util.unknown_name import unknown_name

    match = re.fullmatch(r"cpu|cuda(?::(\d+))?", name)
    if match is None:
        raise ValueError(unknown_name("device", name, ("cpu", "cuda", "cuda:N")))
    if context.params.get("engine") == "ray":  # workers are on other machines
        if match[1]:
            raise ValueError(f"with --engine ray, --device must be cpu or cuda, not {name}")
    elif name != "cpu" and find_spec("torch"):
        from torch import cuda

        if int(match[1] or 0) >= cuda.device_count():
            found = quantity(cuda.device_count(), "GPU")
            raise ValueError(
                f"there is no device {name!r}: torch finds {found} on this machine; use cpu"
            )
    return name


DEVICE_OPTION = click.option(
    "--device", default="cpu", show_default=True, callback=_device,
    help="Torch device: cpu, cuda or cuda:N.",
)  # fmt: skip
WORKERS_OPTION = click.option(
    "--workers",
    default=2,
    show_default=True,
    type=PARALLEL,
    help="Networks to train at the same time.",
)
BUDGET_OPTION = click.option(
    "--minutes",
    type=MINUTES,
    help="Time budget: no run is started that would exceed it, judging by those that finished. "
    "Until one has, runs are started in any case.",
)
IMAGES_FOLDER = partial(
    click.option,
    "--images-folder",
    type=click.Path(path_type=Path),
    default=Path("images"),
    show_default=True,
    help="Folder of the image files.",
)
IMAGES_FOLDER_OPTION = IMAGES_FOLDER()


PICTURES = ("png", "svg", "pdf")


def _picture(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
    from benchmark.extras import check_extra
    from benchmark.util.unknown_name import check_known

    if path is not None:
        check_known("picture format", path.suffix.removeprefix(".").lower(), PICTURES)
        check_extra("a picture", "plot")
    return path


def picture_option(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return an option for a picture, whose ending and matplotlib are checked first.

    Raises:
        ValueError: In the command, if the ending is unknown or matplotlib is not installed.
    """
    text = "Picture to draw: PNG, SVG or PDF. Needs the extra `plot`."
    return click.option(name, type=FILE, callback=_picture, help=text)


def needs(extra: str, *packages: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator of commands that checks an extra before anything is done.

    Its help says so, too. Arguments are as for `benchmark.extras.check_extra`.

    Raises:
        ValueError: In the command, if a package is missing; the message says how to install it.
    """

    def decorate(command: Callable[P, R]) -> Callable[P, R]:
        @wraps(command)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            from benchmark.extras import check_extra

            check_extra(f"`{click.get_current_context().command_path}`", extra, packages)
            return command(*args, **kwargs)

        checked.__doc__ = f"{command.__doc__}\n\n    Needs the extra `{extra}`."
        return checked

    return decorate


def echo_lines(lines: Iterable[str], *, err: bool = False) -> None:
    """Print lines to stdout, or to stderr, with escapes for what is not printable."""
    from benchmark.util.text import escape

    for line in lines:
        click.echo(escape(line), err=err)
