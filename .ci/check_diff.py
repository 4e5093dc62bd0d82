"""Check what a change adds to the folders of results and submissions, before anything runs.

- Git holds plain files there alone, of the names and sizes of `harness.results.contents`: no link,
  no executable, no other repository.
- The records that maintainers write do not arrive together with the submissions that they vouch
  for: neither with their files nor with their results.

Run as `python3 .ci/check_diff.py [BASE]`, without anything installed. BASE is the commit before the
change; without it, $CI_BASE, else where the branch left origin/main, else the commit before HEAD.
"""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness.results.contents import check_contents, file_problem

BOARD = "leaderboard"
FOLDERS = (f"{BOARD}/results", f"{BOARD}/submissions")
RECORDS = (f"{BOARD}/results/reruns.json", f"{BOARD}/results/references.json")
PLAIN = "100644"  # Git's mode of a file that is neither executable nor a link


def git(*arguments: str, may_fail: bool = False) -> str:
    """Return what a git command prints; an empty string if it fails and may do so."""
    command = ["git", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=not may_fail)
    return "" if done.returncode else done.stdout.strip("\n")


def find_base(given: str) -> tuple[str, str]:
    """Return the commit before the change and how it was found; no commit if HEAD is the first.

    Args:
        given: The base that the user or $CI_BASE names; empty to look for one.
    """
    head = git("rev-parse", "HEAD")
    if given:
        commit = git("rev-parse", "--verify", "-q", f"{given}^{{commit}}", may_fail=True)
        return commit or sys.exit(f"no commit {given!r}"), "as given"
    left = git("merge-base", "HEAD", "origin/main", may_fail=True)
    if left and left != head:
        return left, "where the branch left origin/main"
    before = git("rev-parse", "--verify", "--quiet", "HEAD~1", may_fail=True)
    return before, "the commit before HEAD"


def find_strays(tracked: Iterable[tuple[str, str]]) -> list[str]:
    """Return what is wrong with the files of both folders, given as Git's modes and paths."""
    problems = []
    for mode, path in tracked:
        problem = file_problem(path.removeprefix(f"{BOARD}/"))
        if mode != PLAIN:
            problem = f"the mode must be {PLAIN}, that of a plain file, not {mode}"
        problems += [f"{path!a}: {problem}"] if problem else []
    return problems


def find_mixture(changed: Iterable[str], submissions: Iterable[str]) -> list[str]:
    """Return what must not change together with the records of maintainers.

    Args:
        changed: Paths of all changed files.
        submissions: Names of all submissions, before and after the change.
    """
    paths, names = set(changed), set(submissions)
    records = sorted(paths & set(RECORDS))
    return [
        f"{path!a}: must not change together with {records[0]}, which lands in a change of its own"
        for path in sorted(paths)
        if records
        and (
            path.startswith(f"{BOARD}/submissions/")
            or (path.startswith(f"{BOARD}/results/") and Path(path).name.split(".")[0] in names)
        )
    ]


def tracked_files() -> list[tuple[str, str]]:
    """Return Git's mode and the path of every tracked file of both folders."""
    listed = git("ls-files", "--stage", "-z", *FOLDERS).split("\0")
    return [(line.split(" ")[0], line.partition("\t")[2]) for line in listed if line]


def submission_names(commit: str) -> list[str]:
    """Return the names of the submissions of a commit."""
    listed = git("ls-tree", "--name-only", "-z", commit, f"{FOLDERS[1]}/").split("\0")
    return [Path(path).name for path in listed if path]


def main() -> None:
    """Check the tracked files, those that lie there, and the change."""
    base, way = find_base(next(iter(sys.argv[1:]), os.environ.get("CI_BASE", "")))
    problems = find_strays(tracked_files()) + check_contents(*map(Path, FOLDERS))
    if base:
        changed = git("diff", "--name-only", "--no-renames", "-z", base, "HEAD").split("\0")
        names = [*submission_names(base), *submission_names("HEAD")]
        problems += find_mixture(changed, names)
        sys.stdout.write(f"compared with {base[:12]}, {way}\n")
    else:
        sys.stdout.write("not compared: there is no earlier commit\n")
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
