"""Which classes does a trained classifier take for each other? Groups of them, each the work of a specialist.

    python tools/confusions.py CONFIG CHECKPOINT --groups 4

Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, arXiv:1503.02531, section 5.1: classes are grouped by the
covariance of the probabilities that the generalist gives them; no label is needed. The paper groups the columns by k-means; here
classes are joined by their mean correlation (average linkage), which has no random start. It is asked on val, since it knows its
training rows by heart.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from xkd.engine.use import test


def groups_of(probabilities: NDArray[np.floating], classes: Sequence[str], count: int) -> list[tuple[str, ...]]:
    """`count` groups of the classes (K,) by what is said of N rows (N, K), those of one class left out."""
    if probabilities.ndim != 2 or probabilities.shape[1] != len(classes):
        raise ValueError(f"groups are of classes of whole images, one per row: {len(classes)} of them, got {probabilities.shape}")
    if not 1 <= count < len(classes):
        raise ValueError(f"--groups is at least 1 and below the number of classes, {len(classes)}, got {count}")
    with np.errstate(invalid="ignore"):  # a class that has the same probability in every row is like no other
        likeness = np.nan_to_num(np.corrcoef(probabilities, rowvar=False))
    np.fill_diagonal(likeness, 1.0)
    merged = linkage(squareform((1 - likeness).clip(min=0), checks=False), method="average")
    numbers = fcluster(merged, count, "maxclust")
    groups = [np.flatnonzero(numbers == number).tolist() for number in np.unique(numbers)]
    return sorted(tuple(classes[place] for place in group) for group in groups if len(group) > 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="of the trained classifier")
    parser.add_argument("checkpoint", type=Path, help="file, or folder of its run")
    parser.add_argument("--groups", type=int, default=4, help="how many groups, those of one class counted in (%(default)s)")
    arguments = parser.parse_args()
    checkpoint = arguments.checkpoint / "best.pth" if arguments.checkpoint.is_dir() else arguments.checkpoint
    try:
        tested = test(arguments.config, checkpoint, split="val")
        found = groups_of(np.asarray(tested.predictions.values), tested.student.task.names, arguments.groups)
    except (OSError, KeyError, ValueError) as error:
        parser.error(str(error))
    for group in found:
        print(" ".join(group))


if __name__ == "__main__":
    main()
