"""What is made of the results and kept: the README's table, its pictures, the page.

One function says what each file must hold; writing and checking both follow from it.
"""

from collections.abc import Mapping
from pathlib import Path

from benchmark.util.atomic import write_atomically
from leaderboard.board import Board
from leaderboard.readme.figure import THEMES, picture
from leaderboard.readme.table import readme_table, with_table

PICTURES = {theme: f"leaderboard/board-{theme}.svg" for theme in THEMES}


def readme_files(board: Board, readme: Path) -> dict[Path, str]:
    """Return what a README and the pictures that it opens with must hold.

    Args:
        board: All results.
        readme: A Markdown file with the table's two markers; pictures lie in folders beside it.

    Raises:
        ValueError: If the markers are not there once each, in order.
        OSError: If the file cannot be read.
    """
    pictures = {
        readme.parent / place: picture(board, THEMES[theme]) for theme, place in PICTURES.items()
    }
    return {readme: with_table(readme, readme_table(board)), **pictures}


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
