"""RoadScene's whole frames: a detector of persons and cars on thermal teaches the same network on RGB by scores and boxes.

python datasets/roadscene_rgbt/prepare.py --source DIR --out data/roadscene_frames --rows frames
python tools/imagenet_weights.py lite0 --out weights    # 120 annotated frames are few to begin from nothing
"""

import timm
from mmengine.config import read_base

from xkd import (
    BCKD,
    FCOS,
    Augment,
    Branch,
    DenseDetector,
    Detection,
    Distiller,
    Masks,
    PairedDataset,
    Term,
    Trained,
    View,
    sensor,
)

with read_base():
    from .._base_.imagenet import *
    from .._base_.runtime import *

data_root = "roadscene_frames"
rgb = dict(type=View, name="rgb", modality=dict(type=sensor, root=data_root, column="rgb"), size=(192, 288))
thermal = dict(type=View, name="thermal", modality=dict(type=sensor, root=data_root, column="thermal"), size=(192, 288))
task = dict(type=Detection, classes=("person", "car"))
backbone = dict(type=timm.create_model, model_name="tf_efficientnet_lite0", features_only=True, out_indices=(2, 3, 4))

distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict(
        thermal=dict(
            type=Branch,
            model=dict(type=DenseDetector, backbone=dict(backbone, in_chans=1), num_classes=2),
            view=thermal,
            weights=dict(type=Trained, start=summed, epochs=40),
            frozen=True,
        ),
        rgb=dict(type=Branch, model=dict(type=DenseDetector, backbone=backbone, num_classes=2), view=rgb, weights=imagenet),
    ),
    terms=dict(
        boxes=dict(type=Term, loss=dict(type=FCOS), student="rgb.output", teacher="batch.target"),
        kd=dict(type=Term, loss=dict(type=BCKD), student="rgb.output", teacher="thermal.output"),
    ),
)

no_masks = dict(type=Masks, source="none")
dataset = dict(type=PairedDataset, root=data_root, target="boxes", masks=no_masks, cache=True)
train_dataloader = dict(
    batch_size=8,
    drop_last=True,
    sampler=dict(shuffle=True),
    dataset=dict(dataset, split="train", views=[rgb, thermal], augment=dict(type=Augment, flip=0.5, scale=(0.6, 1.1), shift=0.1)),
)
val_dataloader = dict(batch_size=16, dataset=dict(dataset, split="val", views=[rgb], augment=dict(type=Augment)))
test_dataloader = dict(batch_size=16, dataset=dict(dataset, split="test", views=[rgb], augment=dict(type=Augment)))

train_cfg.merge(dict(max_epochs=40, val_interval=5))
save_best = "val/ap50"
