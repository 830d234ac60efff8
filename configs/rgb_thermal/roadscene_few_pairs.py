"""RoadScene, a fifth of the labels, all networks with ImageNet's knowledge: RGB teaches thermal on all pairs, then thermal teaches RGB.

    python tools/imagenet_weights.py lite0 --out weights

The thermal teacher begins with what a frozen RGB network has taught it without a label, and is fine-tuned on the labels that there are.
"""

from mmengine.config import read_base

from xkd import KD, Branch, CrossEntropy, Term, Trained

with read_base():
    from ..thermal_rgb.roadscene_few_pairs import *

distiller.merge(
    dict(
        student="rgb",
        branches=dict(
            thermal=dict(weights=dict(_delete_=True, type=Trained, start=distiller.branches.thermal.weights, epochs=8), frozen=True),
            rgb=dict(type=Branch, model=lite0, view=rgb, weights=imagenet),
        ),
        terms=dict(
            _delete_=True,
            ce=dict(type=Term, loss=dict(type=CrossEntropy), student="rgb.output", teacher="batch.target"),
            kd=dict(type=Term, loss=dict(type=KD, tau=4.0), student="rgb.output", teacher="thermal.output"),
        ),
    )
)
train_dataloader.merge(dict(sampler=dict(labelled_share=0.5), dataset=dict(views=[rgb, thermal])))
for loader in (val_dataloader, test_dataloader):
    loader.merge(dict(dataset=dict(views=[rgb])))
train_cfg.merge(dict(max_epochs=12))
