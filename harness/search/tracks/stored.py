"""The stored results of searches in folders of results."""

from collections.abc import Collection, Sequence
from pathlib import Path

from benchmark.release import Release
from benchmark.util.strict_json import read_record
from harness.search.pool import Pool, load_pool
from harness.search.result import FOLDER, SearchResult, read_search


def search_paths(results: Path) -> list[Path]:
    """Return the paths of all results of searches in a folder of results, sorted."""
    return sorted((results / FOLDER).glob("*/*.json"))


def search_problems(results: Path, release: Release) -> dict[Path, str]:
    """Return why results of searches do not follow from their choices and the data, by path."""
    problems: dict[Path, str] = {}
    pools: dict[str, Pool] = {}
    for path in search_paths(results):
        images = path.parent.name
        try:
            if images not in pools:
                pools[images] = load_pool(images, release)
            read_search(path, pools[images])
        except (ValueError, OSError) as error:
            text = str(error)
            problems[path] = text if text.startswith(str(path)) else f"{path}: {text}"
    return problems


def read_searches(results: Sequence[Path], left_out: Collection[Path]) -> list[SearchResult]:
    """Return the results of searches in folders; of one in several, that of the first counts.

    Args:
        results: Folders of results.
        left_out: Paths that are not read.

    Raises:
        ValueError: If one cannot be read.
    """
    found: dict[tuple[str, str], SearchResult] = {}
    for folder in results:
        for path in search_paths(folder):
            if path not in left_out:
                found.setdefault((path.parent.name, path.name), read_record(path, SearchResult))
    return [found[key] for key in sorted(found)]
