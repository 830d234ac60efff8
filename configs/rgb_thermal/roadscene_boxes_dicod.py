"""RoadScene's whole frames: a classifier that saw thermal crops of objects teaches an RGB detector which class they show (DICOD).

    python datasets/roadscene_rgbt/prepare.py --source DIR --out data/roadscene_rgbt                      # the classifiers' crops
    python datasets/roadscene_rgbt/prepare.py --source DIR --out data/roadscene_frames --rows frames      # the detector's frames
    python tools/imagenet_weights.py lite0 --out weights
    xkd compare configs/rgb_thermal/roadscene_boxes_dicod.py

Arms beside the student alone, distilled and on shuffled pairs: a classifier of RGB crops in the teacher's place, the thermal one's answers
to other boxes, and smoothed labels. Classifiers see the frames larger than the detector does, since they were trained on crops of files.
"""

from mmengine.config import read_base

from xkd import DICOD, Checkpoint, Classification, Crops, SmoothedBoxes

with read_base():
    from .roadscene_boxes import *

large = (330, 495)  # about that of the files
rgb_large = dict(rgb, name="rgb_large", size=large)
thermal_large = dict(thermal, name="thermal_large", size=large)
classifier = dict(
    type=Branch,
    model=dict(type=timm.create_model, model_name="resnet18", in_chans=1, num_classes=3),
    view=thermal_large,
    eats=dict(type=Crops, size=(64, 64), context=1.15),  # as the crops were cut that it has learned from
    task=dict(type=Classification, classes=("background", "person", "car")),
    weights=dict(type=Checkpoint, path="work_dirs/roadscene_crops_thermal/best.pth"),
    frozen=True,
)
distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict(
        thermal_crops=classifier,
        rgb_crops=dict(
            classifier,
            model=dict(type=timm.create_model, model_name="resnet18", num_classes=3),
            view=rgb_large,
            weights=dict(type=Checkpoint, path="work_dirs/roadscene_crops_rgb/best.pth"),
        ),
        rgb=dict(type=Branch, model=dict(type=DenseDetector, backbone=backbone, num_classes=2), view=rgb, weights=imagenet),
    ),
    terms=dict(
        boxes=dict(type=Term, loss=dict(type=FCOS), student="rgb.output", teacher="batch.target"),
        kd=dict(type=Term, loss=dict(type=DICOD, tau=2.0), student="rgb.output", teacher="thermal_crops.output", weight=0.4),
    ),
)
train_dataloader.merge(dict(dataset=dict(views=[rgb, thermal_large, rgb_large])))

compare = dict(
    teachers=dict(thermal_crops="roadscene_crops_thermal.py", rgb_crops="roadscene_crops_rgb.py"),
    variants=dict(
        rgb_classifier={"distiller.terms.kd.teacher": "rgb_crops.output"},
        other_boxes={"distiller.branches.thermal_crops.eats.shuffled": True},
        smoothed_labels={"distiller.terms.kd.loss": dict(type=SmoothedBoxes, tau=2.0), "distiller.terms.kd.teacher": "batch.target"},
    ),
)
