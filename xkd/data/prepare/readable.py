"""Which files their sensors can read, tried before a data set is made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from xkd.data.prepare.header import ShotOf
from xkd.data.prepare.records import Contents, Record
from xkd.modalities import modality


def readable(contents: Contents, records: Sequence[Record], shot: ShotOf, left_out: Counter[str], notes: list[str]) -> list[Record]:
    """The rows without the files that cannot be read, each counted; the first of each sensor is told."""
    sensors = {column: modality(column, table) for column, table in contents.sensors.items()}
    kept: list[Record] = []
    problems: dict[str, str] = {}
    for record in records:
        files = dict(record.files)
        for column in record.files:
            try:
                sensors[column].read(shot(record, column))
            except (ValueError, OSError) as error:
                left_out[f"{column} file that cannot be read"] += 1
                problems.setdefault(column, str(error))
                del files[column]
        kept.append(replace(record, files=files))
    left_out["row without a file that can be read"] += sum(not record.files for record in kept)
    notes += [f"the first {column} file that cannot be read: {error}" for column, error in problems.items()]
    return [record for record in kept if record.files]
