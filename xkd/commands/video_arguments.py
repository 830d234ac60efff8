"""What `xkd prepare-dataset video` asks for, and what it makes of it."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from rich.progress import Progress

from xkd.data.prepare.arrays import ArrayClock
from xkd.data.prepare.make import Made, Order
from xkd.data.prepare.of_videos import Videos, make_clips
from xkd.data.prepare.stretches import Sliding
from xkd.data.prepare.video import promised
from xkd.engine.screen import Screen


def add_videos(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("root", type=Path, help="the folder of the videos")
    parser.add_argument("--clips", type=Path, metavar="CSV", help="columns file, start, end (seconds), label; if you like, group and split")
    parser.add_argument(
        "--window", type=float, default=0.0, metavar="SECONDS", help="sliding windows without a label, in the place of --clips"
    )
    parser.add_argument("--step", type=float, default=0.0, metavar="SECONDS", help="from window to window (one window)")
    parser.add_argument("--fps", type=float, default=8.0, help="frames that are kept each second, the nearest to each moment (%(default)s)")
    parser.add_argument("--longest", type=int, default=0, metavar="PIXELS", help="longer side that frames are shrunk to (as they are)")
    parser.add_argument("--frames", type=int, default=8, help="that a clip should have: shorter ones are counted (%(default)s)")
    parser.add_argument("--arrays", type=Path, metavar="DIR", help="VIDEO.npy (N, H, W) in degrees Celsius and VIDEO_t.npy, their seconds")
    clock = "of the arrays: video seconds = DRIFT * array seconds + OFFSET"
    parser.add_argument("--clock", type=float, nargs=2, default=[1.0, 0.0], metavar=("DRIFT", "OFFSET"), help=clock)


def of_videos(a: argparse.Namespace, order: Order, console: Screen) -> Made:
    """The clips of a folder of videos."""
    if (a.clips is None) == (a.window == 0):
        raise ValueError("clips are those of a table or sliding windows: give either --clips CSV or --window SECONDS")
    stretches = a.clips or Sliding(a.window, a.step or a.window)
    videos = Videos(a.root, stretches, a.fps, a.longest, a.frames, tuple(a.classes), a.arrays, ArrayClock(*a.clock))
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("frames", total=sum(map(promised, videos.found)) or None)
        return make_clips(videos, order, partial(bar.advance, task))
