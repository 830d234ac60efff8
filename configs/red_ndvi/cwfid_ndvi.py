"""CWFID: NDVI of every pixel from the red band alone; near infrared is the label, and is not needed afterwards.

    python datasets/cwfid_red_nir/prepare.py --source DIR --task frames
    xkd train configs/red_ndvi/cwfid_ndvi.py

A network that saw both bands would only compute the index, so there is no teacher.
"""

import timm
from mmengine.config import read_base

from xkd import Branch, Dense, EdgeSmoothL1, PixelDecoder, Random, Term, quantities

with read_base():
    from .cwfid_pixels import *

task = dict(type=Dense, quantities=dict(type=quantities, view=ndvi))
network = dict(
    type=PixelDecoder,
    backbone=dict(type=timm.create_model, model_name="resnet10t", features_only=True, out_indices=(1, 2, 3)),
    num_outputs=1,
    channels=32,
)
# NDVI of soil varies by about a tenth, and leaves begin with an edge
loss = dict(type=EdgeSmoothL1, scale=0.1, edges=0.25)
distiller.merge(
    dict(
        task=dict(_delete_=True, **task),
        branches=dict(_delete_=True, rgb=dict(type=Branch, model=network, view=rgb, weights=dict(type=Random))),
        terms=dict(_delete_=True, near_infrared=dict(type=Term, loss=loss, student="rgb.output", teacher="batch.target")),
    )
)
for loader in (train_dataloader, val_dataloader, test_dataloader):
    loader.merge(dict(dataset=dict(views=[rgb, ndvi], target="view:ndvi")))
train_cfg.merge(dict(max_epochs=60, val_interval=6))
save_best = "val/mae"
compare = dict()
