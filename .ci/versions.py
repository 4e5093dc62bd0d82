"""Print versions of the packages that pyproject.toml names, one `name==version` a line.

Run as `python .ci/versions.py minimum`, for the lowest versions that it allows for the base install
and scikit-learn; or as `python .ci/versions.py installed > constraints.txt`, for the versions in
this environment, those of the packages that they need included.
"""

import re
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
PROJECT = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
LOWEST = re.compile(r"([\w.-]+)>=([\w.]+)")
TORCH = {"torch", "torchvision"}  # built for each other, so pip must choose both at once
HEAD = """\
# Versions with which the whole suite passed, on Python {0.major}.{0.minor} and Linux; written by
# `python .ci/versions.py installed`. torch and torchvision are left out: they are built for each
# other, so pip must choose both at once.
"""


def normal(name: str) -> str:
    """Return the one spelling of a package's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def minimum() -> list[str]:
    """Return the lowest versions of the base install and of scikit-learn."""
    found = map(LOWEST.match, [*PROJECT["dependencies"], *EXTRAS["predictors"]])
    return [f"{m[1]}=={m[2]}" for m in found if m and m[1] not in TORCH]


def installed() -> list[str]:
    """Return the versions in this environment of all that the project needs, with any extra.

    Raises:
        PackageNotFoundError: If one is not installed.
    """
    from packaging.requirements import Requirement  # not in a Python without pytest

    groups = (PROJECT["dependencies"], *EXTRAS.values())
    todo = [(Requirement(text), "") for group in groups for text in group]
    seen, versions = set(), {}
    while todo:
        needed, extra = todo.pop()
        name = normal(needed.name)
        wanted = needed.marker is None or needed.marker.evaluate({"extra": extra})
        if not wanted or name in {*TORCH, PROJECT["name"]}:
            continue
        found = distribution(name)
        versions[name] = found.version
        for of in {"", *needed.extras} - {e for n, e in seen if n == name}:
            seen.add((name, of))
            todo += [(Requirement(text), of) for text in found.requires or ()]
    return [f"{name}=={version}" for name, version in sorted(versions.items())]


def main() -> None:
    """Print the versions that were asked for."""
    if sys.argv[1:] == ["minimum"]:
        sys.stdout.write("\n".join(minimum()) + "\n")
    elif sys.argv[1:] == ["installed"]:
        sys.stdout.write(HEAD.format(sys.version_info) + "\n".join(installed()) + "\n")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
