"""A control of the demo: the teacher's network on the student's own camera. What does thermal add to a bigger network?"""

from mmengine.config import read_base

with read_base():
    from .._base_.same_sensor import *
    from .leafsim_teacher import *

distiller.merge(on_camera)
distiller.branches.rgb.merge(dict(model=dict(teacher_network, in_chans=3), view=rgb, taps=dict(attention=dict(path="stage:-1"))))
for loader in (train_dataloader, val_dataloader, test_dataloader):
    loader.merge(dict(dataset=dict(views=[rgb])))
