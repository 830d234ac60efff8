"""The demo: leafsim.py for fewer epochs, on fewer and easier leaves (`make demo` simulates them), in some minutes of two cores."""

from mmengine.config import read_base

with read_base():
    from .leafsim import *

distiller.branches.thermal.weights.merge(dict(epochs=16))
train_cfg.merge(dict(max_epochs=6, val_interval=2))
train_dataloader.merge(dict(batch_size=32))
compare.merge(
    dict(
        probed=32,
        note="A short run for the demo: 1,200 easy leaves of which 120 have a label, 6 epochs for the students and 16 for the teacher, one"
        " seed, no shuffled pairs, the maps of 32 test rows probed. The comparison at full size with its controls is `make evidence`.",
    )
)
