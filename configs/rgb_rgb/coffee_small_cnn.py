"""A small CNN on coffee leaves."""

from mmengine.config import read_base

from xkd.graph.distiller import Distiller

with read_base():
    from .._base_.coffee_small import *

distiller = dict(type=Distiller, student="cnn", task=task, branches=dict(cnn=cnn), terms=dict(ce=dict(supervision, student="cnn.output")))
