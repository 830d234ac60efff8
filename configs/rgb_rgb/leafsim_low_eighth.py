"""A camera with an eighth of the resolution, 8 x 8 pixels, taught as in leafsim_low.py."""

from mmengine.config import read_base

with read_base():
    from .leafsim_low import *

low.merge(dict(size=(8, 8)))
distiller.branches.low.merge(dict(view=low))
train_dataloader.merge(dict(dataset=dict(views=[low, high])))
for loader in (val_dataloader, test_dataloader):
    loader.merge(dict(dataset=dict(views=[low])))
