"""The graph of the variant `dfq` of digits_without_data.py as a run of its own, to look at its images.

xkd train configs/digits/digits_generalist.py
xkd train configs/digits/digits_dfq.py
xkd synthesize configs/digits/digits_dfq.py work_dirs/digits_dfq --out made
"""

from mmengine.config import read_base

with read_base():
    from .digits_without_data import *

distiller = dfq
train_dataloader.merge(dict(batch_size=100, dataset=dict(blank, _delete_=True)))
train_cfg.merge(dict(max_epochs=120, val_interval=10))
optim_wrapper.merge(dict(paramwise_cfg=dict(custom_keys={"branches.maker": dict(lr_mult=0.3)})))
compare = dict()
