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
FOLDERS = ("benchmark", "generators", "harness", "leaderboard", "docs", "template", "tests")
SUFFIXES = (".py", ".md", ".ipynb", ".yaml", ".tmpl")
in_a_source_tree = pytest.mark.skipif(not README.exists(), reason="only in a source tree")


@in_a_source_tree
def test_the_readme_is_short_and_names_every_folder() -> None:
    text = README.read_text("utf-8")
    assert len(text.encode()) <= 8_192
    (tree,) = re.findall(r"## The tree\n\n```\n(.*?)```", text, re.DOTALL)
    named = set(re.findall(r"(?:^|  )(\w+/|\w+\.py)", tree, re.MULTILINE))
    assert named == {f"{folder}/" for folder in FOLDERS} | {"peephole.py"}
    assert [name for name in named if not (ROOT / name).exists()] == []


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


@in_a_source_tree
def test_nothing_tells_anybody_to_install_by_name() -> None:
    """No index has the package, and whoever took its name would be installed instead."""
    texts = [p for f in FOLDERS[:-1] for p in (ROOT / f).rglob("*") if p.suffix in SUFFIXES]
    texts += [*ROOT.glob("*.md"), *ROOT.glob("*.py")]
    assert len(texts) > 200
    by_name = re.compile(r"(pip|uv|pipx|conda) (\w+ )?install[^`\n]*peephole-bench")
    assert [p for p in texts if by_name.search(p.read_text("utf-8"))] == []
    assert by_name.search("run `pip install 'peephole-bench[plot]'`")


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
