"""The stored results of searches in folders of results."""

from collections.abc import Callable, Collection, Sequence
from functools import cache
from pathlib import Path

from benchmark.release import Release
from benchmark.util.strict_json import read_record
from harness.results.result import environment
from harness.search.open.result import OpenResult
from harness.search.open.setting import OpenSetting, open_setting
from harness.search.open.space import load_space
from harness.search.pool import load_pool
from harness.search.pool_result import PoolResult, check_pool_result
from harness.search.result import FOLDER, SearchResult
from harness.search.tracks.verify_open import check_open_result, check_surrogate


def search_paths(results: Path) -> list[Path]:
    """Return the paths of all results of searches in a folder of results, sorted."""
    return sorted(p for t in ("*", "open/*") for p in (results / FOLDER).glob(f"{t}/*.json"))


def read_search(path: Path) -> SearchResult:
    """Return a stored result.

    Raises:
        ValueError: If a field breaks a rule; the message starts with the path.
        OSError: If the file cannot be read.
    """
    is_open = path.parent.parent.name == OpenResult.track
    return read_record(path, OpenResult if is_open else PoolResult)


def search_problems(results: Path, release: Release) -> dict[Path, str]:
    """Return why results of searches do not follow from their choices and the data, by path."""
    problems: dict[Path, str] = {}
    check = checker(release)
    for path in search_paths(results):
        try:
            stored = read_search(path)
            if stored.path(results) != path:
                raise ValueError(f"it must be at {stored.path(results).relative_to(results)}")
            check(stored)
        except (ValueError, OSError) as error:
            text = str(error)
            problems[path] = text if text.startswith(str(path)) else f"{path}: {text}"
    return problems


def checker(release: Release) -> Callable[[SearchResult], None]:
    """Return what raises a `ValueError` for a result whose scores do not follow from the data.

    Pools and surrogates are loaded once. A surrogate is asked where scikit-learn is installed in
    the version that the result was made with, as another version may fit another forest.
    """
    pools = cache(lambda images: load_pool(images, release))

    @cache
    def settings(images: str, shortcuts: bool) -> OpenSetting:
        return open_setting(images, shortcuts=shortcuts, release=release)

    def check(stored: SearchResult) -> None:
        if isinstance(stored, OpenResult):
            space = load_space(stored.images, shortcuts=stored.has_shortcuts)
            check_open_result(stored, space, pools(stored.images).epochs)
            if stored.environment.sklearn == environment().sklearn is not None:
                check_surrogate(stored, settings(stored.images, stored.has_shortcuts))
        elif isinstance(stored, PoolResult):
            check_pool_result(stored, pools(stored.images))

    return check


def read_searches(results: Sequence[Path], left_out: Collection[Path]) -> list[SearchResult]:
    """Return the results of searches in folders; of one in several, that of the first counts.

    Args:
        results: Folders of results.
        left_out: Paths that are not read.

    Raises:
        ValueError: If one cannot be read.
    """
    found: dict[Path, SearchResult] = {}
    for folder in results:
        for path in search_paths(folder):
            if path not in left_out:
                found.setdefault(path.relative_to(folder), read_search(path))
    return [found[key] for key in sorted(found)]
