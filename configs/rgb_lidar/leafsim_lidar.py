"""A transformer on laser scans teaches an RGB CNN on pairs of leafsim of which a tenth is labelled: the demo with another sensor.

    xkd compare configs/rgb_lidar/leafsim_lidar.py

It needs a set with that sensor: `python datasets/leafsim/prepare.py --out data/leafsim` makes all.
"""

from mmengine.config import read_base

with read_base():
    from ..rgb_thermal.leafsim import *

# named here because the network counts them
channels = dict(outputs=("range", "intensity", "valid"))
lidar = dict(type=View, name="lidar", modality=dict(type=sensor, root=data_root, column="lidar", changes=channels), size=(64, 64))
teacher = dict(distiller.branches.thermal, model=dict(distiller.branches.thermal.model, in_chans=3), view=lidar)
distiller.merge(dict(branches=dict(_delete_=True, lidar=teacher, rgb=distiller.branches.rgb)))
distiller.terms.kd.merge(dict(teacher="lidar.output"))
distiller.terms.attention.merge(dict(teacher="lidar.attention"))
train_dataloader.merge(dict(dataset=dict(views=[rgb, lidar])))
compare = dict(attention=dict(rgb="tap:attention", lidar="tap:attention"))
