"""A generalist and three specialists of digits that it confuses teach one small CNN; against the generalist alone, and a wider one.

    python datasets/digits/prepare.py --out data/digits
    python datasets/digits/prepare.py --out data/digits_2358 --special 2 3 5 8  # and so for 4 7 9 and 0 6
    xkd compare configs/digits/digits_specialists.py

The groups are those of `python tools/confusions.py configs/digits/digits_generalist.py work_dirs/digits_generalist` after
`xkd train configs/digits/digits_generalist.py`. The specialists of a seed begin with the generalist of that seed.
"""

from mmengine.config import read_base

from xkd import KD, Checkpoint, ClassMap, Ensemble, Specialists

with read_base():
    from .digits_generalist import *

small = dict(type=timm.create_model, model_name="resnet10t", channels=(8, 8, 16, 16), stem_width=8, num_classes=10)
general = dict(type=Checkpoint, path="work_dirs/digits_generalist/best.pth")
teacher = dict(type=Branch, model=network, view=rgb, weights=general, frozen=True)
distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict(
        generalist=teacher,
        special_2358=dict(
            teacher,
            model=dict(network, num_classes=5),
            weights=dict(type=Checkpoint, path="work_dirs/digits_special_2358/best.pth"),
            class_map=dict(type=ClassMap, own=("2", "3", "5", "8", "rest"), to=dict(rest=("0", "1", "4", "6", "7", "9"))),
        ),
        special_479=dict(
            teacher,
            model=dict(network, num_classes=4),
            weights=dict(type=Checkpoint, path="work_dirs/digits_special_479/best.pth"),
            class_map=dict(type=ClassMap, own=("4", "7", "9", "rest"), to=dict(rest=("0", "1", "2", "3", "5", "6", "8"))),
        ),
        special_06=dict(
            teacher,
            model=dict(network, num_classes=3),
            weights=dict(type=Checkpoint, path="work_dirs/digits_special_06/best.pth"),
            class_map=dict(type=ClassMap, own=("0", "6", "rest"), to=dict(rest=("1", "2", "3", "4", "5", "7", "8", "9"))),
        ),
        wide=dict(
            teacher,
            model=dict(network, channels=(32, 48, 64, 96), stem_width=32),
            weights=dict(type=Checkpoint, path="work_dirs/digits_wide/best.pth"),
        ),
        rgb=dict(type=Branch, model=small, view=rgb, weights=dict(type=Random)),
    ),
    ensembles=dict(
        team=dict(
            type=Ensemble,
            of=("generalist.output", "special_2358.output", "special_479.output", "special_06.output"),
            by=dict(
                type=Specialists,
                subsets=(("2", "3", "5", "8"), ("4", "7", "9"), ("0", "6")),
                oversampled=(1.5, 7 / 3, 4.0),  # as prepare.py says
            ),
        )
    ),
    terms=dict(
        ce=dict(type=Term, loss=dict(type=CrossEntropy), student="rgb.output", teacher="batch.target"),
        kd=dict(type=Term, loss=dict(type=KD, tau=4.0), student="rgb.output", teacher="team.output"),
    ),
)
compare = dict(
    teachers=dict(
        generalist="digits_generalist.py",
        special_2358="digits_special_2358.py",
        special_479="digits_special_479.py",
        special_06="digits_special_06.py",
        wide="digits_wide.py",
    ),
    variants=dict(
        by_generalist={"distiller.terms.kd.teacher": "generalist.output"},
        by_wide={"distiller.terms.kd.teacher": "wide.output"},
    ),
    answers=dict(distilled=("team",)),
)
