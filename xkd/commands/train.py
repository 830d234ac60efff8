"""`xkd train CONFIG`: one run, from a config to the best checkpoint on val."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from xkd.engine.config import parse_options
from xkd.engine.launch import LAUNCHERS, is_first
from xkd.engine.screen import Screen
from xkd.engine.train import train


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="xkd train", description="Train the graph of a config.")
    parser.add_argument("config", help="a new-style mmengine config, such as configs/rgb_thermal/leafsim.py")
    parser.add_argument("--work-dir", help="where checkpoints and logs go (work_dirs/NAME-OF-CONFIG)")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="override the config: train_cfg.max_epochs=5")
    parser.add_argument("--resume", action="store_true", help="go on after the last whole epoch in --work-dir")
    parser.add_argument("--amp", action="store_true", help="bfloat16 autocast where it pays: on a GPU, or with AMX")
    parser.add_argument("--launcher", default="none", choices=LAUNCHERS)
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)  # passed by older launchers
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="one step on a few rows, teachers random: does it run at all?")
    a = parser.parse_args(arguments)
    result = train(
        a.config,
        a.work_dir or "",
        options=parse_options(a.cfg_options),
        seed=a.seed,
        resume=a.resume,
        amp=a.amp,
        launcher=a.launcher,
        smoke=a.smoke,
    )
    if is_first():
        text = f"best {result.save_best} {result.best:.4f} after {result.epochs} epochs, {result.seconds:.0f} s: {result.checkpoint}"
        Screen().print(text + (" (a smoke run: one step, the number means nothing)" if a.smoke else ""))
    return 0
