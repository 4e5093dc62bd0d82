"""The JSON Schema of a result, whose lists of names come from the code.

`python -m harness.results.schema` writes `result.schema.json` again, after an image set or a metric
was added.
"""

import json
from importlib import resources
from pathlib import Path
from typing import get_args

from benchmark.space.imagesets import IMAGES
from benchmark.util.atomic import write_atomically
from benchmark.util.strict_json import to_text
from harness.metrics.registry import METRICS
from harness.results.result import Environment, Result, Status, Verification
from harness.scoring.score_rules import STRATA

FILE = "result.schema.json"


def result_schema() -> dict[str, object]:
    """Return the schema: the structure of the file, with the fields and names of the code."""
    schema = json.loads(resources.files("harness").joinpath("results", FILE).read_text())
    fields = schema["properties"]
    schema["required"] = list(Result.__slots__)
    fields["images"]["enum"] = list(IMAGES)
    fields["status"]["enum"] = list(get_args(Status))
    fields["verification"]["enum"] = list(get_args(Verification))
    fields["environment"]["required"] = list(Environment.__slots__)
    scores = schema["$defs"]["scores"]
    scores["propertyNames"] = {"enum": list(STRATA)}
    scores["additionalProperties"]["propertyNames"]["enum"] = list(METRICS)
    found: dict[str, object] = schema
    return found


if __name__ == "__main__":
    write_atomically(Path(__file__).with_name(FILE), to_text(result_schema()) + "\n")
