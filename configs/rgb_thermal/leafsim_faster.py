"""What faster or smaller runs cost: bfloat16 on any machine, and the teacher's answers from the disk, whole and in less."""

from mmengine.config import read_base

from xkd import TeacherCache

with read_base():
    from .leafsim import *

# half as many draws as epochs: the teacher runs in half of them
compare.merge(
    dict(
        variants=dict(
            bfloat16={"optim_wrapper.always": True},
            cached=dict(teacher_cache=dict(type=TeacherCache, draws=8)),
            cached_top_2=dict(teacher_cache=dict(type=TeacherCache, draws=8, dtype="float16", top_k=2)),
            cached_grid_4=dict(teacher_cache=dict(type=TeacherCache, draws=8, dtype="float16", grid=4)),
        )
    )
)
