"""`xkd register-pairs DATASET`: where one fixed camera's picture lies in another one's frame, estimated once, kept in manifest.toml."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from rich.table import Table

from xkd.commands.check_pairs import bars
from xkd.data.manifest import Manifest, find_dataset
from xkd.data.register import RegistrationResult, register_pairs, store
from xkd.data.register.run import measurable
from xkd.data.registration import MODELS
from xkd.engine.screen import Screen
from xkd.evidence.data_page import advance


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="xkd register-pairs",
        description="Register one fixed camera to another from many pairs of split train; [registration.SENSOR] in manifest.toml keeps it.",
    )
    parser.add_argument("dataset", help="its folder, or its name below XKD_DATA_ROOT")
    parser.add_argument("--reference", required=True, help="the camera whose frame stays: masks, crops and boxes are in it")
    parser.add_argument("--sensor", required=True, help="the camera whose images are read into that frame from now on")
    parser.add_argument("--model", required=True, choices=MODELS)
    parser.add_argument("--sample", type=int, default=60, help="pairs of split train; half estimate, half measure; 0 is all (60)")
    parser.add_argument("--seed", type=int, default=0, help="draws the pairs")
    parser.add_argument("--dry-run", action="store_true", help="show what is found and write nothing")
    a = parser.parse_args(arguments)
    manifest = Manifest.load(find_dataset(a.dataset))
    console = Screen()
    with bars(console) as progress:
        result = register_pairs(manifest, a.reference, a.sensor, a.model, a.sample, a.seed, advance(progress))
    if not a.dry_run:
        store(manifest.root / "manifest.toml", a.sensor, result.registration)
    console.print(as_table(result, a.sensor))
    one = result.registration
    console.print(
        f"{a.sensor} ({one.sensor_size[0]}x{one.sensor_size[1]}) sees {one.seen_share:.0%} of the frame of {one.reference} "
        f"({one.size[0]}x{one.size[1]}); estimated from {one.pairs} pairs, measured on {result.held_out} others",
    )
    where = f"{manifest.root / 'manifest.toml'}, [registration.{a.sensor}]"
    console.print("dry run: nothing written" if a.dry_run else f"written: {where}. Look: xkd check-pairs {manifest.root}")
    return 0


def as_table(result: RegistrationResult, sensor: str) -> Table:
    """Residuals of the held-out pairs, in ninths of the frame."""
    title = f"{sensor} on {result.registration.reference}, {result.registration.model}: pixels apart on held-out pairs"
    table = Table("", "median", "95 % within", "measurable parts", "in shuffled pairs", title=title)
    for name, one in (("before", result.before), ("after", result.after)):
        known = measurable(one)
        median, most = (f"{value:.2f}" if known else "-" for value in (one.paired.median, one.paired.p95))
        share = f"{one.paired.measurable} of {one.paired.pairs}"
        table.add_row(name, median, most, share if known else f"{share}: not measurable", str(one.shuffled.measurable))
    return table
