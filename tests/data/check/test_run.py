"""The whole check, of a data set without faults."""

from __future__ import annotations

import json
from pathlib import Path

from shape_pairs import check, graver


def test_sound_data_have_no_findings_but_notes(sound: Path) -> None:
    found = check(sound)
    assert not graver(found)
    assert found.errors == 0
    assert {finding.subject for finding in found.findings} == {"registration", "time"}
    assert found.files == 36
    json.dumps(found.as_json(), allow_nan=False)
