"""Extras: which packages each installs, and what is said if one is missing."""

import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from benchmark.extras import EXTRAS, check_extra

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
IMPORTED_AS = {"scikit-learn": "sklearn"}
NOT_IMPORTED = {"test", "docs", "all"}  # extras whose packages no command imports


def test_the_packages_of_each_extra_are_those_of_the_project() -> None:
    extras = tomllib.loads(PROJECT.read_text("utf-8"))["project"]["optional-dependencies"]
    names = {extra: [Requirement(text).name for text in extras[extra]] for extra in extras}
    found = {extra: tuple(IMPORTED_AS.get(n, n) for n in names[extra]) for extra in names}
    assert {extra: found[extra] for extra in found.keys() - NOT_IMPORTED} == EXTRAS


@pytest.mark.parametrize(
    ("extra", "packages", "missing"),
    [
        ("plot", (), "matplotlib"),
        ("generate", (), "torch and torchvision"),
        ("predictors", ("torch",), "torch"),
    ],
)
def test_a_missing_package_is_named_with_what_to_run(
    extra: str, packages: tuple[str, ...], missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in missing.split(" and "):
        monkeypatch.setitem(sys.modules, name, None)
    message = (
        f"a hat needs {missing} of the extra `{extra}`; install it with: pip install '.[{extra}]' "
        f"in a checkout of the repository, or pip install 'FILE.whl[{extra}]'"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_extra("a hat", extra, packages)


def test_what_is_installed_or_not_needed_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXTRAS, "toy", ("json", "no_such_package"))
    check_extra("a hat", "toy", ("json",))
    with pytest.raises(ValueError, match=r"^a hat needs no_such_package of the extra `toy`"):
        check_extra("a hat", "toy")
