"""A teacher assistant: a large network teaches a middle one, and that a small one; against the large one's own lessons, and labels alone.

    xkd plan configs/plans/assistant.py --seeds 3

Mirzadeh et al., "Improved Knowledge Distillation via Teacher Assistant", AAAI 2020, arXiv:1902.03393.
"""

from mmengine.config import read_base

with read_base():
    from ..digits.digits_taught import *

taught = "../digits/digits_taught.py"
teacher = "distiller.branches.teacher"
stages = dict(
    large=dict(config="../digits/digits_wide.py", chain=("assistant", "direct")),
    assistant=dict(
        config=taught, options={f"{teacher}.weights.path": "@large", "distiller.branches.rgb.model": network}, chain="assistant"
    ),
    small=dict(config=taught, options={f"{teacher}.weights.path": "@assistant", f"{teacher}.model": network}, chain="assistant"),
    direct=dict(config=taught, options={f"{teacher}.weights.path": "@large"}, chain="direct"),
    alone=dict(
        config=taught,
        options={"distiller.branches": dict(rgb=dict(learns, model=small)), "distiller.terms": dict(ce=distiller.terms.ce)},
        chain="alone",
    ),
)
