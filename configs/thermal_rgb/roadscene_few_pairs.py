"""RoadScene's thermal camera, a fifth of the labels: an RGB network with ImageNet weights first teaches on all pairs, without a label.

python tools/imagenet_weights.py lite0 --out weights
"""

import timm
from mmengine.config import read_base

from xkd import Branch, CrossEntropy, PretrainedOnPairs, Term

with read_base():
    from .._base_.imagenet import *
    from ..rgb_thermal.roadscene_few import *

rgb = dict(rgb, size=(96, 96))
thermal = dict(thermal, size=(96, 96))
lite0 = dict(type=timm.create_model, model_name="tf_efficientnet_lite0", num_classes=3)

distiller.merge(
    dict(
        student="thermal",
        branches=dict(
            _delete_=True,
            thermal=dict(
                type=Branch,
                model=dict(lite0, in_chans=1),
                view=thermal,
                weights=dict(
                    type=PretrainedOnPairs,
                    teacher=dict(type=Branch, model=lite0, view=rgb, weights=imagenet),
                    start=summed,
                    epochs=12,
                ),
            ),
        ),
        terms=dict(_delete_=True, ce=dict(type=Term, loss=dict(type=CrossEntropy), student="thermal.output", teacher="batch.target")),
    )
)
train_dataloader.merge(dict(sampler=dict(labelled_share=1.0), dataset=dict(views=[thermal])))
for loader in (val_dataloader, test_dataloader):
    loader.merge(dict(dataset=dict(views=[thermal])))
train_cfg.merge(dict(max_epochs=8))
