"""A first config for pretraining on pairs: who teaches whom by which stages, each choice with its reason; labels are not asked for."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from xkd.data.check.residual import Residual
from xkd.data.manifest import Manifest
from xkd.data.request import check_windows
from xkd.data.rows import Row
from xkd.data.windows import Windows
from xkd.init.alignment import choose_taps, height_shown, stage_taps
from xkd.init.choices import BATCH, Choice, Node, check_models, fitted, side
from xkd.init.facts import shown_size
from xkd.init.ways import identifier
from xkd.init.write import in_docstring, network_of

_STEPS: Final = {"quick": 200, "full": 800}
_EPOCHS: Final = (4, 200)  # least and most
_CHECKS: Final = 10
_WARM: Final = (0.1, 2)
_DRAWS: Final = 8
_MOST_CACHED: Final = 100_000  # answers: a few GB
NETWORK: Final = "resnet18"


@dataclass(frozen=True)
class PairWishes:
    """What the user asked for: `source` teaches `target`; `file` has the source's weights in place of timm's hub."""

    source: str
    target: str
    networks: Mapping[str, str] = field(default_factory=dict)  # sensor -> a timm model
    file: str = ""
    epochs: int = 0
    quick: bool = False
    trusted: bool = False  # the pairs, though the check cannot measure them
    windows: int = 0  # of each frame in the place of the rows' crops

    def network_of(self, column: str) -> str:
        return self.networks.get(column) or (NETWORK if column == self.source else self.network_of(self.source))

    def as_command(self, data: str) -> str:
        """What was asked for, as the command says it; seed and folders are of a run."""
        networks = [f"{name}={self.network_of(name)}" for name in (self.source, self.target)]
        words = ["xkd", "pretrain", data, "--from", self.source, "--to", self.target, "--networks", *networks]
        words += ["--weights", self.file] * bool(self.file) + ["--epochs", str(self.epochs)] * bool(self.epochs)
        words += ["--windows", str(self.windows)] * bool(self.windows)
        return shlex.join([*words, *["--quick"] * self.quick, *["--trust-pairs"] * self.trusted])


@dataclass(frozen=True)
class PairChoices:
    """All that the template fills in."""

    source: Node
    target: Node
    rows: Mapping[str, int]  # pairs of both sensors, by split
    windows: Choice[int]  # of each frame in the place of train's rows; 0: the rows themselves
    taps: Choice[tuple[str, ...]]
    batch_size: Choice[int]
    epochs: Choice[int]
    val_interval: int
    draws: int  # of the augmentation, for which the teacher's answers are kept; 0: it runs in every step
    same_network: bool


def choose_pairs(manifest: Manifest, wishes: PairWishes, residual: Residual | None) -> PairChoices:
    """`ValueError` or `KeyError` where the recordings cannot teach, with the remedy; `residual` says how they are aligned, if they are."""
    names = (wishes.source, wishes.target)
    check_models(wishes.networks, names)
    networks = [wishes.network_of(name) for name in names]
    rows = count_pairs(manifest, *names)
    paired = [row for row in manifest.rows if row.split == "train" and all(name in row.files for name in names)]
    windows = choose_windows(manifest, paired, wishes)
    drawn = Windows(windows.value) if windows.value else None
    shown = {name: shown_size(manifest, paired, name) for name in names}  # of crops, which val and later use are of
    nodes = {
        name: Node(
            identifier(name),
            name,
            identifier(name),
            fitted(*shown[name], side(wishes.quick)),
            network,
            manifest.modalities[name].channels,
            True,
        )
        for name, network in zip(names, networks, strict=True)
    }
    ordered = [nodes[name] for name in names]
    taps = choose_taps(ordered, stage_taps(ordered), height_shown(manifest, paired, residual, drawn), residual, wishes.trusted)
    if not taps.value:
        raise ValueError(
            f"{wishes.source} and {wishes.target}: {taps.why}, so features of one place would teach another. Look at the overlays of xkd"
            " check-pairs: files that are mixed up are paired anew, cameras that are apart are registered (xkd register-pairs), and of"
            " smaller images (--quick) a position covers more. If you know that the pairs fit add --trust-pairs"
        )
    pairs = len(drawn.rows(paired)) if drawn else rows["train"]
    batch_size = min(BATCH, 2 ** max(0, (pairs // 4).bit_length() - 1))
    either = [row for row in manifest.rows if row.split == "train" and any(name in row.files for name in names)]
    epochs = _epochs(wishes, seen := len(drawn.rows(either) if drawn else either), batch_size)
    draws = min(_DRAWS, epochs.value)
    return PairChoices(
        source=nodes[wishes.source],
        target=nodes[wishes.target],
        rows=rows,
        windows=windows,
        taps=taps,
        batch_size=Choice(batch_size, f"{pairs:,} {'windows' if drawn else 'pairs'}"),
        epochs=epochs,
        val_interval=max(1, epochs.value // _CHECKS),
        draws=draws if seen * draws <= _MOST_CACHED else 0,
        same_network=networks[0] == networks[1],
    )


def count_pairs(manifest: Manifest, source: str, target: str) -> dict[str, int]:
    """Rows with both sensors, by split; `ValueError` where train or val has none."""
    for name in (source, target):
        if name not in manifest.modalities:
            raise KeyError(f"{manifest.root}: no sensor '{name}'; manifest.toml has {sorted(manifest.modalities)}")
    if source == target:
        raise ValueError(f"--from and --to name one sensor, '{source}'; there are {sorted(manifest.modalities)}")
    counts = {
        split: {
            "both": sum(source in row.files and target in row.files for row in manifest.rows if row.split == split),
            source: sum(source in row.files for row in manifest.rows if row.split == split),
            target: sum(target in row.files for row in manifest.rows if row.split == split),
        }
        for split in ("train", "val")
    }
    for split, count in counts.items():
        if not count["both"]:
            raise ValueError(
                f"{manifest.root}: no row of split '{split}' has both {source} and {target}: {count}. Features are taught on pairs of"
                " train, and the checkpoint is chosen on pairs of val: prepare the data set so that a row names the files of both sensors"
                " (xkd prepare-dataset), with pairs in both splits"
            )
    return {split: count["both"] for split, count in counts.items()}


def choose_windows(manifest: Manifest, paired: Sequence[Row], wishes: PairWishes) -> Choice[int]:
    """As many of each frame as were asked for; `ValueError` where rows show their whole frames already, or frames have no windows."""
    if not wishes.windows:
        return Choice(0, "")
    if wishes.windows < 0:
        raise ValueError(f"--windows is how many windows of each frame take the place of the crops, 0 for none; got {wishes.windows}")
    check_windows(manifest, [manifest.modalities[name] for name in (wishes.source, wishes.target)])
    crops = sum(row.crop is not None for row in paired)
    if not crops:
        raise ValueError(
            f"{manifest.root}: --windows {wishes.windows}: none of the {len(paired)} pairs of split 'train' is a crop, each shows its whole"
            " frame already. Leave --windows out; parts of the frames are seen by augment=dict(type=Augment, scale=(0.3, 1.0), shift=0.3)"
            " in the config, or by windows=dict(type=Windows)"
        )
    frames = len(Windows(1).rows(paired))
    return Choice(wishes.windows, f"{crops:,} of {len(paired):,} pairs are crops, of {frames:,} frames")


def _epochs(wishes: PairWishes, rows: int, batch_size: int) -> Choice[int]:
    per_epoch = max(1, rows // batch_size)
    if wishes.epochs < 0 or wishes.epochs in (1, 2):
        raise ValueError(f"--epochs must be 3 or more, since one or two warm up; got {wishes.epochs}")
    if wishes.epochs:
        return Choice(wishes.epochs, f"as asked for: {wishes.epochs * per_epoch:,} steps")
    least, most = _EPOCHS
    epochs = min(max(least, ceil(_STEPS["quick" if wishes.quick else "full"] / per_epoch)), most)
    return Choice(epochs, f"{per_epoch:,} steps each, {epochs * per_epoch:,} in all")


def render_pairs(choices: PairChoices, name: str, root: str, file: str, command: str, weights: str) -> str:
    """The text of the config; `root` is where it finds the data, `weights` a file in place of timm's hub."""
    environment = Environment(
        loader=PackageLoader("xkd.init", "."), trim_blocks=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    return environment.get_template("pretrain.jinja").render(
        c=choices,
        command=in_docstring(command),
        file=file,
        name=name,
        network=lambda node: network_of(node, 0),
        root=json.dumps(root, ensure_ascii=False),
        warm=max(1, min(_WARM[1], round(_WARM[0] * choices.epochs.value))),
        weights=f", file={json.dumps(weights, ensure_ascii=False)}" if weights else "",
    )
