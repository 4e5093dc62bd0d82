"""The files that are made of the results: the README's table, its pictures, the leaderboard.

`readme_files` says what each file must hold; both writing and checking use it.
"""

from collections.abc import Mapping
from pathlib import Path

from benchmark.util.atomic import write_atomically
from leaderboard.board import Board
from leaderboard.readme.figure import THEMES, picture
from leaderboard.readme.table import leaderboard_text, readme_table, with_table

LEADERBOARD = "docs/leaderboard.md"
PICTURES = {theme: f"leaderboard/board-{theme}.svg" for theme in THEMES}


def readme_files(board: Board, readme: Path) -> dict[Path, str]:
    """Return what a README, its pictures and the leaderboard beside it must hold.

    Args:
        board: All results.
        readme: A Markdown file with the table's two markers; the others lie in folders beside it.

    Raises:
        ValueError: If the markers are not there once each, in order.
        OSError: If the file cannot be read.
    """
    root = readme.parent
    pictures = {root / path: picture(board, THEMES[theme]) for theme, path in PICTURES.items()}
    return {
        readme: with_table(readme, readme_table(board)),
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
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, files[path])
    return written
