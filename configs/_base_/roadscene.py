"""RoadScene: aligned RGB and thermal frames of roads; objects of 64 pixels, cut out where a box is, classified."""

import timm

from xkd.batch import View
from xkd.data.annotations import Masks
from xkd.data.augment import Augment
from xkd.data.manifest import sensor
from xkd.data.paired import PairedDataset
from xkd.modality import Stack
from xkd.tasks import Classification

data_root = "roadscene_rgbt"
rgb = dict(type=View, name="rgb", modality=dict(type=sensor, root=data_root, column="rgb"), size=(64, 64))
thermal = dict(type=View, name="thermal", modality=dict(type=sensor, root=data_root, column="thermal"), size=(64, 64))
both = dict(type=View, name="both", modality=dict(type=Stack, sensors=[rgb["modality"], thermal["modality"]]), size=(64, 64))
task = dict(type=Classification, classes=("background", "person", "car"))
# the teachers' networks, for the runs that train them and for those that they teach
teacher_network = dict(type=timm.create_model, model_name="resnet18", in_chans=1, num_classes=3)
teacher_of_rgb = dict(type=timm.create_model, model_name="resnet18", num_classes=3)
teacher_of_both = dict(type=timm.create_model, model_name="resnet18", in_chans=4, num_classes=3)
teacher_transformer = dict(
    type=timm.create_model,
    model_name="vit_tiny_patch16_224",
    img_size=64,
    patch_size=8,
    depth=4,
    embed_dim=96,
    qk_norm=True,  # without it some seeds hardly learn from so few labels
    in_chans=1,
    num_classes=3,
)

no_masks = dict(type=Masks, source="none")

train_dataloader = dict(
    batch_size=64,
    drop_last=True,
    sampler=dict(shuffle=True),
    dataset=dict(
        type=PairedDataset,
        root=data_root,
        split="train",
        views=[rgb, thermal],
        augment=dict(type=Augment, flip=0.5, rotate=5.0, scale=(0.8, 1.1), shift=0.08),
        masks=no_masks,
        cache=True,
    ),
)
val_dataloader = dict(
    batch_size=128,
    dataset=dict(type=PairedDataset, root=data_root, split="val", views=[rgb], augment=dict(type=Augment), masks=no_masks, cache=True),
)
test_dataloader = dict(
    batch_size=128,
    dataset=dict(type=PairedDataset, root=data_root, split="test", views=[rgb], augment=dict(type=Augment), masks=no_masks, cache=True),
)
