"""From recordings without labels to a network on any sensor: check pairs, write a config, let the camera's network teach, keep it."""

from __future__ import annotations

import tempfile
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
from xkd.engine.fingerprint import folder_of
from xkd.engine.loaders import build_distiller
from xkd.engine.progress import Display, shown_on
from xkd.engine.stages import is_finished
from xkd.engine.student import Student, load_student
from xkd.engine.train import train
from xkd.evidence.probe import probe, score
from xkd.evidence.worth import worth
from xkd.init.pretrain import PairWishes, choose_pairs, count_pairs, render_pairs
from xkd.init.write import in_docstring, place

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
    windows: int = 0,
    seed: int = 0,
    work_dir: str | Path = "",
    display: Display | None = None,
) -> PretrainedPairs:
    """A network on the sensor `target` learns from a pretrained one on `source`, on all pairs, labelled or not; resumable.

    `data` is a data set's folder or its name below XKD_DATA_ROOT. `networks` names timm's models by sensor (resnet18; the target's is the
    source's), `weights` a file of the source's pretrained weights in place of timm's hub. Pairs whose alignment cannot be measured, or
    that lie too far apart for any stage, are refused unless `trust_pairs`. With `windows` above 0 so many windows of each frame (`Windows`)
    take the place of the rows of train, which are crops. `work_dir` (work_dirs/NAME-OF-DATA_SOURCE_to_TARGET without
    one) gets the config, the backbone, and a run's folder for each seed and each state of the config; what is finished is reused. A
    config that is there already is used as it is, and refused where other things were asked for when it was written.
    """
    root = find_dataset(str(data))
    manifest = Manifest.load(root)
    folder = Path(work_dir or f"work_dirs/{manifest.name}_{source}_to_{target}" + ("_quick" if quick else ""))
    wishes = PairWishes(source, target, networks or {}, str(weights), epochs, quick, trust_pairs, windows)
    if weights and not Path(weights).exists():
        raise FileNotFoundError(f"--weights {weights}: no such file or folder")
    with shown_on(display, width=150) as screen:
        path = _config_of(manifest, root, folder, wishes, screen)
        config = load_config(path)
        probes = _before(config, seed, screen)
        run = folder_of(config, folder, seed, (), {"amp": False})
        if is_finished(run):
            screen.console.print(f"{run / 'best.pth'} was trained before")
        else:
            train(config, run, seed=seed, resume=True, display=screen, name="pretrain")
        network = load_student(config, str(run / "best.pth"))
        _after(config, network, probes, screen)
        card = _card(manifest, wishes, seed, probes)
        written = write_backbone(network.branch, folder / BACKBONE, card, manifest.licence)
        made = PretrainedPairs(folder, path, run / "best.pth", folder / BACKBONE if written else None, probes)
        for line in _lines(made, wishes):
            screen.console.print(line, highlight=False)
    return made


def _config_of(manifest: Manifest, root: str, folder: Path, wishes: PairWishes, display: Display) -> Path:
    """The config in `folder`, which is written where it is not there yet: what is wrong with pairs or networks is told before it is."""
    path, asked = folder / CONFIG, wishes.as_command(root)
    if path.exists():
        if f"`{in_docstring(asked)}`" not in path.read_text("utf-8"):
            raise ValueError(
                f"{path} was written when other things were asked for than `{asked}` (its first lines say which): name another"
                " --work-dir, or remove the file"
            )
        display.console.print(f"{path} is used as it is")
        return path
    count_pairs(manifest, wishes.source, wishes.target)
    choices = choose_pairs(manifest, wishes, residual_between(manifest, wishes.source, wishes.target))
    taps = " and ".join(choices.taps.value)
    pairs = ", ".join(f"{count} in {split}" for split, count in choices.rows.items())
    told = [f"pairs: {pairs}", f"features of {taps} (timm's stages, counted from the last): {choices.taps.why}"]
    if choices.windows.value:
        told.append(f"{choices.windows.value} windows of each frame: {choices.windows.why}")
    if not choices.same_network:
        told.append(f"{choices.target.network} begins with random weights, since it is another network than {choices.source.network}")
    for line in told:
        display.console.print(line, highlight=False)
    text = render_pairs(choices, manifest.name, root, str(path), asked, wishes.file)
    with tempfile.TemporaryDirectory() as tried:  # what cannot be built is not kept
        place(text, Path(tried) / CONFIG)
        build_distiller(load_config(Path(tried) / CONFIG).distiller, seed=0)
    place(text, path)
    display.console.print(f"{path} is written")
    return path


def residual_between(manifest: Manifest, source: str, target: str) -> Residual | None:
    """How far the sensors' edges lie apart, by a sample of the pairs of train and val; None where they are not measured, as from above.

    `ValueError` where rows of the sample cannot be read.
    """
    found = brief(manifest, splits=("train", "val"))
    if broken := [finding.text for finding in found.findings if finding.severity == "error" and finding.subject == "files"]:
        raise ValueError(
            f"{manifest.root}: {broken[0]}; mend the files, or leave them out (xkd check-pairs, prepare-dataset --on-broken skip)"
        )
    return next((one for one in found.residuals if {one.first, one.second} == {source, target}), None)


def _before(config: Config, seed: int, display: Display) -> dict[str, Mapping[str, float]]:
    """Probes of the teacher and of the network as it begins, and a warning where the first knows no more; none without labels."""
    distiller = build_distiller(config.distiller, seed).to(get_device())
    name, task = distiller.student_name, distiller.task
    camera, branch = next((of, branch) for of, branch in distiller.branches.items() if branch.frozen)
    found = worth(config, Student(branch, task, camera), Student(distiller.student, task, name))
    if not found.before:
        display.console.print("linear probe: none, no row of train and val has the label of an image")
        return {}
    probes = {f"{camera}, the teacher": found.teacher, f"{name} before": found.before}
    for title, values in probes.items():
        _show(title, values, display)
    if found.against:
        display.console.print(
            f'{found.against}. The pairs can hardly help here; Pretrained(channels="average") is at hand without them',
            style="yellow",
            highlight=False,
        )
    return probes


def _after(config: Config, network: Student, probes: dict[str, Mapping[str, float]], display: Display) -> None:
    """The same probe of what was trained, and a warning where it says less of the labels than before."""
    if not probes:
        return
    before, after = probes[f"{network.name} before"], probe(config, network)
    probes[f"{network.name} after"] = after
    _show(f"{network.name} after", after, display)
    if score(after) < score(before):
        text = (
            f"it says less of the labels than before, {score(after):.3f} against {score(before):.3f}: begin with averaged weights instead"
        )
        display.console.print(f'{text}, Pretrained(channels="average")', style="yellow", highlight=False)


def _show(title: str, values: Mapping[str, float], display: Display) -> None:
    measured = ", ".join(f"{metric.replace('_', ' ')} {value:.3f}" for metric, value in values.items())
    display.console.print(f"linear probe on val, {title}: {measured}", highlight=False)


def _card(manifest: Manifest, wishes: PairWishes, seed: int, probes: Mapping[str, Mapping[str, float]]) -> str:
    """README.md of the backbone."""
    weights = f"the weights of {Path(wishes.file).name}" if wishes.file else "timm's published weights"
    lines = [
        f"# A network on {wishes.target}, pretrained on pairs",
        "",
        f"A pretrained network on {wishes.source} taught it by features, on the paired recordings of {manifest.name}; no label was used.",
        f"Made by xkd: `{wishes.as_command(manifest.name)}`, seed {seed}. The teacher: {wishes.network_of(wishes.source)}, with {weights};"
        " what their licence says holds too.",
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
