"""RoadScene with a fifth of the labels: a teacher that sees RGB and thermal together teaches the RGB ResNet-10t."""

from mmengine.config import read_base

with read_base():
    from .roadscene_few import *

distiller.branches.pop("thermal")
distiller.branches.merge(
    dict(
        both=dict(
            type=Branch,
            model=teacher_of_both,
            view=both,
            weights=dict(type=Checkpoint, path="work_dirs/roadscene_few_both_teacher/best.pth"),
            taps=dict(attention=dict(type=Tap, path="stage:3", kind="attention")),
            frozen=True,
        )
    )
)
distiller.terms.kd.merge(dict(teacher="both.output"))
train_dataloader.merge(dict(dataset=dict(views=[rgb, both])))
compare.merge(
    dict(
        teachers=dict(_delete_=True, both="roadscene_few_both_teacher.py"),
        same_sensor=dict(_delete_=True, both="roadscene_few_same_sensor.py"),
    )
)
