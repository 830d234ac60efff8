"""Processes: with a GPU mmengine's own launch, without one gloo, which mmengine's launch cannot start."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import distributed

LAUNCHERS = ("none", "pytorch", "slurm", "mpi")


def prepare(launcher: str) -> dict[str, Any]:
    """Settings for the Runner's config; makes the process group first where there is no GPU.

    mmengine's `init_dist` calls `torch.cuda.set_device` even for gloo, and its `wrap_model` passes `device_ids`.
    """
    if launcher not in LAUNCHERS:
        raise ValueError(f"unknown launcher '{launcher}'; there are {list(LAUNCHERS)}")
    if launcher == "none" or torch.cuda.is_available():
        return {}
    if launcher != "pytorch":
        raise ValueError(f"without a GPU only --launcher pytorch works (start it with torchrun), not '{launcher}'")
    if "RANK" not in os.environ:
        raise ValueError(
            "--launcher pytorch wants to be started by torchrun: torchrun --nproc-per-node 2 tools/train.py CONFIG --launcher pytorch"
        )
    if not distributed.is_initialized():
        distributed.init_process_group("gloo")
    return {"model_wrapper_cfg": {"type": "MMDistributedDataParallel", "device_ids": None}}
