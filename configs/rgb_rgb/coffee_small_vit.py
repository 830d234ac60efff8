"""A small transformer on coffee leaves."""

from mmengine.config import read_base

from xkd.graph.distiller import Distiller

with read_base():
    from .._base_.coffee_small import *

distiller = dict(type=Distiller, student="vit", task=task, branches=dict(vit=vit), terms=dict(ce=dict(supervision, student="vit.output")))
