"""RoadScene with a fifth of the labels: a teacher that sees RGB and thermal together teaches the RGB ResNet-10t."""

from mmengine.config import read_base

from xkd import Stack

with read_base():
    from .roadscene_few import *

both = dict(type=View, name="both", modality=dict(type=Stack, sensors=[rgb["modality"], thermal["modality"]]), size=(64, 64))
teacher = dict(distiller.branches.thermal, model=dict(teacher_network, in_chans=4), view=both)
distiller.merge(dict(branches=dict(_delete_=True, rgb=distiller.branches.rgb, both=teacher)))
distiller.terms.kd.merge(dict(teacher="both.output"))
train_dataloader.merge(dict(dataset=dict(views=[rgb, both])))
