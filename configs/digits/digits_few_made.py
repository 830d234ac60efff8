"""Ten digits with few labels: a generator that the teacher judges supplements them, as on the leaves of rgb_rgb/leafsim_few_made.py.

python datasets/digits/prepare.py --out data/digits_200 --train 200
xkd compare configs/digits/digits_few_made.py --seeds 3
xkd compare configs/digits/digits_few_made.py --seeds 3 --cfg-options train_dataloader.dataset.labels.fraction=0.01
"""

from mmengine.config import read_base

from xkd import Labels, Mix, ModalityDiscriminator, Ramp, Shared, Trained

with read_base():
    from .digits_without_data import *

data_root = "digits_200"
rgb = dict(rgb, modality=dict(type=sensor, root=data_root, column="rgb"))
deep = dict(deep=dict(type=Tap, path="stage:-1"))
student = dict(student, view=rgb)
from_made = dict(kd, student="fakes.output", teacher="judge.output", weight=dict(type=Ramp, weight=1.0, start=10, end=20))
ce = dict(distiller["terms"]["ce"])
distiller = dict(
    distiller,
    branches=dict(
        teacher=dict(teacher, view=rgb, weights=dict(type=Trained), taps=deep),
        student=student,
        fakes=dict(student, weights=dict(type=Shared, of="student", norms="own"), eats=made),
        judge=dict(teacher, view=rgb, weights=dict(type=Shared, of="teacher"), taps=deep, eats=passed),
        maker=dict(maker, model=dict(generator, view=rgb, classes=10), taps=dict(drawn=dict(type=Tap, path="drawn"))),
    ),
    terms=dict(
        ce=ce,
        kd=kd,
        from_made=from_made,
        looks_real=dict(type=Term, loss=dict(type=ModalityDiscriminator), student="judge.deep", teacher="teacher.deep"),
        asked=dict(type=Term, loss=dict(type=OwnClass), student="judge.output", teacher="maker.drawn"),
    ),
)
train_dataloader.merge(
    dict(sampler=dict(labelled_share=1.0), dataset=dict(root=data_root, views=[rgb, noise], labels=dict(type=Labels, fraction=0.05)))
)
val_dataloader.merge(dict(dataset=dict(root=data_root, views=[rgb])))
test_dataloader.merge(dict(dataset=dict(root=data_root, views=[rgb])))
train_cfg.merge(dict(max_epochs=30, val_interval=5))  # of 40 steps
compare = dict(
    variants=dict(
        real_alone={"distiller.terms": dict(ce=ce, kd=kd)},
        mixed={"distiller.terms": dict(ce=ce, kd=kd), "train_dataloader.mix": dict(type=Mix, num_classes=10, cutmix_share=0.0)},
        untrained={"distiller.terms": dict(ce=ce, kd=kd, from_made=from_made)},
    )
)
