"""The whole check, of a data set without faults."""

from __future__ import annotations

import json
from pathlib import Path

from shape_pairs import check, graver


def test_sound_data_have_no_findings_but_notes(sound: Path) -> None:
    result = check(sound)
    assert not graver(result)
    assert result.errors == 0
    assert {finding.subject for finding in result.findings} == {"reading", "registration", "time"}
    assert result.files == 36
    json.dumps(result.as_json(), allow_nan=False)
