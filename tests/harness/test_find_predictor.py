"""Finding a predictor: modules and classes that cannot be read are refused by name."""

import re
import sys
from pathlib import Path

import pytest

from harness.running.find_predictor import find


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sys; sys.exit(3)", "cannot be imported: SystemExit: 3"),
        (r"raise RuntimeError('\x1b[31m')", r"cannot be imported: RuntimeError: \x1b[31m"),
        ("import nowhere", "cannot be imported: No module named 'nowhere'"),
        ("Net = 3", "must be a class, not 3"),
        (
            "class Meta(type):\n    def __getattribute__(self, name): raise RuntimeError(name)\n"
            "class Net(metaclass=Meta): ...",
            "cannot be read: RuntimeError: fit",
        ),
        (
            "def __getattr__(name):\n    if name == 'Net': raise RuntimeError('lazy')\n"
            "    raise AttributeError(name)",
            "cannot be read: RuntimeError: lazy",
        ),
    ],
)
def test_a_module_that_cannot_be_read_is_refused(tmp_path: Path, code: str, message: str) -> None:
    path = tmp_path / "net.py"
    path.write_text(code)
    expected = f"predictor {f'{path}:Net'!r} {message}"
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        find(f"{path}:Net")


def test_a_class_whose_name_is_no_file_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text("class Größe:\n    def fit(self): ...\n    def predict(self): ...\n")
    message = (
        "`name` (='größe') must be of a-z, 0-9, '.', '_' and '-', and start with a letter or "
        "digit; rename the class"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        find(f"{path}:Größe")


def test_a_predictor_whose_package_is_missing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    message = "predictor 'curve-svd' needs sklearn of the extra `predictors`; install it with: "
    with pytest.raises(ValueError, match=f"^{message}"):
        find("curve-svd")
    assert find("mean-curve").name == "mean-curve"


def test_a_module_with_the_name_of_a_package_here_is_pointed_out(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text("from harness import my_helper\n")
    with pytest.raises(ValueError, match=r"cannot be imported: .* 'my_helper' .*[^;]$") as plain:
        find(f"{path}:Net")
    (tmp_path / "harness.py").write_text("my_helper = 3\n")
    hint = "; 'harness.py' has the name of a package of peephole-bench: rename it"
    with pytest.raises(ValueError, match=f"^{re.escape(str(plain.value) + hint)}$"):
        find(f"{path}:Net")
