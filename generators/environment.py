"""The versions and the device that a run is trained with; no host or user names."""

import hashlib
import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

GENERATOR_VERSION = "0.2.0"  # raised whenever the same plan would give different curves
CPU_INFO = Path("/proc/cpuinfo")


def device_name(device: "torch.device") -> str:
    """Return the model of the processor or GPU."""
    if device.type == "cuda":
        import torch

        return torch.cuda.get_device_name(device)
    if CPU_INFO.exists():
        for line in CPU_INFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def numba_version() -> str:
    """Return the version of numba, which compiles pools, or "none" if it is not installed."""
    try:
        return version("numba")
    except PackageNotFoundError:
        return "none"


def environment() -> dict[str, str]:
    """Return the versions that can change a result."""
    import torch

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "numba": numba_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cuda": torch.version.cuda if torch.cuda.is_available() and torch.version.cuda else "none",
    }


def environment_id(versions: dict[str, str]) -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 of an environment."""
    text = json.dumps(versions, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
