"""The same classifier on RGB crops: the control of `roadscene_boxes_dicod.py`, a teacher that sees no other sensor than its student."""

from mmengine.config import read_base

with read_base():
    from .roadscene import *

network = dict(type=timm.create_model, model_name="resnet18", num_classes=3)
classifier = dict(type=Branch, model=network, view=rgb, weights=dict(type=Random))
labels = dict(type=Term, loss=dict(type=CrossEntropy), student="rgb.output", teacher="batch.target")
distiller = dict(type=Distiller, student="rgb", task=task, branches=dict(rgb=classifier), terms=dict(ce=labels))

train_dataloader.merge(dict(dataset=dict(views=[rgb])))
train_cfg.merge(dict(max_epochs=16))
