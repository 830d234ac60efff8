"""CWFID: the red band as the camera and NDVI beside it; soil, crop and weed, seen from above in windows of 64 pixels."""

import timm

from xkd.batch import View
from xkd.data.annotations import Masks
from xkd.data.augment import Augment
from xkd.data.manifest import sensor
from xkd.data.paired import PairedDataset
from xkd.tasks import Classification

data_root = "cwfid_red_nir"
grey = dict(saturation=0.0, cast=0.0)  # one band in three equal channels: nothing that colours it
rgb = dict(type=View, name="rgb", modality=dict(type=sensor, root=data_root, column="rgb", changes=grey), size=(64, 64))
ndvi = dict(type=View, name="ndvi", modality=dict(type=sensor, root=data_root, column="ndvi"), size=(64, 64))
task = dict(type=Classification, classes=("soil", "crop", "weed"))
# the teacher's network, for the run that trains it and for those that it teaches
teacher_network = dict(type=timm.create_model, model_name="resnet18", in_chans=1, num_classes=3)

no_masks = dict(type=Masks, source="none")

train_dataloader = dict(
    batch_size=64,
    drop_last=True,
    sampler=dict(shuffle=True),
    dataset=dict(
        type=PairedDataset,
        root=data_root,
        split="train",
        views=[rgb, ndvi],
        augment=dict(type=Augment, flip=0.5, vertical_flip=0.5, rotate=45.0, scale=(0.85, 1.1), shift=0.06),
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
