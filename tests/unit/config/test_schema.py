from pathlib import Path

from nestwise.config.schema import schemas


def test_the_schemas_on_disk_are_in_step_with_the_records():
    for name, text in schemas().items():
        assert Path("workflow/schemas", name).read_text() == text, "run `make schemas`"
