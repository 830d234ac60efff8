"""Coffee leaves with lesion masks: one sensor, five classes, few images."""

import timm

from xkd.batch import View
from xkd.data.augment import Augment
from xkd.data.manifest import sensor
from xkd.data.paired import PairedDataset
from xkd.tasks import Classification

data_root = "coffee_leaf_lesions"
rgb = dict(type=View, name="rgb", modality=dict(type=sensor, root=data_root, column="rgb"), size=(96, 192))
task = dict(type=Classification, classes=("healthy", "miner", "rust", "phoma", "cercospora"))
# the teacher's network, for the run that trains it and for those that it teaches
teacher_network = dict(
    type=timm.create_model,
    model_name="vit_tiny_patch16_224",
    img_size=(96, 192),
    patch_size=12,
    depth=6,
    qk_norm=True,
    num_classes=5,
)
# one with a convolutional stem, which learns more from few photographs; a token is 4 x 4 cells of the stem's map, 16 x 16 pixels
hybrid_network = dict(
    type=timm.create_model,
    model_name="vit_tiny_r_s16_p8_224",
    img_size=(96, 192),
    patch_size=4,
    depth=6,
    qk_norm=True,
    num_classes=5,
)

train_dataloader = dict(
    batch_size=32,
    drop_last=True,
    sampler=dict(shuffle=True, balanced=True),
    dataset=dict(
        type=PairedDataset,
        root=data_root,
        split="train",
        views=[rgb],
        augment=dict(type=Augment, flip=0.5, vertical_flip=0.5, rotate=15.0, scale=(0.8, 1.0), shift=0.05),
        cache=True,
    ),
)
val_dataloader = dict(
    batch_size=64,
    dataset=dict(type=PairedDataset, root=data_root, split="val", views=[rgb], augment=dict(type=Augment), cache=True),
)
test_dataloader = dict(
    batch_size=64,
    dataset=dict(type=PairedDataset, root=data_root, split="test", views=[rgb], augment=dict(type=Augment), cache=True),
)
