"""From recordings without labels to a network on any sensor: check pairs, write a config, let the camera's network teach, keep it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mmengine.config import Config
from mmengine.device import get_device

from xkd.data.check.brief import brief
from xkd.data.check.residual import Residual
from xkd.data.manifest import Manifest, find_dataset
from xkd.deploy.backbone import write_backbone
from xkd.engine.config import load_config
from xkd.engine.loaders import build_distiller
from xkd.engine.progress import Display, shown_on
from xkd.engine.stages import is_finished
from xkd.engine.student import Student, load_student
from xkd.engine.train import train
from xkd.evidence.probe import probe
from xkd.evidence.worth import worth
from xkd.init.pretrain import PairWishes, choose_pairs, count_pairs, render_pairs
from xkd.init.write import place

BACKBONE: Final = "backbone"
CONFIG: Final = "config.py"


@dataclass(frozen=True)
class PretrainedPairs:
    """What `pretrain` gives: a run's folder and config, its checkpoint, and the network as timm's folder, where it is one of timm's.

    `probes` are metrics on val of a linear classifier on the frozen network: of the teacher, of the network "before" and "after".
    """

    folder: Path
    config: Path
    checkpoint: Path
    backbone: Path | None
    probes: Mapping[str, Mapping[str, float]]


def pretrain(  # noqa: PLR0913  # each is an option of the command
    data: str | Path,
    *,
    source: str,
    target: str,
    networks: Mapping[str, str] | None = None,
    weights: str | Path = "",
    epochs: int = 0,
    quick: bool = False,
    trust_pairs: bool = False,
    seed: int = 0,
    work_dir: str | Path = "",
    display: Display | None = None,
    command: str = "",
) -> PretrainedPairs:
    """A network on the sensor `target` learns from a pretrained one on `source`, on all pairs, labelled or not; resumable.

    `data` is a data set's folder or its name below XKD_DATA_ROOT. `networks` names timm's models by sensor (resnet18; the target's is the
    source's), `weights` a file of the source's pretrained weights in place of timm's hub. Pairs whose alignment cannot be measured, or
    that lie too far apart for any stage, are refused unless `trust_pairs`. A config that is in `work_dir`
    (work_dirs/NAME-OF-DATA_TARGET_pairs without one) is used as it is.
    """
    root = find_dataset(str(data))
    manifest = Manifest.load(root)
    folder = Path(work_dir or f"work_dirs/{manifest.name}_{target}_pairs" + ("_quick" if quick else ""))
    wishes = PairWishes(source, target, networks or {}, str(weights), epochs, quick, trust_pairs)
    with shown_on(display, width=150) as screen:
        path = _config_of(manifest, root, folder, wishes, command, screen)
        config = load_config(path)
        probes = _before(config, seed, screen)
        _train(config, folder, seed, screen)
        checkpoint = folder / "best.pth"
        network = load_student(config, str(checkpoint))
        if probes:
            probes[f"{network.name} after"] = probe(config, network)
            _show(f"{network.name} after", probes[f"{network.name} after"], screen)
        written = write_backbone(network.branch, folder / BACKBONE, _card(manifest, wishes, probes, command))
        made = PretrainedPairs(folder, path, checkpoint, folder / BACKBONE if written else None, probes)
        for line in _lines(made, wishes):
            screen.console.print(line, markup=False, highlight=False)
    return made


def _config_of(manifest: Manifest, root: str, folder: Path, wishes: PairWishes, command: str, display: Display) -> Path:
    """The config in `folder`, which is written where it is not there yet: what is wrong with pairs or networks is told before it is."""
    path = folder / CONFIG
    if path.exists():
        display.console.print(
            f"{path} is used as it is; for other networks, epochs or sizes edit it, or name another --work-dir", markup=False
        )
        return path
    count_pairs(manifest, wishes.source, wishes.target)
    choices = choose_pairs(manifest, wishes, residual_between(manifest, wishes.source, wishes.target))
    display.console.print(
        f"pairs: {dict(choices.rows)}; by {' and '.join(choices.taps.value)} ({choices.taps.why})", markup=False, highlight=False
    )
    text = render_pairs(choices, manifest.name, root, str(path), command or "xkd.pretrain", wishes.file)
    place(text, path)
    try:
        build_distiller(load_config(path).distiller, seed=0)
    except (ValueError, KeyError, OSError):
        path.unlink()  # what cannot be built is not kept
        raise
    display.console.print(f"{path} is written", markup=False)
    return path


def residual_between(manifest: Manifest, source: str, target: str) -> Residual | None:
    """How far the sensors' edges lie apart, by a sample of the pairs of train and val; None where they are not measured, as from above."""
    for one in brief(manifest, splits=("train", "val")).residuals:
        if {one.first, one.second} == {source, target}:
            return one
    return None


def _train(config: Config, folder: Path, seed: int, display: Display) -> None:
    if is_finished(folder):
        display.console.print(f"{folder / 'best.pth'} was trained before", markup=False)
    else:
        train(config, folder, seed=seed, resume=True, display=display, name="pretrain")


def _before(config: Config, seed: int, display: Display) -> dict[str, Mapping[str, float]]:
    """Probes of the teacher and of the network as it begins, and a warning where the first knows no more; none without labels."""
    distiller = build_distiller(config.distiller, seed).to(get_device())
    name, task = distiller.student_name, distiller.task
    ((camera, branch),) = [(name, branch) for name, branch in distiller.branches.items() if branch.frozen]
    found = worth(config, Student(branch, task, camera), Student(distiller.student, task, name))
    if not found.before:
        display.console.print("linear probe: none, no row of train and val has the label of an image")
        return {}
    probes = {f"{camera}, the teacher": found.teacher, f"{name} before": found.before}
    for title, values in probes.items():
        _show(title, values, display)
    if found.against:
        display.console.print(f"{found.against}. The pairs can hardly help here", style="yellow", markup=False, highlight=False)
    return probes


def _show(title: str, values: Mapping[str, float], display: Display) -> None:
    measured = ", ".join(f"{metric.replace('_', ' ')} {value:.3f}" for metric, value in values.items())
    display.console.print(f"linear probe on val, {title}: {measured}", markup=False, highlight=False)


def _card(manifest: Manifest, wishes: PairWishes, probes: Mapping[str, Mapping[str, float]], command: str) -> str:
    """README.md of the backbone."""
    lines = [
        f"# A network on {wishes.target}, pretrained on pairs",
        "",
        f"A pretrained network on {wishes.source} taught it by features, on the paired recordings of {manifest.name}; no label was used.",
        "Made by xkd" + (f": `{command}`." if command else "."),
        "",
        f"Data: {manifest.source or manifest.name}. Licence of the data: {manifest.licence or 'not stated'}.",
        "",
        "`mean` and `std` in config.json are shares of the sensor's range; the network has no classifier.",
        "",
        "    timm.create_model('local-dir:THIS-FOLDER', pretrained=True, num_classes=...)",
        "    weights=dict(type=Checkpoint, path='THIS-FOLDER')      # in a config of xkd",
    ]
    if probes:
        metrics = list(next(iter(probes.values())))
        lines += [
            "",
            "A linear classifier on the frozen network, on val:",
            "",
            f"| | {' | '.join(metrics)} |",
            f"|---|{'---|' * len(metrics)}",
        ]
        lines += [f"| {name} | {' | '.join(f'{values[metric]:.3f}' for metric in metrics)} |" for name, values in probes.items()]
    return "\n".join(lines) + "\n"


def _lines(made: PretrainedPairs, wishes: PairWishes) -> Sequence[str]:
    """Where it is and how it is used."""
    backbone = [f"backbone: {made.backbone}, for timm.create_model('local-dir:{made.backbone}', pretrained=True)"] if made.backbone else []
    return [
        f"checkpoint: {made.checkpoint}",
        *backbone,
        f"config, yours to change: {made.config}",
        f"next: weights=dict(type=Checkpoint, path='{made.checkpoint}') for the branch on {wishes.target} in a config with labels; the"
        " classifier is new",
    ]
