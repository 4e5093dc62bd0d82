"""Assert that the wheel holds every data file and the page's sources, and no result's predictions.

Run as `python .ci/check_wheel.py dist/NAME.whl`.
"""

import subprocess
import sys
import zipfile
from pathlib import Path

ALSO = ("harness/results/result.schema.json", "peephole.py", "peephole_command.py")


def main() -> None:
    """Compare the wheel with the tracked files."""
    names = set(zipfile.ZipFile(sys.argv[1]).namelist())
    command = ["git", "ls-files", "benchmark/data", "leaderboard/page/web"]
    tracked = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    missing = [name for name in [*tracked, *ALSO] if name not in names]
    stray = [n for n in names if n.startswith("leaderboard/results") and n.endswith(".parquet")]
    parquet = [name for name in names if name.endswith(".parquet")]
    if missing or stray or not parquet:
        sys.exit(
            f"wheel lacks {missing}, must not hold {stray}, holds {len(parquet)} Parquet files"
        )
    size = Path(sys.argv[1]).stat().st_size / 1e6
    sys.stdout.write(f"{len(names)} files, {len(parquet)} of them Parquet, {size:.1f} MB\n")


if __name__ == "__main__":
    main()
