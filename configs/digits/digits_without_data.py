"""Ten digits are taught to a smaller CNN without any image, by a generator that the teacher judges; against real images and three controls.

    python datasets/digits/prepare.py --out data/digits
    python datasets/leafsim/prepare.py  # whose images are a control
    xkd compare configs/digits/digits_without_data.py --seeds 3

The arms alone and distilled have the real images: they are what the variants, which have none, are held against. All arms take as many
steps. The generator knows that digits are grey: told nothing, it makes coloured images of which the teacher is as sure.
"""

from mmengine.config import read_base

from xkd import (
    KD,
    Activation,
    Blank,
    Checkpoint,
    Eats,
    EvenClasses,
    Features,
    Generator,
    Noise,
    NoiseImages,
    NormStatistics,
    OwnClass,
    Tap,
)

with read_base():
    from .digits_generalist import *

small = dict(type=timm.create_model, model_name="resnet10t", channels=(8, 8, 16, 16), stem_width=8, num_classes=10)
student = dict(type=Branch, model=small, view=rgb, weights=dict(type=Random))
general = dict(type=Checkpoint, path="work_dirs/digits_generalist/best.pth")
teacher = dict(type=Branch, model=network, view=rgb, weights=general, frozen=True)
kd = dict(type=Term, loss=dict(type=KD, tau=4.0), student="student.output", teacher="teacher.output")
distiller = dict(
    type=Distiller,
    student="student",
    task=task,
    branches=dict(student=student, teacher=teacher),
    terms=dict(ce=dict(type=Term, loss=dict(type=CrossEntropy), student="student.output", teacher="batch.target"), kd=kd),
)

noise = dict(type=View, name="noise", modality=dict(type=Noise, channels=100), size=(1, 1))
static = dict(type=View, name="noise", modality=dict(type=Noise, channels=1), size=(28, 28))
generator = dict(type=Generator, view=rgb, latent=100, width=32, grey=True)
maker = dict(type=Branch, model=generator, view=noise, weights=dict(type=Random), task=dict(type=Features))
made, passed, reversed_ = (dict(type=Eats, reading="maker.output", gradient=gradient) for gradient in (0.0, 1.0, -1.0))
judge = dict(teacher, eats=passed, taps=dict(deep=dict(type=Tap, path="stage:-1"), norms=dict(type=Tap, path="", kind="norms")))
sure = dict(type=Term, loss=dict(type=OwnClass), student="teacher.output", teacher="teacher.output")
even = dict(type=Term, loss=dict(type=EvenClasses), student="teacher.output", teacher="teacher.output", weight=2.2)
excited = dict(type=Term, loss=dict(type=Activation), student="teacher.deep", teacher="teacher.deep", weight=0.1)
norms = dict(type=Term, loss=dict(type=NormStatistics), student="teacher.norms", teacher="teacher.norms")

eating = dict(student, eats=made)
dafl = dict(
    distiller,
    branches=dict(student=eating, teacher=judge, maker=maker),
    terms=dict(kd=kd, sure=sure, even=even, excited=excited),
)
dfq = dict(
    dafl, branches=dict(dafl["branches"], student=dict(student, eats=reversed_)), terms=dict(kd=kd, sure=sure, even=even, norms=norms)
)
told = dict(teacher, eats=made)
untrained = dict(distiller, branches=dict(student=eating, teacher=told, maker=maker), terms=dict(kd=kd))
pixels = dict(maker, model=dict(type=NoiseImages, view=rgb), view=static)
noise_images = dict(untrained, branches=dict(untrained["branches"], maker=pixels))

blank = dict(type=Blank, rows=1200, views=[noise])
leaves = dict(
    train_dataloader["dataset"], root="leafsim", target="nothing", augment=dict(type=Augment, rotate=45.0, scale=(0.5, 1.1), shift=0.1)
)
train_cfg.merge(dict(max_epochs=144, val_interval=12))  # of 10 steps
without = {"train_dataloader.batch_size": 100, "train_cfg.max_epochs": 120, "train_cfg.val_interval": 10}  # of 12 steps
slower = {"optim_wrapper.paramwise_cfg": dict(custom_keys={"branches.maker": dict(lr_mult=0.3)})}
generated = {**without, **slower, "train_dataloader.dataset": blank}
compare = dict(
    teachers=dict(teacher="digits_generalist.py"),
    variants=dict(
        dafl={**generated, "distiller": dafl},
        dfq={**generated, "distiller": dfq},
        untrained={**generated, "distiller": untrained},
        noise_images={**without, "distiller": noise_images, "train_dataloader.dataset": dict(blank, views=[static])},
        other_images={**without, "distiller": dict(distiller, terms=dict(kd=kd)), "train_dataloader.dataset": leaves},
    ),
)
