"""Writes the Croissant 1.1 description of a release (http://mlcommons.org/croissant/1.1).

It is derived from the Arrow schemas and their field metadata, with one record set for each file of
runs or proxies. Layers are listed block by block, because mlcroissant reads lists of structures but
not lists of such lists: it keeps only the first match of a JSON path.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from benchmark.manifest import Manifest
from benchmark.proxies import COLUMNS as PROXY_COLUMNS
from benchmark.publish.citation import AUTHORS, KEYWORDS, LICENCE_URL, TITLE, bibtex
from benchmark.publish.datasheet import entries, run_days
from benchmark.schema import COLUMNS, Column
from benchmark.space.skeletons import SKELETONS

Json = dict[str, object]
CONFORMS_TO = ("http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0")
TYPES = {
    pa.string(): "sc:Text",
    pa.int8(): "cr:Int8",
    pa.int32(): "cr:Int32",
    pa.int64(): "cr:Int64",
    pa.float32(): "cr:Float32",
    pa.float64(): "cr:Float64",
    pa.timestamp("ms", tz="UTC"): "sc:DateTime",
}
FORMATS = {  # of files; mlcroissant recognises Parquet as `application/x-parquet`
    ".parquet": "application/x-parquet",
    ".json": "application/json",
    ".csv": "text/csv",
}
TERMS = (  # each is short for its own name in Croissant's vocabulary, as `column` for `cr:column`
    "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field",
    "fileObject", "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset",
    "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex", "repeated",
    "replace", "samplingRate", "separator", "source", "subField", "transform",
)  # fmt: skip
OTHER_TERMS: Json = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}
# As in the specification of Croissant 1.1, in alphabetical order
CONTEXT = dict(sorted((OTHER_TERMS | {term: f"cr:{term}" for term in TERMS}).items()))


@dataclass(frozen=True, slots=True)
class Table:
    """A file of rows that becomes a record set; `blocks` is that of its largest skeleton."""

    name: str
    file: str
    columns: Mapping[str, Column]
    key: str
    description: str
    blocks: int = 0


def croissant_text(manifest: Manifest, folder: Path, files: Mapping[str, str]) -> str:
    """Return the Croissant description of a release; `files` is the SHA-256 of each, by path."""
    content: Json = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": "peephole-bench",
        "alternateName": TITLE,
        "description": (
            "Training runs of convolutional networks with fixed skeletons and blocks sampled from "
            "a Markov chain. Every series is measured after every epoch. The data serves to study "
            "how well a network's accuracy can be predicted before or early in its training."
        ),
        "conformsTo": list(CONFORMS_TO),
        "version": manifest.version,
        "datePublished": manifest.date,
        "license": LICENCE_URL,
        "creator": {"@type": "sc:Organization", "name": AUTHORS},
        "keywords": list(KEYWORDS),
        "citeAs": bibtex(manifest.version, manifest.date),
        "isLiveDataset": False,
        **_responsible_ai(manifest.images, run_days(manifest, folder)),
        "distribution": [_file(name, digest, folder) for name, digest in sorted(files.items())],
        "recordSet": [_record_set(table) for table in tables(manifest)],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _responsible_ai(images: Sequence[str], days: tuple[str, str]) -> Json:
    """Return the properties of Croissant's responsible-AI vocabulary."""
    texts: Json = {f"rai:{entry.rai}": entry.text for entry in entries(images, days) if entry.rai}
    # The specification spells the last property both ways; mlcroissant reads only the second.
    return texts | {
        "rai:dataCollectionType": "Experiments",
        "rai:dataCollectionTimeframe": list(days),
        "rai:dataCollectionTimeFrame": list(days),
    }


def _file(name: str, digest: str, folder: Path) -> Json:
    path = folder / name
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": FORMATS.get(path.suffix, "text/plain"),
        "sha256": digest,
    }


def tables(manifest: Manifest) -> Iterator[Table]:
    """Yield the files of runs and proxies of a release."""
    for entry in manifest.splits:
        skeletons = (SKELETONS[name] for name in entry.skeletons)
        yield Table(
            f"{entry.images}-{entry.split}",
            f"{entry.images}/{entry.split}.parquet",
            COLUMNS,
            "run_id",
            f"Runs on {entry.images} in the split {entry.split}: {entry.runs} training runs of "
            f"{entry.networks} networks.",
            blocks=max(len(s.widths) * s.blocks_per_stage for s in skeletons),
        )
    for proxies in manifest.proxies:
        yield Table(
            f"{proxies.images}-proxies",
            f"{proxies.images}/proxies.parquet",
            PROXY_COLUMNS,
            "architecture_id",
            f"Zero-cost proxies of the {proxies.networks} networks on {proxies.images}.",
        )


def _record_set(table: Table) -> Json:
    return {
        "@type": "cr:RecordSet",
        "@id": table.name,
        "name": table.name,
        "description": table.description,
        "key": {"@id": f"{table.name}/{table.key}"},
        "field": [
            _field(Source(table, name), column.type) | {"description": _meaning(column)}
            for name, column in table.columns.items()
        ],
    }


def _meaning(column: Column) -> str:
    """Return what a column means, with its unit and range."""
    rules = {"unit": column.unit, "range": column.range}
    text = "; ".join(f"{name}: {value}" for name, value in rules.items() if value)
    return f"{column.meaning} ({text})" if text else column.meaning


@dataclass(frozen=True, slots=True)
class Source:
    """Where the values of a field are: its table, its column, and JSON paths inside the column."""

    table: Table
    name: str  # of the field, without the name of its record set
    path: str = "$"  # JSON path inside the column
    inner: str = ""  # JSON path inside each element at `path`

    def below(self, name: str, step: str) -> "Source":
        """Return the source of a part of the field."""
        return replace(self, name=f"{self.name}/{name}", path=self.path + step)

    def to_json(self) -> Json:
        """Return the Croissant source of the values."""
        column = self.name.split("/")[0]
        paths = [path for path in (self.path, self.inner) if path not in ("$", "")]
        extract: Json = {"fileObject": {"@id": self.table.file}, "extract": {"column": column}}
        steps: Json = {"transform": [{"jsonPath": path} for path in paths]} if paths else {}
        return extract | steps


def _field(source: Source, kind: pa.DataType) -> Json:
    """Return the Croissant field of a column or of a part of one."""
    identity = f"{source.table.name}/{source.name}"
    head: Json = {"@type": "cr:Field", "@id": identity, "name": identity}
    if pa.types.is_struct(kind):
        parts = [_field(source.below(part.name, f".{part.name}"), part.type) for part in kind]
        return head | {"subField": parts}
    if not pa.types.is_list(kind):
        return head | {"dataType": TYPES[kind], "source": source.to_json()}
    element = kind.value_type
    if pa.types.is_list(element):
        sources = [source.below(f"{i}", f"[{i}]") for i in range(source.table.blocks)]
        return head | {"subField": [_field(block, element) for block in sources]}
    array: Json = head | {"isArray": True, "arrayShape": "-1"}
    if not pa.types.is_struct(element):
        return array | {"dataType": TYPES[element], "source": source.to_json()}
    inside = [
        (replace(source, name=f"{source.name}/{part.name}", inner=f"$.{part.name}"), part.type)
        for part in element
    ]
    return array | {"subField": [_field(part, kind) for part, kind in inside]}
