"""KITTI drive 52: camera and LiDAR of one crossing; vehicles of 64 pixels, cut out where a box is, classified."""

import timm

from xkd.batch import View
from xkd.data.annotations import Masks
from xkd.data.augment import Augment
from xkd.data.manifest import sensor
from xkd.data.paired import PairedDataset
from xkd.tasks import Classification

data_root = "kitti_drive52"
rgb = dict(type=View, name="rgb", modality=dict(type=sensor, root=data_root, column="rgb"), size=(64, 64))
lidar = dict(type=View, name="lidar", modality=dict(type=sensor, root=data_root, column="lidar"), size=(64, 64))
task = dict(type=Classification, classes=("background", "car", "van", "truck"))
# the teacher's network, for the run that trains it and for those that it teaches
teacher_network = dict(type=timm.create_model, model_name="resnet18", in_chans=4, num_classes=4)

no_masks = dict(type=Masks, source="none")

train_dataloader = dict(
    batch_size=64,
    drop_last=True,
    sampler=dict(shuffle=True),
    dataset=dict(
        type=PairedDataset,
        root=data_root,
        split="train",
        views=[rgb, lidar],
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
