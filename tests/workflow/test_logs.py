"""The logs of a run are ours: no library tells its own story in them."""

import re

OURS = re.compile(r"\d{4}-\d\d-\d\d [\d:,]+ (INFO|WARNING|ERROR) nestwise")


def test_the_logs_of_a_run_hold_our_lines_only(finished_run):
    logs = sorted((finished_run.folder / "results" / "clinics" / "logs").glob("*.log"))
    lines = {log.name: log.read_text().splitlines() for log in logs}
    assert any("sampled in" in line for line in lines["slopes.pymc.log"])
    assert {name: line for name, found in lines.items() for line in found if not OURS.match(line)} == {}
