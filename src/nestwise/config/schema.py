"""JSON schemas of the study file and the configuration, generated from the records.

``python -m nestwise.config.schema workflow/schemas`` writes them; a test keeps them in step.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pydantic import BaseModel

from nestwise.config.run import Run
from nestwise.config.study import Study


def schemas() -> dict[str, str]:
    """File name of each schema and its text."""
    models: dict[str, type[BaseModel]] = {"study.schema.json": Study, "config.schema.json": Run}
    return {
        name: json.dumps(model.model_json_schema(by_alias=True), indent=1, sort_keys=True) + "\n"
        for name, model in models.items()
    }


def write_schemas(folder: Path) -> None:
    """Write the schemas into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in schemas().items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]))
