"""What a new data set holds, for the person who made it."""

from __future__ import annotations

import shlex
from collections import Counter

from rich.console import Console
from rich.table import Table

from xkd.data.prepare.make import DECISIONS, Made
from xkd.data.rows import SPLITS

_UNLABELLED = "(unlabelled)"


def show(made: Made, console: Console) -> None:
    """Rows by class and split, what is missing, what was left out and why, warnings, and what to do next."""
    boxed = all(record.labels is None for record in made.records) and any(record.boxes for record in made.records)
    console.print(_table(made, boxed))
    for sensor in made.sensors:
        missing = Counter(record.split for record in made.records if sensor not in record.files)
        if missing:
            listed = ", ".join(f"{missing[split]} in {split}" for split in SPLITS if missing[split])
            console.print(f"no {sensor}: {missing.total()} of {len(made.records)} rows ({listed})")
    for reason, number in made.left_out.items():
        console.print(f"left out: {number} x {reason}")
    for note in made.notes:
        console.print(f"note: {note}")
    for warning in warnings(made):
        console.print(f"warning: {warning}", style="yellow")
    console.print(f"{made.out}: written, {len(made.records)} rows; {DECISIONS} keeps the notes. Next:\n")
    console.print(f"    xkd check-pairs {shlex.quote(str(made.out))}\n")


def warnings(made: Made) -> list[str]:
    """Classes and whole splits that are missing where training or testing would want them."""
    sizes = Counter(record.split for record in made.records)
    kinds_of = {split: {kind for record in made.records if record.split == split for kind in record.kinds} for split in SPLITS}
    lines = [f"split '{split}' has no rows" for split in SPLITS if not sizes[split]]
    for name in made.classes:
        absent = [split for split in SPLITS if sizes[split] and name not in kinds_of[split]]
        if absent and any(kinds_of.values()):
            groups = len({record.group for record in made.records if name in record.kinds})
            lines.append(f"class '{name}' is not in {', '.join(absent)}; it is in {groups} groups")
    whole = sum(all(sensor in record.files for sensor in made.sensors) for record in made.records)
    if whole < len(made.records) / 2:
        lines.append(
            f"only {whole} of {len(made.records)} rows have all of {', '.join(made.sensors)}: the others teach nothing across sensors; if"
            " there should be more, see --strip, or for times --tolerance, --offset and --estimate-offset"
        )
    if not any(record.labels is not None or record.boxes is not None for record in made.records):
        lines.append("no row has a label or a box")
    return lines


def _table(made: Made, boxed: bool) -> Table:
    rows = Counter(record.split for record in made.records)
    groups = Counter(split for _, split in {(record.group, record.split) for record in made.records})
    table = Table("boxes of" if boxed else "number" if made.numbers else "class", *SPLITS, "all", title=f"{made.out.name}: rows per split")
    counts: Counter[tuple[str, str]] = Counter()
    for record in made.records:
        if boxed:
            counts.update((name, record.split) for _, name in record.boxes or ())
        elif record.numbers:
            counts.update((number.name, record.split) for number in made.numbers)
        elif record.labels is None:
            counts[_UNLABELLED, record.split] += 1
        else:
            counts.update((name, record.split) for name in record.labels)
    for name in (
        *made.classes,
        *(number.name for number in made.numbers),
        *([_UNLABELLED] if any(name == _UNLABELLED for name, _ in counts) else []),
    ):
        numbers = [counts[name, split] for split in SPLITS]
        table.add_row(name, *map(str, numbers), str(sum(numbers)))
    table.add_section()
    table.add_row("rows", *(str(rows[split]) for split in SPLITS), str(rows.total()))
    table.add_row("groups", *(str(groups[split]) for split in SPLITS), str(groups.total()))
    return table
