"""Files of random weights for small foundation models, made by the packages that read them."""

import tempfile
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
import torch

SEED = 2  # with others a model may rank in reverse, and then the mean curve is predicted
BUCKETS = 16  # of the distribution that TabPFN predicts


@cache
def _folder() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="peephole-weights-")


@cache
def random_weights(name: str, seed: int = SEED) -> Path:
    """Return the path of random weights; a test is skipped where the package is not installed."""
    pytest.importorskip(name, reason=f"{name} is not installed")
    path = Path(_folder().name) / f"{name}-{seed}.ckpt"
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        torch.save({"tabpfn": _tabpfn, "tabicl": _tabicl}[name](), path)
    return path


def _drawn(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the state of a model, all of whose parameters are drawn; some would be 0."""
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return dict(model.state_dict())


def _tabicl() -> dict[str, object]:
    """Return a checkpoint of TabICL version 2 with one block of each kind."""
    config = {
        "max_classes": 0, "num_quantiles": 9, "embed_dim": 16, "col_num_blocks": 1, "col_nhead": 2,
        "col_num_inds": 4, "row_num_blocks": 1, "row_nhead": 2, "row_num_cls": 2,
        "icl_num_blocks": 1, "icl_nhead": 2,
    }  # fmt: skip
    model = import_module("tabicl._model.tabicl").TabICL(**config)
    return {"config": config, "state_dict": _drawn(model)}


def _tabpfn() -> dict[str, object]:
    """Return a checkpoint of TabPFN version 2 with one layer."""
    config = {
        "max_num_classes": 0, "num_buckets": BUCKETS, "emsize": 16, "nlayers": 1, "nhead": 2,
        "features_per_group": 2, "seed": 0,
    }  # fmt: skip
    folder = import_module("tabpfn.architectures")
    architecture = folder.ARCHITECTURES["tabpfn_v2"]
    state = _drawn(architecture.get_architecture(architecture.parse_config(config)[0]))
    module = import_module("tabpfn.architectures.shared.bar_distribution")
    distribution = module.FullSupportBarDistribution(torch.linspace(-4, 4, BUCKETS + 1))
    state |= {f"criterion.{key}": value for key, value in distribution.state_dict().items()}
    return {"config": config, "state_dict": state}
