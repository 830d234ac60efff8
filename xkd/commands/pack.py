"""`xkd pack DATASET --out FOLDER`: the files of a data set in a few large ones, for disks on which many small ones are slow."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from rich.filesize import decimal

from xkd.commands.check_pairs import bars
from xkd.data.manifest import Manifest, find_dataset
from xkd.data.pack import SHARD, Packing, pack, unpack
from xkd.data.write import check_new, files_of
from xkd.engine.screen import Screen

_MEGABYTE: Final = 2**20
_NAMED: Final = 3  # of the files that stay loose


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="xkd pack", description="Put a data set's files into large shards with an index. The same samples are read from them."
    )
    parser.add_argument("dataset", help="its folder, or its name below XKD_DATA_ROOT")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="a new folder, a data set like any other")
    parser.add_argument(
        "--shard-size",
        type=int,
        default=SHARD // _MEGABYTE,
        metavar="MIB",
        help="of a shard at most; a larger file stays loose (%(default)s)",
    )
    parser.add_argument(
        "--base", default="", metavar="URL", help="of the folder to which you will copy the shards: they are read from there"
    )
    parser.add_argument("--unpack", action="store_true", help="the reverse: each file as it was before it was packed")
    a = parser.parse_args(arguments)
    out = Path(a.out)
    check_new(out)
    if a.shard_size < 1:
        raise ValueError(f"--shard-size is in MiB, a whole number from 1 on; got {a.shard_size}")
    manifest, console = Manifest.load(find_dataset(a.dataset)), Screen()
    with bars(console) as progress:
        tick = partial(progress.advance, progress.add_task("files", total=len(files_of(manifest))))
        done = unpack(manifest, out, tick) if a.unpack else pack(manifest, out, tick, a.shard_size * _MEGABYTE, a.base)
    console.print(f"unpacked {done} files: {out}" if isinstance(done, int) else told(done, out))
    if a.base and not a.unpack:
        console.print(f"copy {out / 'shard_*.bin'} to {a.base}, from where they are read; here they can then be removed")
    return 0


def told(done: Packing, out: Path) -> str:
    shards = f"{done.shards} shard{'s' * (done.shards != 1)}"
    text = f"packed {done.files} files into {shards}, {decimal(done.size)}: {out}"
    if done.loose:
        names = ", ".join(done.loose[:_NAMED]) + ", ..." * (len(done.loose) > _NAMED)
        which = "1 file is larger than a shard, gains" if len(done.loose) == 1 else f"{len(done.loose)} files are larger than a shard, gain"
        text += f"\n{which} nothing from one and stay{'s' * (len(done.loose) == 1)} loose beside them: {names}"
    return text
