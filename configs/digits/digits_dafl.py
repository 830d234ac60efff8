"""The graph of the variant `dafl` of digits_without_data.py as a run of its own, to look at its images.

xkd train configs/digits/digits_generalist.py
xkd train configs/digits/digits_dafl.py
xkd synthesize configs/digits/digits_dafl.py work_dirs/digits_dafl --out made
"""

from mmengine.config import read_base

with read_base():
    from .digits_without_data import *

distiller = dafl
train_dataloader.merge(dict(dataset=dict(blank, _delete_=True)))
train_cfg.merge(dict(max_epochs=200, val_interval=20))
optim_wrapper.merge(dict(paramwise_cfg=dict(custom_keys={"branches.maker": dict(lr_mult=0.3)})))
compare = dict()
