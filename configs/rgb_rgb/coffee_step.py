"""One stage of lifelong learning: a small CNN that tells healthy coffee leaves from rust learns miner and cercospora.

    xkd plan configs/plans/coffee_lifelong.py

The plan trains all stages, each from the one before. What it was teaches the network by its soft targets on the classes that it knew
(learning without forgetting), beside 10 exemplars of each.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.lifelong import *
    from .coffee import *

rgb.merge(dict(size=(64, 128)))
taps = dict(
    low=dict(type=Tap, path="stage:1"),
    mid=dict(type=Tap, path="stage:2"),
    deep=dict(type=Tap, path="stage:3"),
    pooled=dict(type=Tap, path="global_pool"),
)
network = dict(type=timm.create_model, model_name="resnet10t", channels=(16, 32, 64, 128), stem_width=16)
net = dict(type=Branch, model=network, view=rgb, taps=taps)
old, new = ("healthy", "rust"), ("miner", "cercospora")
distiller = dict(
    type=Distiller,
    student="net",
    task=dict(type=Classification, classes=old + new),
    **graph(net, old, old + new, "work_dirs/coffee_first/best.pth", ("lwf",)),
)
seen = dict(views=[rgb], known=old + new)
train_dataloader.dataset.merge(dict(seen, classes=new, exemplars=keeps(old, 10)))
val_dataloader.dataset.merge(seen)
test_dataloader.dataset.merge(seen)
train_cfg.merge(dict(val_interval=60))
compare = dict()
