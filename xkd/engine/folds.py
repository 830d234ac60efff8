"""Out of fold, in a run: what its checkpoints say of the rows that taught it, and whether each row has a teacher that has not seen it."""

from __future__ import annotations

from collections.abc import Mapping

from xkd.data.paired import PairedDataset
from xkd.data.rows import Row
from xkd.data.shots import has
from xkd.graph.distiller import Distiller
from xkd.graph.ensemble import Ensemble
from xkd.graph.reading import Reading
from xkd.graph.unseen import UNSEEN
from xkd.graph.weights import Checkpoint


def taught_by(distiller: Distiller, data: PairedDataset) -> list[str]:
    """The groups whose labels teach a run that leaves out a fold, those that its branches' weights have learned from included.

    `ValueError` where such weights do not say from what.
    """
    seen = {row.group for row in data.rows if row.labels is not None}
    for name, branch in distiller.branches.items():
        weights = branch.weights
        if not isinstance(weights, Checkpoint) or not weights.classes():  # of nobody's run, or of one without labels
            continue
        try:
            seen |= weights.seen()
        except ValueError as error:
            raise ValueError(f"a run that leaves out {data.part.without}, branch '{name}': {error}") from error
    return sorted(seen)


def check_unseen(distiller: Distiller, data: PairedDataset) -> None:
    """`ValueError` where training rows that have a source of an out-of-fold ensemble have none that has not learned from their group."""
    for name, ensemble in distiller.ensembles.items():
        if ensemble.need != UNSEEN:
            continue
        views = {source: distiller.branches[Reading.parse(source).branch].view for source in ensemble.of}
        shown = [{source: data.source(index, view) for source, view in views.items()} for index in range(len(data))]
        held = [{source: row for source, row in rows.items() if has(row, views[source])} for rows in shown]
        lost = [rows for rows in held if rows and not answers(ensemble, rows)]
        if lost:
            row = next(iter(lost[0].values()))
            counts = {source: sum(source in rows and answers(ensemble, {source: rows[source]}) for rows in held) for source in ensemble.of}
            raise ValueError(
                f"{data.manifest.root}: ensemble '{name}' is out of fold, and all of {list(ensemble.of)} have learned from group"
                f" '{row.group}' (row '{row.id}'; {len(lost)} of {len(data)} rows in all). Rows that each has not seen: {counts}. Do they"
                " leave out all folds, 0 to of-1, each one, of the same rows and labels, with one seed?"
            )


def answers(ensemble: Ensemble, rows: Mapping[str, Row]) -> bool:
    """Whether one of these sources has not learned from the group of the row that it is shown."""
    seen = dict(zip(ensemble.of, ensemble.seen, strict=True))
    return any(row.group not in seen[source] for source, row in rows.items())
