"""`xkd prepare-dataset folders|times|kitti|coco|yolo|...`: a data set with its manifest, from recordings on a disk."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from xkd.commands.video_arguments import add_videos, of_videos
from xkd.data.manifest import data_root
from xkd.data.prepare.annotated import Annotations
from xkd.data.prepare.arguments import named, parse_masks, parse_numbers, parse_sources, with_settings
from xkd.data.prepare.assign import SHARES, Splitting
from xkd.data.prepare.box_table import read_box_table
from xkd.data.prepare.clocks import Clock
from xkd.data.prepare.coco import read_coco
from xkd.data.prepare.cvat import read_cvat
from xkd.data.prepare.flir_adas import read_flir_adas
from xkd.data.prepare.folders import find_in_folders
from xkd.data.prepare.kaist import VIDEO, read_kaist
from xkd.data.prepare.kitti import Kitti, find_in_kitti
from xkd.data.prepare.label_studio import read_label_studio
from xkd.data.prepare.labelme import read_labelme
from xkd.data.prepare.labels import LabelSource
from xkd.data.prepare.listing import Source
from xkd.data.prepare.llvip import LOCATION, read_llvip
from xkd.data.prepare.make import Order, make
from xkd.data.prepare.masks import MaskFolder
from xkd.data.prepare.numbers import number_of
from xkd.data.prepare.objects import ObjectChoice, find_annotated
from xkd.data.prepare.pattern import base
from xkd.data.prepare.published import Published
from xkd.data.prepare.records import Contents
from xkd.data.prepare.summary import show
from xkd.data.prepare.times import Pairing, find_by_times
from xkd.data.prepare.voc import read_voc
from xkd.data.prepare.yolo import read_yolo
from xkd.engine.screen import Screen

TOOLS: dict[str, tuple[Callable[[Sequence[Path]], Annotations], str]] = {
    "coco": (read_coco, "COCO JSON, one or one for each split: boxes, polygons and run lengths"),
    "boxes": (read_box_table, "a CSV of boxes: image, left, top, right, bottom (or x, y, width, height) and class"),
    "yolo": (read_yolo, "YOLO: data.yaml and labels/*.txt with boxes or polygons"),
    "voc": (read_voc, "Pascal VOC: an XML per image with boxes"),
    "labelme": (read_labelme, "LabelMe: a JSON per image with polygons, rectangles, circles and masks"),
    "label-studio": (read_label_studio, "Label Studio's JSON export: rectangles, ellipses, polygons and brushes"),
    "cvat": (read_cvat, "CVAT for images: an XML with boxes, polygons, ellipses and masks"),
}
PUBLISHED: dict[str, tuple[Callable[[Path, int], Published], str, str]] = {  # the reader, what finds a row's group, and words
    "llvip": (read_llvip, LOCATION, "LLVIP: visible, infrared and Annotations; boxes of persons at night"),
    "flir-adas": (
        read_flir_adas,
        "",
        "FLIR ADAS: the aligned pairs (JPEGImages, Annotations, align_*.txt), or release 1.3",
    ),
    "kaist": (read_kaist, VIDEO, "KAIST: images/setNN/VNNN/{visible,lwir} and annotations; boxes of pedestrians"),
}
LAYOUTS = {
    "folders": "folders that mirror each other: files of one stem are a pair",
    "times": "sensors with their own frames: pairs by the nearest time",
    **{name: text for name, (_, text) in TOOLS.items()},
    "video": "videos: clips by a table or by sliding windows, decoded once; temperatures in arrays beside them",
    "kitti": "KITTI's object layout: image_2, velodyne, calib, label_2 (or image, lidar, calib, label)",
    **{name: text for name, (_, _, text) in PUBLISHED.items()},
}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="xkd prepare-dataset", description="Make a data set with its manifest, from recordings on a disk."
    )
    layouts = parser.add_subparsers(dest="layout", required=True)
    parsers = {name: layouts.add_parser(name, help=text, description=text) for name, text in LAYOUTS.items()}
    add_times(parsers["times"])
    for name in ("kitti", *PUBLISHED):
        add_root(parsers[name])
    add_videos(parsers["video"])
    add_classes(parsers["video"])
    for name in ("folders", "times"):
        add_sensors(parsers[name])
        add_labels(parsers[name])
        add_masks(parsers[name])
    for name in TOOLS:
        add_sensors(parsers[name])
        add_annotations(parsers[name])
    for each in parsers.values():
        add_order(each)
    a = parser.parse_args(arguments)
    console = Screen()
    sources = {} if a.layout in ("kitti", "video", *PUBLISHED) else parse_sources(a.sensor, a.set)
    guessed = [
        f"{column} is read as sensor '{source.table['sensor']}': {source.why}. If it is another, write {column}=DIR:SENSOR"
        for column, source in sources.items()
        if source.why
    ]
    for message in guessed:  # at once, since what comes next may fail by it
        console.print(message)
    order = order_of(a, data_root(a.name or recorded(a, sources).name))
    order = replace(order, words=shlex.join(["xkd", "prepare-dataset", *arguments]), said=tuple(guessed))
    if order.out.exists():
        raise FileExistsError(f"{order.out}: is there already; {'remove it to make it anew' if a.out else 'use --out FOLDER'}")
    show(of_videos(a, order, console) if a.layout == "video" else make(find(a, sources), order), console)
    return 0


def recorded(a: argparse.Namespace, sources: Mapping[str, Source]) -> Path:
    """The folder that holds all recordings."""
    folders = [base(place).absolute() for source in sources.values() for place in source.folders]
    return Path(os.path.commonpath([folder.parent for folder in folders])) if folders else Path(a.root).absolute()


def find(a: argparse.Namespace, sources: Mapping[str, Source]) -> Contents:
    """What the layout finds."""
    if a.layout == "kitti":
        contents = find_in_kitti(Kitti(a.root, tuple(a.classes), a.crops))
        return replace(contents, sensors=with_settings(contents.sensors, a.set))
    if a.layout in PUBLISHED:
        published = PUBLISHED[a.layout][0](a.root, a.seed)
        choice = ObjectChoice(tuple(a.classes), unannotated="empty", crops=a.crops)
        contents = find_annotated(published.annotations, choice, published.sources)
        return replace(contents, sensors=with_settings(contents.sensors, a.set))
    if a.layout in TOOLS:
        choice = ObjectChoice(tuple(a.classes), tuple(a.mask_positive), a.multilabel, a.unannotated, a.annotated, a.turned, a.crops)
        return find_annotated(TOOLS[a.layout][0](a.annotations), choice, sources, a.strip)
    if a.layout == "folders":
        return find_in_folders(sources, labels_of(a), masks_of(a), a.strip)
    tables = {name: Path(path) for name, path in named(a.times, "--times")}
    offsets = parse_numbers(a.offset, "--offset")
    pairing = Pairing(Clock(a.time_regex, a.time_format, tables), a.tolerance, offsets, a.estimate_offset, a.max_offset)
    return find_by_times(sources, pairing, labels_of(a), masks_of(a), a.strip)


def order_of(a: argparse.Namespace, place: Path) -> Order:
    """`place` is where the data set is made unless the words say."""
    out = a.out or place
    return Order(out, a.name or out.name, a.licence, a.source, a.link, splitting_of(a), a.on_broken)


def splitting_of(a: argparse.Namespace) -> Splitting:
    column = getattr(a, "split_column", "")
    ways = {"--split": a.split, "--split-lists": a.split_lists, "--split-from-folder": a.split_from_folder, "--split-column": column}
    if len(given := [flag for flag, value in ways.items() if value]) > 1:
        raise ValueError(f"splits are given twice, by {' and '.join(given)}; which holds?")
    shares = parse_numbers(a.split, "--split") or SHARES
    way: Literal["found", "folder", "drawn"] = "folder" if a.split_from_folder else "drawn" if a.split else "found"
    group = PUBLISHED[a.layout][1] if a.layout in PUBLISHED else ""
    return Splitting(way, shares, a.seed, a.split_lists, a.group_regex or group)


def labels_of(a: argparse.Namespace) -> LabelSource:
    return LabelSource(
        a.labels,
        a.labels_from_folder,
        a.multilabel,
        tuple(a.classes),
        a.id_column,
        a.label_column,
        a.group_column,
        a.split_column,
        a.label_separator,
        splits_elsewhere=bool(a.split or a.split_lists or a.split_from_folder),
        unlabelled=a.unlabelled,
        numbers=tuple(map(number_of, a.numbers)),
    )


def masks_of(a: argparse.Namespace) -> MaskFolder | None:
    return parse_masks(a.masks, a.mask_values, a.mask_colours, a.mask_positive)


def add_order(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, help="the folder to make (NAME below XKD_DATA_ROOT, of the recordings' folder)")
    parser.add_argument("--name", default="", help="of the data set (the folder's)")
    parser.add_argument("--licence", default="not stated")
    parser.add_argument("--source", default="not stated", help="where the recordings come from")
    parser.add_argument("--link", choices=["copy", "symlink", "hardlink"], default="copy", help="how files get there (%(default)s)")
    parser.add_argument("--group-regex", default="", metavar="REGEX", help="what it captures in a stem is the group: plant, scene, drive")
    shares = " ".join(f"{split}={share:g}" for split, share in SHARES.items())
    drawn = f"drawn by group ({shares}, unless the recordings come with splits)"
    parser.add_argument("--split", nargs="+", default=[], metavar="SPLIT=SHARE", help=drawn)
    parser.add_argument("--seed", type=int, default=0, help="of the split (%(default)s)")
    parser.add_argument("--split-lists", type=Path, metavar="DIR", help="given splits: train.txt, val.txt and test.txt, an id a line")
    parser.add_argument("--split-from-folder", action="store_true", help="given splits: folders train, val (valid, dev) and test")
    broken = "skip reads every file, and leaves out and counts those that cannot be read (%(default)s: at the first that is needed)"
    parser.add_argument("--on-broken", choices=["stop", "skip"], default="stop", help=broken)


def add_sensors(parser: argparse.ArgumentParser) -> None:
    sensor = "rgb=photos, or a pattern that tells a folder's files apart: 'rgb=flight/*_W.JPG', with {id}, ** and {1..5}; once per sensor"
    parser.add_argument("--sensor", action="append", required=True, metavar="COLUMN=DIR[:SENSOR]", help=sensor)
    add_set(parser)
    parser.add_argument("--strip", default="", metavar="REGEX", help="taken out of stems, so that they pair: '_rgb$|_thermal$'")


def add_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set", action="extend", nargs="+", default=[], metavar="COLUMN.KEY=VALUE", help="thermal.unit=K thermal.scale=0.01"
    )


def add_classes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--classes", nargs="+", default=[], help="in this order (all that occur); other labels are left out and counted")


def add_labels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--labels", type=Path, metavar="CSV", help="a table of ids (names of files), labels and, if you like, groups and splits"
    )
    numbers = "columns of the CSV that label rows with numbers, in the place of classes: severity:grade:0..4, their units and ranges"
    parser.add_argument("--numbers", nargs="+", default=[], metavar="NAME[:UNIT]:LOW..HIGH", help=numbers)
    parser.add_argument("--unlabelled", action="store_true", help="nobody has labelled anything: pairs for xkd pretrain")
    parser.add_argument("--labels-from-folder", action="store_true", help="the folder of a file is its class")
    parser.add_argument("--multilabel", action="store_true", help="several labels per cell, or columns of 0 and 1; '-' is none")
    parser.add_argument(
        "--label-separator", default="", metavar="TEXT", help="joins several labels of a cell (';', or found where it is clear)"
    )
    add_classes(parser)
    parser.add_argument("--id-column", default="", metavar="NAME", help="of the CSV (the one that holds the files' names)")
    parser.add_argument(
        "--label-column", default="", metavar="NAME", help="of the CSV (label, class, ..., or a column of 0 and 1 per class); - for none"
    )
    parser.add_argument("--group-column", default="", metavar="NAME", help="of the CSV (group)")
    parser.add_argument(
        "--split-column", default="", metavar="NAME", help="of the CSV: given splits (split, where all its cells are splits)"
    )


def add_masks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--masks", type=Path, metavar="DIR", help="pictures of codes or colours, by stem")
    parser.add_argument("--mask-values", nargs="+", default=[], metavar="NAME=CODE", help="background=0 lesion=1")
    parser.add_argument("--mask-colours", nargs="+", default=[], metavar="NAME=R,G,B", help="lesion=255,0,0; black is background")
    parser.add_argument("--mask-positive", nargs="+", default=[], metavar="NAME", help="the region of interest")


def add_times(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tolerance", type=float, required=True, metavar="SECONDS", help="that a pair may be apart")
    parser.add_argument(
        "--time-regex", default="", metavar="REGEX", help="'(?P<seconds>[0-9.]+)' of a name; also milli-, micro-, nanoseconds"
    )
    parser.add_argument("--time-format", default="", metavar="FORMAT", help="strptime's, of the stem: %%Y%%m%%d_%%H%%M%%S_%%f")
    parser.add_argument("--times", nargs="+", default=[], metavar="COLUMN=CSV", help="columns file, seconds")
    parser.add_argument(
        "--offset", nargs="+", default=[], metavar="COLUMN=SECONDS", help="added to a sensor's clock to get the first one's"
    )
    parser.add_argument("--estimate-offset", action="store_true", help="find it, about --offset; an ambiguous answer is an error")
    parser.add_argument("--max-offset", type=float, default=5.0, metavar="SECONDS", help="how far to look (%(default)s)")


def add_annotations(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("annotations", type=Path, nargs="+", help="files, or folders with all below; they name images by their stems")
    parser.add_argument("--annotated", default="", metavar="COLUMN", help="the sensor that was annotated (the one whose size fits)")
    shown = "how the tool showed images that are stored turned, where sizes do not tell"
    parser.add_argument("--turned", choices=["shown", "stored"], default="", help=shown)
    parser.add_argument("--crops", action="store_true", help="a row per box, with the square about it")
    parser.add_argument("--multilabel", action="store_true", help="label an image with all of its classes")
    parser.add_argument("--unannotated", choices=["empty", "unlabelled"], default="", help="what an image without annotations is")
    parser.add_argument("--mask-positive", nargs="+", default=[], metavar="NAME", help="classes of the region of interest (all)")
    add_classes(parser)


def add_root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("root", type=Path)
    parser.add_argument("--crops", action="store_true", help="a row per box, with the square about it")
    add_classes(parser)
    add_set(parser)
