"""Folders that mirror each other: a row is a stem."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from xkd.data.prepare.labels import LabelSource, annotate
from xkd.data.prepare.listing import Source, list_sources
from xkd.data.prepare.masks import MaskFolder, give_masks
from xkd.data.prepare.naming import unlike_names
from xkd.data.prepare.records import Contents, Record


def find_in_folders(sources: Mapping[str, Source], labels: LabelSource, masks: MaskFolder | None = None, strip: str = "") -> Contents:
    """A row per stem that any sensor has; one that a sensor lacks gets an empty cell there.

    Raises `ValueError` where the first sensor shares no stem with another: the folders do not mirror each other.
    """
    files, left_out = list_sources(sources, strip)
    first = next(iter(files))
    for column, stems in files.items():
        if not stems.keys() & files[first].keys():
            raise ValueError(
                f"'{column}' and '{first}' have no stem in common: '{next(iter(stems), '')}' and '{next(iter(files[first]), '')}'; "
                f"{unlike_names({name: by_stem.keys() for name, by_stem in files.items() if by_stem})}"
            )
    rows = sorted(set().union(*files.values()))
    records = [Record(stem, {column: by_stem[stem] for column, by_stem in files.items() if stem in by_stem}, frame=stem) for stem in rows]
    return described(records, sources, Counter(left_out), labels, masks, strip, notes=_case_twins(rows))


def _case_twins(stems: Sequence[str]) -> tuple[str, ...]:
    """A note on rows that would be one if upper and lower case did not count."""
    alike: dict[str, list[str]] = {}
    for stem in stems:
        alike.setdefault(stem.casefold(), []).append(stem)
    twins = [those for those in alike.values() if len(those) > 1]
    if not twins:
        return ()
    named = " and ".join(f"'{stem}'" for stem in twins[0])
    return (
        f"{len(twins)} stems differ in upper and lower case alone, such as {named}: they stay rows of their own; rename files of a pair",
    )


def described(
    records: list[Record],
    sources: Mapping[str, Source],
    left_out: Counter[str],
    labels: LabelSource,
    masks: MaskFolder | None,
    strip: str,
    max_time_offset: float = float("inf"),
    notes: tuple[str, ...] = (),
) -> Contents:
    """Records of stems with their labels and masks."""
    annotated = annotate(records, labels, list(sources), strip)
    records, left_out = annotated.records, left_out + annotated.left_out
    if masks is not None:
        records, unmasked = give_masks(records, masks, strip)
        left_out.update(unmasked)
    return Contents(
        sensors={column: source.table for column, source in sources.items()},
        records=tuple(records),
        classes=annotated.classes,
        multilabel=annotated.multilabel,
        mask=masks.mask if masks is not None else None,
        max_time_offset=max_time_offset,
        left_out=left_out,
        notes=(*notes, *annotated.notes),
        numbers=labels.numbers,
    )
