"""The citation and licence texts that belong to every copy of a release."""

TITLE = "peephole-bench: learning curves of sampled convolutional networks"
AUTHORS = "The peephole-bench authors"
LICENCE = "CC-BY-4.0"  # an SPDX identifier
LICENCE_URL = "https://creativecommons.org/licenses/by/4.0/"
KEYWORDS = (
    "learning-curves",
    "performance-prediction",
    "neural-architecture-search",
    "zero-cost-proxies",
)


def licence_text() -> str:
    """Return the text of a release's file LICENSE."""
    return (
        f"{TITLE}\n\n"
        f"The data in this folder, by {AUTHORS[0].lower()}{AUTHORS[1:]}, is licensed under "
        f"Creative Commons\nAttribution 4.0 International ({LICENCE}). You may share and adapt it "
        "for any purpose if you\ngive appropriate credit (see CITATION.cff), link to the licence "
        "and state your changes.\nOnly the full licence text is binding: "
        f"{LICENCE_URL}legalcode\n"
    )


def citation_cff(version: str, date: str) -> str:
    """Return a release's CITATION.cff in format 1.2.0 (https://doi.org/10.5281/zenodo.5171937)."""
    keywords = "".join(f"  - {word}\n" for word in KEYWORDS)
    return (
        "cff-version: 1.2.0\n"
        'message: "If you use this dataset, please cite it as below."\n'
        "type: dataset\n"
        f'title: "{TITLE}"\n'
        f"version: {version}\n"
        f"date-released: {date}\n"
        f"license: {LICENCE}\n"
        f'authors:\n  - name: "{AUTHORS}"\n'
        f"keywords:\n{keywords}"
    )


def bibtex(version: str, date: str) -> str:
    """Return the BibTeX entry of a release."""
    return (
        "@misc{peephole_bench_data,\n"
        f"  title = {{{TITLE}}},\n"
        f"  author = {{{{{AUTHORS}}}}},\n"
        f"  year = {{{date[:4]}}},\n"
        f"  note = {{Dataset, version {version}}}\n"
        "}"
    )
