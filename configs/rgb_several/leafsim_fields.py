"""Sensors that come one after the other: a camera student that a thermal teacher has taught in one field learns from NDVI in another.

    xkd plan configs/plans/leafsim_sensors_lifelong.py

Half of the rows have a thermal image, the others NDVI, a tenth of each is labelled. Here the student, frozen as the first field
left it, teaches its successor beside the NDVI teacher; what it knows came from the thermal one.
"""

from mmengine.config import read_base

from xkd import Checkpoint, Gaps

with read_base():
    from .._base_.leafsim_small import *

ndvi = dict(type=View, name="ndvi", modality=dict(type=sensor, root=data_root, column="ndvi"), size=(64, 64))
by_thermal = dict(distiller.branches.thermal, taps={}, weights=dict(type=Checkpoint, path="work_dirs/leafsim_thermal/best.pth"))
by_ndvi = dict(by_thermal, view=ndvi, weights=dict(type=Checkpoint, path="work_dirs/leafsim_ndvi/best.pth"))
first = dict(type=Checkpoint, path="work_dirs/leafsim_first_field/best.pth")
labels = dict(type=Term, loss=dict(type=CrossEntropy), student="rgb.output", teacher="batch.target")
taught = dict(type=Term, loss=dict(type=KD, tau=4.0), student="rgb.output")
distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict(
        ndvi=by_ndvi,
        before=dict(resnet10, weights=first, frozen=True),
        rgb=dict(resnet10, weights=first),
    ),
    terms=dict(ce=labels, ndvi=dict(taught, teacher="ndvi.output"), before=dict(taught, teacher="before.output")),
)
fields = dict(type=Gaps, sensors=("thermal", "ndvi"), fraction=1.0)  # each row keeps one of the two
train_dataloader.dataset.merge(dict(views=[rgb, ndvi], gaps=fields, having=("ndvi",)))
train_cfg.merge(dict(val_interval=16))
compare = dict()
