"""Which feature loss, which projector, which stages? kitti_drive52_pairs.py, its pretraining changed in one thing at a time.

xkd compare configs/lidar_rgb/kitti_drive52_pairs_losses.py --seeds 3
"""

from mmengine.config import read_base

from xkd import CRD, SP, FitNet, NormalizedDistance, Term, TokenSimilarity

with read_base():
    from .kitti_drive52_pairs import *

options = "distiller.branches.lidar.weights.options"
taps = "distiller.branches.lidar.weights.taps"
hint1 = dict(type=Term, student="lidar.hint1", teacher="teacher.hint1")
hint2 = dict(type=Term, student="lidar.hint2", teacher="teacher.hint2")
compare.merge(
    dict(
        variants=dict(
            # features are equal from the start where the networks are, so nothing has to be bound
            no_projector={
                options: {
                    "distiller.terms.hint1": dict(hint1, loss=dict(type=FitNet)),
                    "distiller.terms.hint2": dict(hint2, loss=dict(type=FitNet)),
                }
            },
            last_stage={taps: ["stage:-1"]},
            three_stages={taps: ["stage:-3", "stage:-2", "stage:-1"]},
            normalized={
                options: {f"distiller.terms.{name}.loss": dict(type=NormalizedDistance, variant="vkd") for name in ("hint1", "hint2")}
            },
            tokens={
                options: {
                    "distiller.terms.hint1": dict(hint1, loss=dict(type=TokenSimilarity)),
                    "distiller.terms.hint2": dict(hint2, loss=dict(type=TokenSimilarity)),
                }
            },
            similarity={
                options: {
                    "distiller.terms.hint1": dict(hint1, loss=dict(type=SP), weight=3000.0),
                    "distiller.terms.hint2": dict(hint2, loss=dict(type=SP), weight=3000.0),
                }
            },
            # contrasts remember the rows of training, so the checkpoint is chosen by the other term
            contrast={options: {"distiller.terms.hint2": dict(hint2, loss=dict(type=CRD, num_rows=460, num_negatives=512))}},
        )
    )
)
