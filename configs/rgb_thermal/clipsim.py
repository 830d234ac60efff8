"""Clips: a network that sees every pixel of every frame teaches one that sees a quarter of the resolution, 16 x 24, for an edge device.

    xkd compare configs/rgb_thermal/clipsim.py --seeds 3 --controls

Simulated clips of which a fifth is labelled; the class is in the motion alone. The loss is that of streams of indoor activities: 0.1 of the
labels and 0.9 of a divergence at temperature 5 without the factor of its square. Variants: with that factor, as Hinton's; each loss with a
teacher on thermal clips; a student that sees one frame. `--controls` adds a student whose frames are shuffled.
"""

import timm
from mmengine.config import read_base

from xkd import (
    KD,
    Augment,
    Branch,
    Classification,
    Clip,
    CrossEntropy,
    Distiller,
    Enlarged,
    Frames,
    Labels,
    PairedDataset,
    Random,
    TeacherCache,
    Term,
    Trained,
    View,
    sensor,
)

with read_base():
    from .._base_.runtime import *

data_root = "clipsim"
# the evidence is dark and bright: strong jitter would hide it
mild = dict(brightness=0.1, contrast=0.1, saturation=0.05, gamma=0.05, cast=0.02)
camera = dict(type=sensor, root=data_root, column="rgb", changes=mild)
frames, size = 8, (64, 96)  # of the twelve frames that a clip has, so that each draw begins at another one
clip = dict(type=Clip, sensor=camera, frames=frames, every=1)
high = dict(type=View, name="full", modality=clip, size=size)
heat = dict(type=View, name="thermal", modality=dict(clip, sensor=dict(type=sensor, root=data_root, column="thermal")), size=size)
low = dict(high, name="low", size=(16, 24))

cnn = dict(
    type=timm.create_model,
    model_name="resnet10t",
    stem_width=8,
    channels=(16, 32, 64, 128),
    zero_init_last=False,  # a block that gives zeros at first shifts nothing
    num_classes=4,
)
video = dict(type=Frames, frames=frames, join="shift", network=cnn)
teacher = dict(type=Branch, model=video, view=high, weights=dict(type=Trained, epochs=16), frozen=True)
thermal = dict(teacher, model=dict(video, network=dict(cnn, in_chans=1)), view=heat)
# enlarged, its first strides leave something of 16 x 24 pixels; to less than the teacher's size, as it is to be fast
edge = dict(type=Branch, model=dict(type=Enlarged, size=(48, 72), network=video), view=low, weights=dict(type=Random))

share, tau = 0.1, 5.0  # the document's lambda; of its temperatures, 1 to 9, the middle
ce = dict(type=Term, loss=dict(type=CrossEntropy), student="edge.output", teacher="batch.target", weight=share)
squared = dict(type=Term, loss=dict(type=KD, tau=tau), student="edge.output", teacher="full.output", weight=1 - share)
plain = dict(squared, weight=(1 - share) / tau**2)  # KD has the factor
distiller = dict(
    type=Distiller,
    student="edge",
    task=dict(type=Classification, classes=("left_steady", "left_hop", "right_steady", "right_hop")),
    branches=dict(full=teacher, thermal=thermal, edge=edge),
    terms=dict(ce=ce, kd=plain),
)

train_dataloader = dict(
    batch_size=48,
    drop_last=True,
    sampler=dict(shuffle=True, labelled_share=0.5),
    dataset=dict(
        type=PairedDataset,
        root=data_root,
        split="train",
        views=[low, high, heat],
        augment=dict(type=Augment, flip=0.5, rotate=5.0, scale=(0.9, 1.1), shift=0.05),  # a flip changes the class as well
        labels=dict(type=Labels, fraction=0.2),
        cache=True,
    ),
)
evaluation = dict(type=PairedDataset, root=data_root, views=[low], augment=dict(type=Augment), cache=True)
val_dataloader = dict(batch_size=64, dataset=dict(evaluation, split="val"))
test_dataloader = dict(batch_size=64, dataset=dict(evaluation, split="test"))

train_cfg.merge(dict(max_epochs=20))
teacher_cache = dict(type=TeacherCache, draws=10)
optim_wrapper.merge(dict(optimizer=dict(lr=2e-3)))
one = dict(low, modality=dict(clip, frames=1))
compare = dict(
    variants=dict(
        squared={"distiller.terms.kd": squared},
        from_thermal={"distiller.terms.kd": dict(plain, teacher="thermal.output")},
        from_thermal_squared={"distiller.terms.kd": dict(squared, teacher="thermal.output")},
        one_frame={
            "distiller.branches.edge.view": one,
            "distiller.branches.edge.model.network": cnn,
            "train_dataloader.dataset.views": [one, high, heat],
            "val_dataloader.dataset.views": [one],
            "test_dataloader.dataset.views": [one],
        },
    ),
)
