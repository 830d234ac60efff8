"""Ten digits in five stages of two: what a small CNN still knows of the first when it has learned the last.

    python datasets/digits/prepare.py --out data/digits_200 --train 200
    xkd plan configs/plans/digits_lifelong.py --seeds 3

What the chains are is in configs/_base_/lifelong.py.
"""

from mmengine.config import read_base

with read_base():
    from ..digits.digits_step import *

tasks = (("0", "1"), ("2", "3"), ("4", "5"), ("6", "7"), ("8", "9"))
tests = tests_of(tasks)
stages = stages_of("../digits/digits_step.py", tasks, net, per_class=20)
