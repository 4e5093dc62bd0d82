"""Who made a predictor, and where its code is: of a submission, or of a reference predictor."""

from pathlib import Path

from harness.predictors.registry import PREDICTORS
from harness.running.submission import FILE, find_submission


def sources_of(predictor: str, submissions: Path | None) -> dict[str, str]:
    """Return method or authors, date, link and code of a predictor, without what is not known.

    Args:
        predictor: Name of the predictor.
        submissions: Folder of submissions; None if there is none.

    Raises:
        ValueError: If its submission breaks a rule.
    """
    if predictor in PREDICTORS:
        entry = PREDICTORS[predictor]
        module = entry.target.split(":")[0].replace(".", "/")
        return {"method": entry.source, "code": f"{module}.py"}
    if submissions is None or not (submissions / predictor / FILE).is_file():
        return {}
    known = find_submission(submissions, predictor)
    code = f"{known.requirement or ''} {known.predictor or ''}".strip() or "predictions only"
    if known.file is not None:
        code = f"leaderboard/submissions/{predictor}/{known.file}"
    optional = {"link": known.url, "date": known.date}
    given = {name: value for name, value in optional.items() if value is not None}
    return {"authors": known.authors, "code": code, **given}
