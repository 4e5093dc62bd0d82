"""The files that are made of the results: the README's table, its pictures, the leaderboard.

`readme_files` says what each file must hold; both writing and checking use it.
"""

from collections.abc import Mapping
from pathlib import Path

from benchmark.release import Release
from benchmark.util.atomic import write_atomically
from harness.studies.watching import compare_with_watching
from harness.studies.watching_plot import THEMES, draw_watching, watching_sentence
from leaderboard.board import Board
from leaderboard.readme.table import group_tasks, leaderboard_text, readme_table, with_table

LEADERBOARD = "docs/leaderboard.md"
PICTURES = {theme: f"leaderboard/watching-{theme}.svg" for theme in THEMES}


def readme_files(board: Board, readme: Path, results: Path, release: Release) -> dict[Path, str]:
    """Return what a README, its pictures and the leaderboard beside it must hold.

    The pictures, and the sentence above the table, are left out if the data lacks a task of the
    board's first image set.

    Args:
        board: All results.
        readme: A Markdown file with the table's two markers; the others lie in folders beside it.
        results: The folder that the results are in.
        release: The data.

    Raises:
        ValueError: If the markers are not there once each, in order, or the tasks have different
            rows.
        OSError: If the file cannot be read.
    """
    root, table, pictures = readme.parent, readme_table(board), {}
    names = [task.name for task in group_tasks(board)[0]]
    if set(names) <= set(release.task_names()):
        tasks = [release.task(name) for name in names]
        watching = compare_with_watching(tasks, [results], release)
        table = f"{watching_sentence(watching)}\n\n{table}"
        for theme, path in PICTURES.items():
            pictures[root / path] = draw_watching(watching, THEMES[theme])
    return {
        readme: with_table(readme, table),
        **pictures,
        root / LEADERBOARD: leaderboard_text(board),
    }


def outdated(files: Mapping[Path, str]) -> list[Path]:
    """Return which files do not hold what they must, in order; missing ones are among them."""
    return [
        path
        for path, text in files.items()
        if not path.is_file() or path.read_bytes() != text.encode()
    ]


def bring_up_to_date(files: Mapping[Path, str]) -> list[Path]:
    """Write the files that do not hold what they must, and return which these were."""
    written = outdated(files)
    for path in written:
        write_atomically(path, files[path])
    return written
