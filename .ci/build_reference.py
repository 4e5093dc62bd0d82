"""Build the reference from docstrings; a warning or a name that leads nowhere is an error.

Run as `python .ci/build_reference.py reference` from the root of the source tree.
"""

import re
import sys
import warnings
from pathlib import Path

import pdoc

PACKAGES = ("benchmark", "generators", "harness", "leaderboard")
BROKEN = re.compile(rf"<code>((?:{'|'.join(PACKAGES)})\.[\w.]+)</code>")  # no link inside


def main() -> None:
    """Build the pages and look for names in backticks that pdoc could not link."""
    folder = Path(sys.argv[1])
    sys.path.insert(0, str(Path.cwd()))
    import peephole
    from harness.results.contents import require_contents

    board = Path("leaderboard")  # whose folders would be imported if they were packages
    require_contents(board / "results", board / "submissions")
    warnings.simplefilter("error")
    pdoc.render.configure(docformat="google")
    for name in peephole.__all__:  # pdoc sees what is loaded
        getattr(peephole, name)
    pdoc.pdoc(*PACKAGES, "peephole", output_directory=folder)
    pages = sorted(folder.rglob("*.html"))
    broken = [
        f"{page}: {name}" for page in pages for name in BROKEN.findall(page.read_text("utf-8"))
    ]
    if broken:
        sys.exit("names that lead nowhere:\n" + "\n".join(broken))
    sys.stdout.write(f"{len(pages)} pages in {folder}\n")


if __name__ == "__main__":
    main()
