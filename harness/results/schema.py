"""The JSON Schema of a result, with lists of names from the code.

After adding an image set or a metric, update `result.schema.json` with
`python -m harness.results.schema`.
"""

import json
from importlib import resources
from pathlib import Path
from typing import Any, get_args

from benchmark.space.imagesets import IMAGES
from benchmark.util.atomic import write_atomically
from benchmark.util.strict_json import to_text
from harness.metrics.registry import METRICS
from harness.results.result import Environment, Result, Status, Verification
from harness.scoring.score_rules import STRATA

FILE = "result.schema.json"


def result_schema() -> dict[str, object]:
    """Return the schema in `result.schema.json`, with the fields and names of the code."""
    schema: dict[str, Any] = json.loads(
        resources.files("harness").joinpath("results", FILE).read_text()
    )
    fields = schema["properties"]
    schema["required"] = list(Result.__slots__)
    fields["images"]["enum"] = list(IMAGES)
    fields["status"]["enum"] = list(get_args(Status))
    fields["verification"]["enum"] = list(get_args(Verification))
    fields["environment"]["required"] = list(Environment.__slots__)
    scores = schema["$defs"]["scores"]
    scores["propertyNames"] = {"enum": list(STRATA)}
    scores["additionalProperties"]["propertyNames"]["enum"] = list(METRICS)
    return schema


if __name__ == "__main__":
    write_atomically(Path(__file__).with_name(FILE), to_text(result_schema()) + "\n")
