"""RoadScene's crops: a thermal ResNet-18 tells persons, cars and background apart, the teacher of `roadscene_boxes_dicod.py`.

python datasets/roadscene_rgbt/prepare.py --source DIR --out data/roadscene_rgbt
"""

from mmengine.config import read_base

with read_base():
    from .roadscene import *

classifier = dict(type=Branch, model=teacher_network, view=thermal, weights=dict(type=Random))
labels = dict(type=Term, loss=dict(type=CrossEntropy), student="thermal.output", teacher="batch.target")
distiller = dict(type=Distiller, student="thermal", task=task, branches=dict(thermal=classifier), terms=dict(ce=labels))

train_dataloader.merge(dict(dataset=dict(views=[thermal])))
val_dataloader.merge(dict(dataset=dict(views=[thermal])))
test_dataloader.merge(dict(dataset=dict(views=[thermal])))
train_cfg.merge(dict(max_epochs=16))
