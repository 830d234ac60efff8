"""FIR indoor: a camera and a far-infrared array of 24x32 on one ceiling, not pixel aligned; what a person is doing."""

import timm

from xkd.batch import View
from xkd.data.annotations import Masks
from xkd.data.augment import Augment
from xkd.data.manifest import sensor
from xkd.data.paired import PairedDataset
from xkd.tasks import Classification

data_root = "fir_indoor_action"
rgb = dict(type=View, name="rgb", modality=dict(type=sensor, root=data_root, column="rgb"), size=(96, 128))
thermal = dict(type=View, name="thermal", modality=dict(type=sensor, root=data_root, column="thermal"), size=(48, 64))
task = dict(type=Classification, classes=("upright", "sit", "lie", "transition"))
# the teachers' networks, one per direction, for the runs that train them and for those that they teach
thermal_teacher = dict(type=timm.create_model, model_name="resnet18", in_chans=1, num_classes=4)
rgb_teacher = dict(type=timm.create_model, model_name="resnet18", in_chans=3, num_classes=4)

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
        augment=dict(type=Augment, flip=0.5, vertical_flip=0.5, rotate=10.0, scale=(0.85, 1.1), shift=0.05),
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
