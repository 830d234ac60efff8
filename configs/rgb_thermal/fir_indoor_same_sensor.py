"""A control on FIR indoor: the teacher's network on the camera. What does far infrared add to a bigger network?"""

from mmengine.config import read_base

with read_base():
    from .._base_.same_sensor import *
    from .fir_indoor_teacher import *

distiller.merge(on_camera)
distiller.branches.rgb.merge(dict(model=dict(thermal_teacher, in_chans=3), view=rgb))
for loader in (train_dataloader, val_dataloader, test_dataloader):
    loader.merge(dict(dataset=dict(views=[rgb])))
