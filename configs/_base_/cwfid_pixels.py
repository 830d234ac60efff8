"""CWFID, whole frames: the red band as the camera and NDVI beside it; soil, crop or weed for each pixel."""

import timm

from xkd.batch import View
from xkd.data.augment import Augment
from xkd.data.manifest import sensor
from xkd.data.paired import PairedDataset
from xkd.tasks import PixelHead, Segmentation

data_root = "cwfid_red_nir_frames"
grey = dict(saturation=0.0, cast=0.0)  # one band in three equal channels: nothing that colours it
rgb = dict(type=View, name="rgb", modality=dict(type=sensor, root=data_root, column="rgb", changes=grey), size=(176, 240))
ndvi = dict(type=View, name="ndvi", modality=dict(type=sensor, root=data_root, column="ndvi"), size=(176, 240))
task = dict(type=Segmentation, classes=("soil", "crop", "weed"))
# a map of one eighth of the frame's size, and a 1x1 convolution on it
student_network = dict(
    type=PixelHead,
    backbone=dict(type=timm.create_model, model_name="resnet10t", features_only=True, out_indices=(2,)),
    num_classes=3,
)
# the teacher's network, for the run that trains it and for those that it teaches
teacher_network = dict(
    type=PixelHead,
    backbone=dict(type=timm.create_model, model_name="resnet18", features_only=True, out_indices=(2,), in_chans=1),
    num_classes=3,
)

train_dataloader = dict(
    batch_size=8,
    drop_last=True,
    sampler=dict(shuffle=True),
    dataset=dict(
        type=PairedDataset,
        root=data_root,
        split="train",
        views=[rgb, ndvi],
        augment=dict(type=Augment, flip=0.5, vertical_flip=0.5, rotate=10.0, scale=(0.5, 0.9), shift=0.1),
        target="mask",
        cache=True,
    ),
)
val_dataloader = dict(
    batch_size=8,
    dataset=dict(type=PairedDataset, root=data_root, split="val", views=[rgb], augment=dict(type=Augment), target="mask", cache=True),
)
test_dataloader = dict(
    batch_size=8,
    dataset=dict(type=PairedDataset, root=data_root, split="test", views=[rgb], augment=dict(type=Augment), target="mask", cache=True),
)
