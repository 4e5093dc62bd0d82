"""The work of the isolated process: fit a predictor, predict, and print the predictions."""

import os
import pickle
import shutil
from pathlib import Path

from benchmark.util.text import describe
from harness.running.find_predictor import find
from harness.running.fit_predict import check_prediction, counts_of
from harness.verification.isolation.transfer import MESSAGE, Fitted, Inputs, to_bytes

INPUTS, CODE = "inputs.pickle", "code"  # in the folder of what is given


def main(given: str) -> None:
    """Read the inputs in a folder, and print what `transfer.to_bytes` returns."""
    output = os.dup(1)
    os.dup2(0, 1)  # what the code prints goes nowhere
    try:
        content = to_bytes(None, _fit_all(Path(given)))
    except BaseException as error:  # catches everything, because a predictor may raise anything
        content = to_bytes(describe(error, MESSAGE), ())
    with os.fdopen(output, "wb") as file:
        file.write(content)
    os._exit(0)  # without waiting for threads and without what the code registered for the end


def _fit_all(given: Path) -> list[Fitted]:
    """Return what the predictor gives with every seed."""
    inputs: Inputs = pickle.loads((given / INPUTS).read_bytes())
    shutil.copytree(given / CODE, Path.cwd(), dirs_exist_ok=True)
    make = find(inputs.predictor).make
    fits = []
    for seed in inputs.seeds:
        predictor = make()
        runs = inputs.train.copy(), inputs.validation.copy()
        predictor.fit(*runs, observed=inputs.queries[0].observed, seed=seed)
        predictions = [
            check_prediction(predictor.predict(queries.copy()), queries)
            for queries in inputs.queries
        ]
        fits.append(Fitted(tuple(predictions), counts_of(predictor)))
    return fits
