"""The teacher on RoadScene with a fifth of the labels that sees RGB and thermal together: a ResNet-18 on their four channels."""

from mmengine.config import read_base

with read_base():
    from .roadscene_few_teacher import *

distiller.branches.pop("thermal")
distiller.branches.merge(
    dict(
        both=dict(
            type=Branch,
            model=teacher_of_both,
            view=both,
            weights=dict(type=Random),
            taps=dict(attention=dict(type=Tap, path="stage:3", kind="attention")),
        )
    )
)
distiller.merge(dict(student="both"))
distiller.terms.ce.merge(dict(student="both.output"))
train_dataloader.merge(dict(dataset=dict(views=[both])))
val_dataloader.merge(dict(dataset=dict(views=[both])))
test_dataloader.merge(dict(dataset=dict(views=[both])))
