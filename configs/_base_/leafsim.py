"""leafsim: simulated leaves in RGB, thermal, NDVI and LiDAR.

A tenth of the training rows is labelled, alike for all; half of each step is labelled.
"""

import timm

from xkd.batch import View
from xkd.data.annotations import Labels
from xkd.data.augment import Augment
from xkd.data.manifest import sensor
from xkd.data.paired import PairedDataset
from xkd.tasks import Classification

data_root = "leafsim"
# the evidence is a matter of colour: strong jitter would hide it
mild = dict(brightness=0.1, contrast=0.1, saturation=0.05, gamma=0.05, cast=0.02)
rgb = dict(type=View, name="rgb", modality=dict(type=sensor, root=data_root, column="rgb", changes=mild), size=(64, 64))
thermal = dict(type=View, name="thermal", modality=dict(type=sensor, root=data_root, column="thermal"), size=(64, 64))
ndvi = dict(type=View, name="ndvi", modality=dict(type=sensor, root=data_root, column="ndvi"), size=(64, 64))
# named here because the network counts them
channels = dict(outputs=("range", "intensity", "valid"))
lidar = dict(type=View, name="lidar", modality=dict(type=sensor, root=data_root, column="lidar", changes=channels), size=(64, 64))
task = dict(type=Classification, classes=("healthy", "rust", "blight", "mildew"))
# the teacher's network, for the run that trains it and for those that it teaches
teacher_network = dict(
    type=timm.create_model,
    model_name="vit_tiny_patch16_224",
    img_size=64,
    patch_size=8,
    depth=4,
    embed_dim=96,
    qk_norm=True,  # without it some seeds hardly learn from so few labels
    in_chans=1,
    num_classes=4,
)

train_dataloader = dict(
    batch_size=64,
    drop_last=True,
    sampler=dict(shuffle=True, labelled_share=0.5),
    dataset=dict(
        type=PairedDataset,
        root=data_root,
        split="train",
        views=[rgb, thermal],
        augment=dict(type=Augment, flip=0.5, vertical_flip=0.5, rotate=45.0, scale=(0.85, 1.1), shift=0.06),
        labels=dict(type=Labels, fraction=0.1),
        cache=True,
    ),
)
val_dataloader = dict(
    batch_size=128,
    dataset=dict(type=PairedDataset, root=data_root, split="val", views=[rgb], augment=dict(type=Augment), cache=True),
)
test_dataloader = dict(
    batch_size=128,
    dataset=dict(type=PairedDataset, root=data_root, split="test", views=[rgb], augment=dict(type=Augment)),
)
