"""Which loss? RoadScene with a fifth of the labels: the thermal ResNet-18 teaches an RGB transformer by each loss in turn."""

from mmengine.config import read_base
from mmengine.optim import OptimWrapper

with read_base():
    from .roadscene_few_losses import *

distiller.branches.thermal.merge(dict(model=dict(_delete_=True, **teacher_network), bfloat16=True))
distiller.branches.thermal.taps.pooled.merge(dict(path="global_pool"))
distiller.branches.rgb.merge(dict(model=dict(_delete_=True, **dict(teacher_transformer, in_chans=3))))
distiller.branches.rgb.taps.pooled.merge(dict(path="fc_norm"))
optim_wrapper.merge(dict(type=OptimWrapper))  # so small a transformer is slower in bfloat16; its teacher is not
compare.merge(dict(teachers=dict(thermal="roadscene_few_teacher.py")))
