"""A camera with a quarter of the resolution: a network that sees all pixels teaches one that sees 16 x 16, what is there and where to look.

A-SKD on simulated leaves of which a tenth is labelled. Both networks are the same, with CBAM in each block; the student enlarges its small
image inside, and learns the attention maps of CBAM beside the soft targets. Variants: either alone, and the energy of each stage in the
place of CBAM's maps. `leafsim_low_half.py` and `leafsim_low_eighth.py` are the same at 32 x 32 and 8 x 8 pixels.
"""

import timm
from mmengine.config import read_base

from xkd import (
    ASKD,
    KD,
    Augment,
    Branch,
    Classification,
    CrossEntropy,
    Distiller,
    Enlarged,
    Labels,
    PairedDataset,
    Random,
    Tap,
    Term,
    Trained,
    View,
    sensor,
)

with read_base():
    from .._base_.runtime import *

data_root = "leafsim"
# the evidence is a matter of colour: strong jitter would hide it
camera = dict(type=sensor, root=data_root, column="rgb", changes=dict(brightness=0.1, contrast=0.1, saturation=0.05, gamma=0.05, cast=0.02))
high = dict(type=View, name="rgb", modality=camera, size=(64, 64))
low = dict(type=View, name="rgb_low", modality=camera, size=(16, 16))
stages = (1, 2, 3, 4)
attended = [f"{of}{stage}" for stage in stages for of in ("channel", "spatial")]
active = [f"energy{stage}" for stage in stages]
cnn = dict(
    type=timm.create_model,
    model_name="resnet10t",
    stem_width=16,
    channels=(32, 64, 128, 256),
    block_args=dict(attn_layer="cbam"),
    zero_init_last=False,  # a block that gives zeros at first has no attention to compare
    num_classes=4,
)
teacher = dict(
    type=Branch,
    model=dict(type=Enlarged, network=cnn, size=(64, 64)),  # which does nothing to the teacher's images
    view=high,
    weights=dict(type=Trained),
    taps=dict(
        # what CBAM's sigmoids are given, and the energy of what the stages give
        **{
            f"{of}{stage}": dict(type=Tap, path=f"network.layer{stage}.0.se.{of}.gate", side="input", layout="NCHW")
            for stage in stages
            for of in ("channel", "spatial")
        },
        **{f"energy{stage}": dict(type=Tap, path=f"network.layer{stage}", kind="energy") for stage in stages},
    ),
    frozen=True,
)
student = dict(teacher, view=low, weights=dict(type=Random), frozen=False)

ce = dict(type=Term, loss=dict(type=CrossEntropy), student="low.output", teacher="batch.target")
kd = dict(type=Term, loss=dict(type=KD, tau=4.0), student="low.output", teacher="high.output")
look, energy = (
    dict(type=Term, loss=dict(type=ASKD), student=[f"low.{name}" for name in names], teacher=[f"high.{name}" for name in names], weight=5.0)
    for names in (attended, active)
)
distiller = dict(
    type=Distiller,
    student="low",
    task=dict(type=Classification, classes=("healthy", "rust", "blight", "mildew")),
    branches=dict(high=teacher, low=student),
    terms=dict(ce=ce, kd=kd, look=look),
)

train_dataloader = dict(
    batch_size=64,
    drop_last=True,
    sampler=dict(shuffle=True, labelled_share=0.5),
    dataset=dict(
        type=PairedDataset,
        root=data_root,
        split="train",
        views=[low, high],
        augment=dict(type=Augment, flip=0.5, vertical_flip=0.5, rotate=45.0, scale=(0.85, 1.1), shift=0.06),
        labels=dict(type=Labels, fraction=0.1),
        cache=True,
    ),
)
evaluation = dict(type=PairedDataset, root=data_root, views=[low], augment=dict(type=Augment), cache=True)
val_dataloader = dict(batch_size=128, dataset=dict(evaluation, split="val"))
test_dataloader = dict(batch_size=128, dataset=dict(evaluation, split="test"))

optim_wrapper.merge(dict(optimizer=dict(lr=2e-3)))
terms_of = dict(kd=dict(kd=kd), askd=dict(look=look), energy=dict(look=energy))
compare = dict(
    attention=dict(low="grad_cam:stage:3", high="grad_cam:stage:3"),
    object=("leaf", "lesion"),
    variants={name: {"distiller.terms": dict(terms, ce=ce)} for name, terms in terms_of.items()},
)
