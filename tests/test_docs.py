"""The documents beside the tutorials, whose blocks `docs/conftest.py` runs: README and notebook.

On an installed wheel there is no README, and nothing to be tested of it.
"""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
FOLDERS = ("benchmark", "generators", "harness", "leaderboard", "docs")
in_a_source_tree = pytest.mark.skipif(not README.exists(), reason="only in a source tree")


def described(tree: str) -> Iterator[str]:
    """Yield the path of every file and folder that the lines of a tree name.

    A line is indented by two blanks for each folder it is in, and names are parted by commas.
    """
    above: list[str] = []
    for line in tree.splitlines():
        depth = (len(line) - len(line.lstrip(" "))) // 2
        names = re.findall(r"[^\s,]+", re.match(r"\s*[^\s,]+(?:, [^\s,]+)*", line)[0])  # type: ignore[index]
        above = above[:depth]
        yield from ("".join([*above, name]) for name in names)
        above.append(names[0])


def test_a_tree_is_read_line_by_line() -> None:
    tree = "a/  the first\n  b.py, c.py  two\n  d/ short\n    e.py   deep\nf.py   last"
    assert [*described(tree)] == ["a/", "a/b.py", "a/c.py", "a/d/", "a/d/e.py", "f.py"]


@in_a_source_tree
def test_the_readme_names_every_file_of_the_tree_and_no_other() -> None:
    (tree,) = re.findall(r"## The tree\n\n```\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    named = set(described(tree))
    folders = [name for name in named if name.endswith("/") and name.count("/") > 1]
    files = [
        str(path.relative_to(ROOT))
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.*"))
        if path.suffix in (".py", ".md", ".html", ".ipynb") and path.name != "__init__.py"
    ]
    whole = tuple(f for f in folders if not any(n.startswith(f) and n != f for n in named))
    missing = [file for file in files if file not in named and not file.startswith(whole)]
    lost = [name for name in sorted(named) if not (ROOT / name).exists()]
    assert (missing, lost) == ([], [])


@in_a_source_tree
def test_python_in_the_readme_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert blocks
    namespace: dict[str, object] = {}
    for block in blocks:
        exec(block, namespace)


@in_a_source_tree
@pytest.mark.parametrize(
    "name", ["README.md", "CONTRIBUTING.md", *map(str, Path("docs").glob("*"))]
)
def test_links_between_documents_lead_somewhere(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)\s#]+)", text)
    assert [link for link in links if not (ROOT / name).parent.joinpath(link).exists()] == []


@pytest.mark.slow
def test_the_notebook_gives_what_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    path = ROOT / "docs" / "first_look.ipynb"
    assert path.stat().st_size < 300_000
    shown, again = (nbformat.read(path, as_version=4) for _ in range(2))
    nbclient.NotebookClient(again, kernel_name="python3").execute()
    assert [*printed(again)] == [*printed(shown)]


def printed(notebook: dict[str, list[dict[str, list[dict[str, object]]]]]) -> Iterator[object]:
    """Yield what each output of a notebook says, and that it is a picture if it is one."""
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            picture = "image/png" in str(output.get("data", ""))
            yield output["output_type"], output.get("name"), output.get("text"), picture
