"""Arms that are trained already, tested on another data set: another camera, another field. Nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

from mmengine.config import Config

from xkd.batch import View
from xkd.builder import build
from xkd.data.annotations import Masks
from xkd.data.manifest import Manifest, find_dataset, sensor
from xkd.data.rows import SPLITS
from xkd.engine.checks import check_annotation
from xkd.engine.config import as_names, as_plain, copied, load_config
from xkd.engine.loaders import build_loader
from xkd.engine.outline import Outline
from xkd.engine.progress import shown_on
from xkd.engine.stages import is_finished
from xkd.evidence.answers import CLUSTER
from xkd.evidence.arm import Arm
from xkd.evidence.arms import make_arms
from xkd.evidence.comparable import check_readable
from xkd.evidence.compare import Compared, checked_metric, chosen, conclude, runs_folder
from xkd.evidence.runs import arm_folder, ask, read_run, run_key


@dataclass(frozen=True)
class Elsewhere:
    """The rows of a `split` of the data set at `root` in the place of the config's own test rows."""

    root: str
    split: str
    manifest: Manifest

    @classmethod
    def find(cls, data: str, split: str) -> Self:
        """By what a person calls the data set; `ValueError` for a split that is none, or has no rows."""
        root = find_dataset(data)
        manifest = Manifest.load(root)
        rows = {name: sum(row.split == name for row in manifest.rows) for name in SPLITS}
        if not rows.get(split):
            raise ValueError(f"{manifest.root} has no rows of split '{split}'; choose by --split among {rows}")
        return cls(root, split, manifest)

    @property
    def folder(self) -> str:
        """The name of the folder for its numbers."""
        return f"on_{self.manifest.root.name}" + ("" if self.split == "test" else f"_{self.split}")

    def config(self, config: Config) -> Config:
        """The config with these test rows, and with sensors as this data set describes them, where it has them."""
        made, manifest = copied(config), self.manifest
        dataset = as_plain(made.test_dataloader.dataset)
        dataset |= {"root": self.root, "split": self.split, "views": self._sensors(dataset["views"])}
        if manifest.mask is None:
            dataset["masks"] = {"type": Masks, "source": "none"}
        made.test_dataloader.dataset = as_names(dataset)
        for branch in made.distiller.branches.values():
            branch.view = as_names(self._sensors(as_plain(branch.view)))
        section = as_plain(made.get("compare") or {})
        if section.get("cluster", CLUSTER) not in manifest.rows[0].meta:
            section["cluster"] = CLUSTER
        if manifest.mask is None:
            section.pop("object", None)
        made.compare = as_names(section)
        return made

    def _sensors(self, node: Any) -> Any:
        if isinstance(node, Mapping):
            known = node.get("type") is sensor and node.get("column") in self.manifest.modalities
            return {key: self.root if known and key == "root" else self._sensors(of) for key, of in node.items()}
        return [self._sensors(of) for of in node] if isinstance(node, list | tuple) else node

    def arms(self, arms: Sequence[Arm]) -> tuple[list[Arm], list[str]]:
        """Those whose sensor is there, tested on these rows, and in words what is left out or otherwise here.

        `ValueError` where the student's sensor is missing, or the rows have other classes.
        """
        kept, why = [], []
        for arm in arms:
            config, branch = arm.tested()
            cluster = as_plain(config.get("compare") or {}).get("cluster", CLUSTER)
            if arm.name == "alone" and cluster not in self.manifest.rows[0].meta:
                why.append(f"{self.manifest.root} has no column '{cluster}' (compare.cluster): intervals are by {CLUSTER}")
            view: View = build(Outline.of(config).view_of(branch), f"distiller.branches.{branch}.view")
            missing = [one.name for one in view.sensors if one.name not in self.manifest.modalities]
            if not missing:
                kept.append(replace(arm, through=(partial(self._through, arm), branch)))
                self._check_annotated(self.config(config), branch)
                continue
            lacks = f"{self.manifest.root} has no sensor '{missing[0]}', it has {list(self.manifest.modalities)}"
            if arm.name in ("alone", "distilled"):
                raise ValueError(f"{lacks}: the student cannot be tested on it")
            why.append(f"{arm.title} is left out: {lacks}")
        return kept, why

    def _check_annotated(self, config: Config, branch: str) -> None:
        """`ValueError` where the rows are annotated with other classes, or in another order, than the network answers in."""
        view: View = build(Outline.of(config).view_of(branch), f"distiller.branches.{branch}.view")
        loader = build_loader(config.test_dataloader, 0, views=[view])
        check_annotation(build(as_plain(config.distiller.task), "distiller.task"), {self.split: loader})

    def _through(self, arm: Arm) -> Config:
        return self.config(arm.tested()[0])


@dataclass(frozen=True)
class Finished:
    """Which runs of a comparison are asked: as `compare` takes it."""

    seeds: int = 3
    work_dir: str | Path = ""
    arms: Sequence[str] = ()
    controls: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    amp: bool = False
    smoke: bool = False


def compare_on(data: str, config: str | Path, finished: Finished, *, split: str = "test", metric: str = "", command: str = "") -> Compared:
    """Test what `compare` has trained on the rows of another data set with the same classes, in a folder of its own beside the runs.

    Sensors are read as that data set describes them. Arms whose sensor it lacks are left out, which is said; `FileNotFoundError` names
    the runs that nobody has trained.
    """
    path, here = Path(config), Elsewhere.find(data, split)
    root = runs_folder(path, finished.work_dir, finished.smoke)
    trained = chosen(make_arms(path, finished.options), finished.arms, finished.controls)
    folders = folders_of(trained, range(finished.seeds), root, {"amp": finished.amp, "smoke": finished.smoke})
    tested, left_out = here.arms([arm for arm in trained if not arm.aside])
    metric = checked_metric(tested, metric)
    check_readable(tested)
    with shown_on(None, width=150) as screen:
        for line in left_out:
            screen.console.print(line, style="yellow")
        for arm in tested:
            for seed in range(finished.seeds):
                ask(arm, folders[run_key(arm.name, seed)], seed)
        runs = {arm.name: [read_run(arm, folders[run_key(arm.name, seed)]) for seed in range(finished.seeds)] for arm in tested}
        own = here.config(load_config(path, finished.options))
        return conclude(own, tested, runs, metric, root / here.folder, command, finished.smoke, screen.console)


def folders_of(arms: Sequence[Arm], seeds: Sequence[int], root: Path, settings: Mapping[str, Any]) -> dict[str, Path]:
    """Of each arm and seed, by `run_key`; `FileNotFoundError` names the runs that are not finished."""
    folders: dict[str, Path] = {}
    for seed in seeds:
        for arm in arms:
            done = {teacher: folders[run_key(teacher, seed)] for teacher in arm.loaded}
            folders[run_key(arm.name, seed)] = arm_folder(arm, seed, root, done, settings)
    if missing := [name for name, folder in folders.items() if not is_finished(folder)]:
        raise FileNotFoundError(
            f"{root} has no finished run of {', '.join(missing)}, by this config and options. Nothing is trained here: run xkd compare"
            " without --on first, or name what is there by --arms and --seeds"
        )
    return folders
