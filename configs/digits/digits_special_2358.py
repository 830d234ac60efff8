"""The generalist's network becomes a specialist of the digits 2, 3, 5 and 8, which the generalist takes for each other, and of "rest".

python datasets/digits/prepare.py --out data/digits_2358 --special 2 3 5 8
xkd train configs/digits/digits_generalist.py
xkd train configs/digits/digits_special_2358.py
"""

from mmengine.config import read_base

from xkd import Checkpoint

with read_base():
    from .digits_generalist import *

rgb = dict(type=View, name="rgb", modality=dict(type=sensor, root="digits_2358", column="rgb"), size=(28, 28))
generalist = dict(type=Checkpoint, path="work_dirs/digits_generalist/best.pth", may_miss=("fc.*",))  # another classifier
distiller = dict(
    type=Distiller,
    student="special",
    task=dict(type=Classification, classes=("2", "3", "5", "8", "rest")),
    branches=dict(special=dict(type=Branch, model=dict(network, num_classes=5), view=rgb, weights=generalist)),
    terms=dict(ce=dict(type=Term, loss=dict(type=CrossEntropy), student="special.output", teacher="batch.target")),
)
train_dataloader.dataset.merge(dict(root="digits_2358", views=[rgb]))
val_dataloader.dataset.merge(dict(root="digits_2358", views=[rgb]))
test_dataloader.dataset.merge(dict(root="digits_2358", views=[rgb]))
train_cfg.merge(dict(max_epochs=24))
optim_wrapper.merge(dict(optimizer=dict(lr=1e-3)))
