"""Which loss? RoadScene with a fifth of the labels: the thermal ResNet-18 teaches an RGB transformer by each loss in turn."""

from mmengine.config import read_base
from mmengine.optim import OptimWrapper

with read_base():
    from .roadscene_few_losses import *

# so small a transformer is slower in bfloat16; its teacher is not
optim_wrapper.merge(dict(type=OptimWrapper))
own_run = dict(_delete_=True, type=Trained, epochs=16, options={"optim_wrapper.type": BF16OptimWrapper})
distiller.branches.thermal.merge(dict(model=dict(teacher_network, _delete_=True), weights=own_run, bfloat16=True))
distiller.branches.thermal.taps.pooled.merge(dict(path="global_pool"))
distiller.branches.rgb.merge(dict(model=dict(transformer, in_chans=3, _delete_=True)))
distiller.branches.rgb.taps.pooled.merge(dict(path="fc_norm"))
