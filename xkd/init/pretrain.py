"""A first config for pretraining on pairs: who teaches whom by which stages, each choice with its reason; labels are not asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Final

import timm
from jinja2 import Environment, PackageLoader, StrictUndefined

from xkd.data.check.residual import Residual
from xkd.data.check.strides import least_cell
from xkd.data.manifest import Manifest
from xkd.init.choices import BATCH, Choice, Node, check_models, fitted, identifier, side
from xkd.init.facts import shown_size
from xkd.taps import stage_names

_STEPS: Final = {"quick": 200, "full": 800}
_EPOCHS: Final = (4, 200)  # least and most
_CHECKS: Final = 10
_WARM: Final = (0.1, 2)
_DRAWS: Final = 8
_MOST_CACHED: Final = 100_000  # answers: a few GB
_TAPS: Final = 2  # stages from the last on
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


@dataclass(frozen=True)
class PairChoices:
    """All that the template fills in."""

    source: Node
    target: Node
    rows: Mapping[str, int]  # pairs of both sensors, by split
    taps: Choice[tuple[str, ...]]
    batch_size: Choice[int]
    epochs: Choice[int]
    val_interval: int
    draws: int  # of the augmentation, for which the teacher's answers are kept; 0: it runs in every step
    same_network: bool


def choose_pairs(manifest: Manifest, wishes: PairWishes, residual: Residual | None) -> PairChoices:
    """`ValueError` or `KeyError` where the recordings cannot teach, with the remedy; `residual` says how they are aligned, if they are."""
    names = (wishes.source, wishes.target)
    networks = _networks(wishes)
    rows = count_pairs(manifest, *names)
    paired = [row for row in manifest.rows if row.split == "train" and all(name in row.files for name in names)]
    shown = {name: shown_size(manifest, paired, name) for name in names}
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
    taps = choose_taps([nodes[name] for name in names], shown, residual, wishes.trusted)
    if not taps.value:
        raise ValueError(
            f"{wishes.source} and {wishes.target}: {taps.why}, so features of one place would teach another. Look at the overlays of xkd"
            " check-pairs: files that are mixed up are paired anew, cameras that are apart are registered (xkd register-pairs), and of"
            " smaller images (--quick) a position covers more. If you know that the pairs fit add --trust-pairs"
        )
    batch_size = min(BATCH, 2 ** max(0, (rows["train"] // 4).bit_length() - 1))
    epochs = _epochs(wishes, rows["train"], batch_size)
    draws = min(_DRAWS, epochs.value)
    return PairChoices(
        source=nodes[wishes.source],
        target=nodes[wishes.target],
        rows=rows,
        taps=taps,
        batch_size=Choice(batch_size, f"{rows['train']:,} pairs"),
        epochs=epochs,
        val_interval=max(1, epochs.value // _CHECKS),
        draws=draws if rows["train"] * draws <= _MOST_CACHED else 0,
        same_network=networks[0] == networks[1],
    )


def _networks(wishes: PairWishes) -> tuple[str, str]:
    check_models(wishes.networks, (wishes.source, wishes.target))
    source = wishes.networks.get(wishes.source, NETWORK)
    return source, wishes.networks.get(wishes.target, source)


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


def choose_taps(
    nodes: Sequence[Node], shown: Mapping[str, tuple[int, int]], residual: Residual | None, trusted: bool
) -> Choice[tuple[str, ...]]:
    """The last stages of both networks whose positions cover more than the pairs are apart; none where no stage does, or nobody can tell.

    `ValueError` for a network without stages.
    """
    strides = {node.column: _strides(node.network) for node in nodes}
    legal = tuple(f"stage:{-number}" for number in range(_TAPS, 0, -1))
    if residual is None or not residual.is_measurable:
        share = "no pair has" if residual is None else f"{residual.paired.measurable} of {residual.paired.pairs} pairs have"
        why = f"how the pairs are aligned is not measurable, {share} edges in common"
        return Choice(legal, f"the last ones; {why}, and is trusted") if trusted else Choice((), why)
    node, unit = next(node for node in nodes if node.column == residual.unit), residual.unit
    cells = {tap: _cell(node, shown[unit], strides[unit][int(tap.removeprefix("stage:"))]) for tap in legal}
    fitting = tuple(tap for tap in legal if cells[tap] >= least_cell(residual))
    why = f"edges lie up to {residual.paired.p95:.1f} pixels of {unit} apart (95 %)"
    if not fitting:
        why += f", and a position of the last stage of {node.network} covers {cells[legal[-1]]:.1f} pixels, less than twice as many"
        return Choice(legal[-1:], f"{why}; trusted all the same") if trusted else Choice((), why)
    why += f", a position of {fitting[0]} covers {cells[fitting[0]]:.1f}"
    return Choice(fitting, why if len(fitting) == len(legal) else f"{why}; {legal[0]} covers {cells[legal[0]]:.1f} and is left out")


def _cell(node: Node, shown: tuple[int, int], stride: int) -> float:
    """Pixels of the sensor's own frame that one position of a feature map covers."""
    return stride * shown[0] / node.size[0]


def _strides(network: str) -> list[int]:
    """Of each stage; `ValueError` for a network without stages."""
    model: Any = timm.create_model(network)
    named = len(stage_names(model))
    stages = [one["reduction"] for one in model.feature_info][-named:] if named else []
    if len(stages) < _TAPS:
        raise ValueError(
            f"{network} has {len(stages)} stages that timm names, at least {_TAPS} are needed: features are taught stage by stage. Most"
            " CNNs and transformers of timm have them (xkd inspect-taps NAME); for another network write the config by hand, with taps"
            " that name modules"
        )
    return stages


def _epochs(wishes: PairWishes, pairs: int, batch_size: int) -> Choice[int]:
    per_epoch = max(1, pairs // batch_size)
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
        command=command,
        file=file,
        name=name,
        root=json.dumps(root, ensure_ascii=False),
        warm=max(1, min(_WARM[1], round(_WARM[0] * choices.epochs.value))),
        weights=f", file={json.dumps(weights, ensure_ascii=False)}" if weights else "",
    )
