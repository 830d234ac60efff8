"""Processes: with a GPU mmengine's own launch, without one gloo, which mmengine's launch cannot start; always before the loaders."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.dist import init_dist
from torch import distributed

LAUNCHERS = ("none", "pytorch", "slurm", "mpi")


_RANKS = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK")  # of torchrun, Slurm and Open MPI


def is_first() -> bool:
    """Whether this process is the one that speaks, by what its launcher says: known before the process group is made."""
    return next((os.environ[name] for name in _RANKS if name in os.environ), "0") == "0"


def prepare(launcher: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Make the process group, which samplers ask for their share of the rows; `settings` is `env_cfg.dist_cfg`.

    Returns what the Runner's config needs besides. Without a GPU mmengine's `init_dist` would call `torch.cuda.set_device` even for
    gloo, and its `wrap_model` would pass `device_ids`.
    """
    if launcher not in LAUNCHERS:
        raise ValueError(f"unknown launcher '{launcher}'; there are {list(LAUNCHERS)}")
    if launcher == "none":
        return {}
    if launcher == "pytorch" and "RANK" not in os.environ:
        raise ValueError(
            "--launcher pytorch wants to be started by torchrun: torchrun --nproc-per-node 2 tools/train.py CONFIG --launcher pytorch"
        )
    if torch.cuda.is_available():
        if not distributed.is_initialized():
            init_dist(launcher, **settings)
        return {}
    if launcher != "pytorch":
        raise ValueError(f"without a GPU only --launcher pytorch works (start it with torchrun), not '{launcher}'")
    if not distributed.is_initialized():
        distributed.init_process_group("gloo")
    return {"model_wrapper_cfg": {"type": "MMDistributedDataParallel", "device_ids": None}}
