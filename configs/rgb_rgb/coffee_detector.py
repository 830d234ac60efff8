"""Coffee leaves: a detector of lesions that names the stress, trained on boxes alone; no teacher.

python datasets/coffee_leaf_lesions/prepare.py --source DIR --out data/coffee_leaf_lesions
python tools/imagenet_weights.py lite0 --out weights
xkd train configs/rgb_rgb/coffee_detector.py
"""

import timm
from mmengine.config import read_base

from xkd import FCOS, Augment, Branch, DenseDetector, Detection, Distiller, Masks, PairedDataset, Term, View, sensor

with read_base():
    from .._base_.imagenet import *
    from .._base_.runtime import *

data_root = "coffee_leaf_lesions"
# half of the lesions are smaller than 15 pixels in the files of 256 x 512: places are counted from a fourth of the view
rgb = dict(type=View, name="rgb", modality=dict(type=sensor, root=data_root, column="rgb"), size=(192, 384))
classes = ("healthy", "miner", "rust", "phoma", "cercospora")
backbone = dict(type=timm.create_model, model_name="tf_efficientnet_lite0", features_only=True, out_indices=(1, 2, 3))
network = dict(type=DenseDetector, backbone=backbone, num_classes=5)

distiller = dict(
    type=Distiller,
    student="rgb",
    task=dict(type=Detection, classes=classes),
    branches=dict(rgb=dict(type=Branch, model=network, view=rgb, weights=imagenet)),
    terms=dict(boxes=dict(type=Term, loss=dict(type=FCOS), student="rgb.output", teacher="batch.target")),
)

dataset = dict(type=PairedDataset, root=data_root, views=[rgb], target="boxes", masks=dict(type=Masks, source="none"), cache=True)
flips = dict(type=Augment, flip=0.5, vertical_flip=0.5, scale=(0.6, 1.1), shift=0.1)
train_dataloader = dict(batch_size=8, drop_last=True, sampler=dict(shuffle=True), dataset=dict(dataset, split="train", augment=flips))
val_dataloader = dict(batch_size=16, dataset=dict(dataset, split="val", augment=dict(type=Augment)))
test_dataloader = dict(batch_size=16, dataset=dict(dataset, split="test", augment=dict(type=Augment)))

train_cfg.merge(dict(max_epochs=12, val_interval=3))
save_best = "val/ap50"
