"""The control of digits_specialists.py: a generalist with as many weights and steps as a generalist and its three specialists together.

xkd train configs/digits/digits_wide.py
"""

from mmengine.config import read_base

with read_base():
    from .digits_generalist import *

network.merge(dict(channels=(32, 48, 64, 96), stem_width=32))  # 306,000 weights, the four have 308,000
branch = dict(type=Branch, model=network, view=rgb, weights=dict(type=Random))
term = dict(type=Term, loss=dict(type=CrossEntropy), student="wide.output", teacher="batch.target")
distiller = dict(type=Distiller, student="wide", task=task, branches=dict(wide=branch), terms=dict(ce=term))
train_cfg.merge(dict(max_epochs=91))  # 480 steps of the generalist, 432 of the specialists
