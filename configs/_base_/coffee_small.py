"""Coffee leaves at 64 x 128 pixels and their small networks, for comparisons of many runs."""

import timm
from mmengine.config import read_base

from xkd.graph.branch import Branch
from xkd.graph.term import Term
from xkd.graph.weights import Random
from xkd.losses import CrossEntropy
from xkd.taps import Tap

with read_base():
    from .coffee import *
    from .runtime import *

rgb.merge(dict(size=(64, 128)))
for loader in (train_dataloader, val_dataloader, test_dataloader):
    loader.merge(dict(dataset=dict(views=[rgb])))
vit = dict(
    type=Branch,
    model=dict(teacher_network, img_size=(64, 128), patch_size=8, depth=4, embed_dim=96),
    view=rgb,
    weights=dict(type=Random),
    taps=dict(
        attention=dict(type=Tap, path="stage:-1", kind="attention"),
        deep=dict(type=Tap, path="stage:-1"),
        pooled=dict(type=Tap, path="fc_norm"),
    ),
)
cnn = dict(
    type=Branch,
    model=dict(type=timm.create_model, model_name="resnet10t", num_classes=5),
    view=rgb,
    weights=dict(type=Random),
    taps=dict(
        attention=dict(type=Tap, path="stage:3", kind="attention"),
        deep=dict(type=Tap, path="stage:3"),
        pooled=dict(type=Tap, path="global_pool"),
    ),
)
supervision = dict(type=Term, loss=dict(type=CrossEntropy, label_smoothing=0.1), teacher="batch.target")
train_cfg.merge(dict(max_epochs=60, val_interval=4))
