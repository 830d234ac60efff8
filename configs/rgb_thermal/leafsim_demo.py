"""The demo, short: the teacher, student and terms of leafsim.py on fewer rows for fewer epochs, in five minutes of two cores."""

from mmengine.config import read_base

with read_base():
    from .leafsim import *

from xkd import Trained

distiller.branches.thermal.merge(
    dict(weights=dict(_delete_=True, type=Trained, options={"optim_wrapper.optimizer.lr": 1e-3}))  # the student's is twice that
)
compare.pop("teachers", None)
compare.pop("same_sensor", None)
train_cfg.merge(dict(max_epochs=12, val_interval=3))
train_dataloader.merge(dict(dataset=dict(subset=900, labels=dict(fraction=0.15))))
compare.merge(
    dict(
        probed=32,
        note="A short run for the demo: 900 training rows of which 135 have a label, 12 epochs, one seed, the maps of 32 test rows probed. "
        "The comparison at full size, with its control of shuffled pairs, is `make evidence`.",
    )
)
