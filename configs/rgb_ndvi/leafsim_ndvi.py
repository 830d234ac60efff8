"""An NDVI transformer teaches an RGB CNN on pairs of leafsim of which a tenth is labelled: the demo with another sensor.

    xkd compare configs/rgb_ndvi/leafsim_ndvi.py

It needs a set with that sensor: `python datasets/leafsim/prepare.py --out data/leafsim` makes all.
"""

from mmengine.config import read_base

with read_base():
    from ..rgb_thermal.leafsim import *

ndvi = dict(type=View, name="ndvi", modality=dict(type=sensor, root=data_root, column="ndvi"), size=(64, 64))
teacher = dict(distiller.branches.thermal, view=ndvi)
distiller.merge(dict(branches=dict(_delete_=True, ndvi=teacher, rgb=distiller.branches.rgb)))
distiller.terms.kd.merge(dict(teacher="ndvi.output"))
distiller.terms.attention.merge(dict(teacher="ndvi.attention"))
train_dataloader.merge(dict(dataset=dict(views=[rgb, ndvi])))
compare = dict(attention=dict(rgb="tap:attention", ndvi="tap:attention"))
