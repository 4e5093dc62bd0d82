"""Assert that the wheel and the source distribution hold what they must, and nothing submitted.

The wheel holds every data file, the page's sources and results without their predictions.
Run as `python .ci/check_wheel.py dist/NAME.whl dist/NAME.tar.gz`.
"""

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Collection
from pathlib import Path

ALSO = ("harness/results/result.schema.json", "peephole.py", "peephole_command.py")
RESULTS, SUBMISSIONS = "leaderboard/results/", "leaderboard/submissions"


def find_problems(names: Collection[str], source_names: Collection[str]) -> list[str]:
    """Return what is wrong with the names of the files in a wheel and in a source distribution."""
    command = ["git", "ls-files", "benchmark/data", "leaderboard/page/web"]
    tracked = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    problems = [f"the wheel lacks {n}" for n in [*tracked, *ALSO] if n not in names]
    problems += [
        f"the wheel must not hold {name}"
        for name in names
        if name.startswith(SUBMISSIONS) or (name.startswith(RESULTS) and name[-5:] != ".json")
    ]
    problems += [
        f"the source distribution must not hold {name}"
        for name in source_names
        if name.partition("/")[2].startswith(SUBMISSIONS)
    ]
    return problems


def main() -> None:
    """Compare both with the tracked files."""
    wheel, source = map(Path, sys.argv[1:])
    names = set(zipfile.ZipFile(wheel).namelist())
    with tarfile.open(source) as archive:
        source_names = archive.getnames()
    if problems := find_problems(names, source_names):
        sys.exit("\n".join(problems))
    for path, count in ((wheel, len(names)), (source, len(source_names))):
        sys.stdout.write(f"{path}  {count} files, {path.stat().st_size / 1e6:.1f} MB\n")


if __name__ == "__main__":
    main()
