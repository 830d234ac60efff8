"""One stage of lifelong learning: a network that tells 0 and 1 apart learns 2 and 3, by their rows and 20 exemplars a class of the others.

    python datasets/digits/prepare.py --out data/digits_200 --train 200
    xkd plan configs/plans/digits_lifelong.py

The plan trains all stages, each from the one before. What it was teaches the network by its soft targets on 0 and 1
(learning without forgetting).
"""

from mmengine.config import read_base

from xkd import Tap

with read_base():
    from .._base_.lifelong import *
    from .digits_generalist import *

data_root = "digits_200"
rgb = dict(type=View, name="rgb", modality=dict(type=sensor, root=data_root, column="rgb"), size=(28, 28))
taps = dict(
    low=dict(type=Tap, path="stage:1"),
    mid=dict(type=Tap, path="stage:2"),
    deep=dict(type=Tap, path="stage:3"),
    pooled=dict(type=Tap, path="global_pool"),
)
net = dict(type=Branch, model=network, view=rgb, taps=taps)
old, new = ("0", "1"), ("2", "3")
distiller = dict(
    type=Distiller,
    student="net",
    task=dict(type=Classification, classes=old + new),
    **graph(net, old, old + new, "work_dirs/digits_first/best.pth", ("lwf",)),
)
seen = dict(root=data_root, views=[rgb], known=old + new)
train_dataloader.dataset.merge(dict(seen, classes=new, exemplars=keeps(old, 20)))
train_dataloader.sampler.merge(dict(balanced=True))  # 20 exemplars of a class beside 200 rows
val_dataloader.dataset.merge(seen)
test_dataloader.dataset.merge(seen)
train_cfg.merge(dict(max_epochs=24, val_interval=24))
optim_wrapper.merge(dict(optimizer=dict(lr=1e-3)))
