"""KITTI's LiDAR with a fifth of the labels: an RGB network with ImageNet weights first teaches on all pairs, without a label.

python tools/imagenet_weights.py lite0 --out weights
"""

import timm
from mmengine.config import read_base

from xkd import Branch, CrossEntropy, Labels, PretrainedOnPairs, Term

with read_base():
    from .._base_.imagenet import *
    from ..rgb_lidar.kitti_drive52 import *

lite0 = dict(type=timm.create_model, model_name="tf_efficientnet_lite0", num_classes=4)

distiller.merge(
    dict(
        student="lidar",
        branches=dict(
            _delete_=True,
            lidar=dict(
                type=Branch,
                model=dict(lite0, in_chans=4),
                view=lidar,
                weights=dict(
                    type=PretrainedOnPairs,
                    teacher=dict(type=Branch, model=lite0, view=rgb, weights=imagenet),
                    start=summed,
                    epochs=40,
                ),
            ),
        ),
        terms=dict(_delete_=True, ce=dict(type=Term, loss=dict(type=CrossEntropy), student="lidar.output", teacher="batch.target")),
    )
)
train_dataloader.merge(dict(sampler=dict(labelled_share=1.0), dataset=dict(views=[lidar], labels=dict(type=Labels, fraction=0.2))))
for loader in (val_dataloader, test_dataloader):
    loader.merge(dict(dataset=dict(views=[lidar])))
train_cfg.merge(dict(max_epochs=20))
