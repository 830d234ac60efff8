"""Teachers on three sensors, a third of the training rows without one of them: does their team teach more than the best of them?

    xkd compare configs/rgb_several/leafsim_sensors.py

Thermal, NDVI and LiDAR transformers teach a small RGB CNN on leafsim of which a tenth is labelled, by the mean of their probabilities.
Variants: weights by the label, or without one by certainty, teachers dropped by chance, a team whose answers are mixed
without softening them first, and each teacher by itself.
"""

from mmengine.config import read_base

from xkd import Confidence, Dropped, Ensemble, Gaps, Mean, TeacherCache

with read_base():
    from ..rgb_thermal.leafsim import *

# named here because the network counts them
channels = dict(outputs=("range", "intensity", "valid"))
ndvi = dict(type=View, name="ndvi", modality=dict(type=sensor, root=data_root, column="ndvi"), size=(64, 64))
lidar = dict(type=View, name="lidar", modality=dict(type=sensor, root=data_root, column="lidar", changes=channels), size=(64, 64))
small = dict(type=timm.create_model, model_name="resnet10t", channels=(16, 32, 64, 128), stem_width=16, num_classes=4)
student = dict(type=Branch, model=small, view=rgb, weights=dict(type=Random))
teacher = dict(distiller.branches.thermal, taps={})
network = teacher["model"]
branches = dict(
    thermal=teacher,
    ndvi=dict(teacher, view=ndvi),
    lidar=dict(teacher, view=lidar, model=dict(network, in_chans=3)),
    rgb=student,
)
team = dict(type=Ensemble, of=("thermal.output", "ndvi.output", "lidar.output"), by=dict(type=Mean, tau=4.0))
labels = dict(type=Term, loss=dict(type=CrossEntropy), student="rgb.output", teacher="batch.target")
kd = dict(type=Term, loss=dict(type=KD, tau=4.0), student="rgb.output", teacher="team.output")
distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=branches,
    ensembles=dict(team=team),
    terms=dict(labels=labels, kd=kd),
)

train_dataloader.merge(
    dict(dataset=dict(views=[rgb, thermal, ndvi, lidar], gaps=dict(type=Gaps, sensors=("thermal", "ndvi", "lidar"), fraction=1 / 3)))
)
train_cfg.merge(dict(max_epochs=12))
teacher_cache = dict(type=TeacherCache, draws=6)

dropped = dict(type=Dropped, student="rgb.output", teachers=("thermal.output", "ndvi.output", "lidar.output"))
third = dict(kd, weight=1 / 3)
compare = dict(
    variants=dict(
        confidence={"distiller.ensembles.team.by": dict(type=Confidence, tau=4.0)},
        dropped={
            "distiller.terms": dict(
                labels=labels,
                thermal=dict(third, teacher="thermal.output", gate=dict(dropped, of=0)),
                ndvi=dict(third, teacher="ndvi.output", gate=dict(dropped, of=1)),
                lidar=dict(third, teacher="lidar.output", gate=dict(dropped, of=2)),
            )
        },
        sharp={"distiller.ensembles.team.by.tau": 1.0},
        only_thermal={"distiller.terms.kd.teacher": "thermal.output"},
        only_ndvi={"distiller.terms.kd.teacher": "ndvi.output"},
        only_lidar={"distiller.terms.kd.teacher": "lidar.output"},
    )
)
