"""A camera student learns from a thermal teacher, later from an NDVI teacher on other rows: does it lose what the first taught?

    xkd plan configs/plans/leafsim_sensors_lifelong.py --seeds 3

- `kept`: in the second field what the student was teaches it beside the NDVI teacher. `unkept`: the same without it.
- `only_ndvi`: the second field alone, from random weights; `only_thermal` is what `first` knows.
- `both`: all rows of both fields at once, each taught by the teacher whose sensor it has: what can be reached.

What either teacher tells better than the other stands in plan.json, in the tests of its stage.
"""

from mmengine.config import read_base

with read_base():
    from ..rgb_several.leafsim_fields import *

config = "../rgb_several/leafsim_fields.py"
diseases = task["classes"]
tests = dict(all=dict(), **{name: dict(options={"test_dataloader.dataset.classes": (name,)}) for name in diseases})


def network(name, view, branch):
    """A teacher's own run, on the rows that have its sensor."""
    ce = dict(labels, student=f"{name}.output")
    learns = {key: of for key, of in branch.items() if key != "frozen"}
    return dict(
        config=config,
        options={
            "distiller.student": name,
            "distiller.branches": {name: dict(learns, weights=dict(type=Random))},
            "distiller.terms": dict(ce=ce),
            **{f"{split}_dataloader.dataset.views": [view] for split in ("train", "val", "test")},
            "train_dataloader.dataset.having": (name,),
            "train_dataloader.sampler.labelled_share": 1.0,
            "optim_wrapper.optimizer.lr": 1e-3,
        },
    )


def student(rows, weights, chain, **teachers):
    """A run of the student on rows that have these sensors, beginning with `weights`, taught by branches of these names."""
    terms = {name: dict(taught, teacher=f"{name}.output") for name in teachers}
    views = [rgb, *(of["view"] for of in teachers.values() if of["view"] != rgb)]
    return dict(
        config=config,
        options={
            "distiller.branches": dict(teachers, rgb=dict(resnet10, weights=weights)),
            "distiller.terms": dict(terms, ce=labels),
            "train_dataloader.dataset.views": views,
            "train_dataloader.dataset.having": rows,
        },
        chain=chain,
        learns=tuple(tests),
    )


def trained(branch, stage):
    return dict(branch, weights=dict(type=Checkpoint, path=f"@{stage}"))


of_thermal, of_ndvi = trained(by_thermal, "thermal"), trained(by_ndvi, "ndvi")
start, again = dict(type=Random), dict(type=Checkpoint, path="@first")
stages = dict(
    thermal=network("thermal", thermal, by_thermal),
    ndvi=network("ndvi", ndvi, by_ndvi),
    first=student(("thermal",), start, ("only_thermal", "kept", "unkept"), thermal=of_thermal),
    kept=student(("ndvi",), again, "kept", ndvi=of_ndvi, before=dict(resnet10, weights=again, frozen=True)),
    unkept=student(("ndvi",), again, "unkept", ndvi=of_ndvi),
    only_ndvi=student(("ndvi",), start, "only_ndvi", ndvi=of_ndvi),
    both=student((), start, "both", thermal=of_thermal, ndvi=of_ndvi),
)
