"""A generator supplements one row in twenty: the teacher, which knows these labels alone, judges whether its images look real.

xkd compare configs/rgb_rgb/leafsim_few_made.py --seeds 3
xkd compare configs/rgb_rgb/leafsim_few_made.py --seeds 3 --cfg-options train_dataloader.dataset.labels.fraction=0.01

No row without a label is used, and images of each class are asked for. Variants: the teacher and the real rows alone, the same with MixUp,
and with the images of a generator that nobody trains.
"""

from mmengine.config import read_base

from xkd import Eats, Features, Generator, Mix, ModalityDiscriminator, Noise, OwnClass, Ramp, Shared, Tap

with read_base():
    from .._base_.leafsim_small import *

noise = dict(type=View, name="noise", modality=dict(type=Noise, channels=100), size=(1, 1))
deep = dict(deep=dict(type=Tap, path="stage:-1"))
made = dict(type=Eats, reading="maker.output")
judge = dict(resnet10, weights=dict(type=Shared, of="teacher"), frozen=True, taps=deep, eats=dict(made, gradient=1.0))
kd = dict(type=Term, loss=dict(type=KD, tau=4.0), student="rgb.output", teacher="teacher.output")
from_made = dict(kd, student="fakes.output", teacher="judge.output", weight=dict(type=Ramp, weight=1.0, start=8, end=16))
ce = dict(type=Term, loss=dict(type=CrossEntropy), student="rgb.output", teacher="batch.target")
distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict(
        teacher=dict(resnet10, weights=dict(type=Trained), frozen=True, taps=deep),
        rgb=resnet10,
        fakes=dict(resnet10, weights=dict(type=Shared, of="rgb", norms="own"), eats=made),
        judge=judge,
        maker=dict(
            type=Branch,
            model=dict(type=Generator, view=rgb, latent=100, classes=4, width=32),
            view=noise,
            weights=dict(type=Random),
            taps=dict(drawn=dict(type=Tap, path="drawn")),
            task=dict(type=Features),
        ),
    ),
    terms=dict(
        ce=ce,
        kd=kd,
        from_made=from_made,
        looks_real=dict(type=Term, loss=dict(type=ModalityDiscriminator), student="judge.deep", teacher="teacher.deep"),
        asked=dict(type=Term, loss=dict(type=OwnClass), student="judge.output", teacher="maker.drawn"),
    ),
)
train_dataloader.merge(dict(sampler=dict(labelled_share=1.0), dataset=dict(views=[rgb, noise], labels=dict(fraction=0.05))))
compare = dict(
    variants=dict(
        real_alone={"distiller.terms": dict(ce=ce, kd=kd)},
        mixed={"distiller.terms": dict(ce=ce, kd=kd), "train_dataloader.mix": dict(type=Mix, num_classes=4, cutmix_share=0.0)},
        untrained={"distiller.terms": dict(ce=ce, kd=kd, from_made=from_made)},
    )
)
