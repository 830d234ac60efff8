"""A control on CWFID with a fifth of the labels: the teacher's network on the red band. What does NDVI add to a bigger network?"""

from mmengine.config import read_base

with read_base():
    from .cwfid_few_teacher import *

distiller.merge(
    dict(
        student="rgb",
        branches=dict(
            _delete_=True,
            rgb=dict(
                type=Branch,
                model=dict(teacher_network, in_chans=3),
                view=rgb,
                weights=dict(type=Random),
                taps=dict(attention=dict(type=Tap, path="stage:3", kind="attention")),
            ),
        ),
        terms=dict(ce=dict(student="rgb.output")),
    )
)
for loader in (train_dataloader, val_dataloader, test_dataloader):
    loader.merge(dict(dataset=dict(views=[rgb])))
