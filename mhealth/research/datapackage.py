"""datapackage.json: the tables of a package as the Frictionless Data Package standard describes them."""

from datetime import datetime

from mhealth.research.columns import Column, Table

PROFILE = "data-package"
MEDIA_TYPES = {
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
    "sav": "application/x-spss-sav",
    "dta": "application/x-stata-dta",
    "ndjson": "application/fhir+ndjson",
    "txt": "text/plain",
}


def described(
    tables: dict[str, Table], files: dict[str, dict], *, name: str, title: str, version: str, at: datetime
) -> dict:
    """files: name -> {"sha256", "bytes"} of every file to describe; tables describe the CSV files of their name."""
    return {
        "profile": PROFILE,
        "name": name,
        "title": title,
        "version": version,
        "created": at.isoformat(),
        "resources": [_resource(file, facts, tables) for file, facts in sorted(files.items())],
    }


def _resource(file: str, facts: dict, tables: dict[str, Table]) -> dict:
    stem, _, kind = file.rpartition(".")
    resource = {
        "name": file.lower().replace("_", "-").replace(".", "-"),
        "type": "file",
        "path": file,
        "format": kind,
        "mediatype": MEDIA_TYPES[kind],
        "bytes": facts["bytes"],
        "hash": f"sha256:{facts['sha256']}",
    }
    if kind == "csv" and stem in tables:
        table = tables[stem]
        described_as = {"title": table.label, "encoding": "utf-8", "schema": _schema(table, tables)}
        resource |= {"type": "table", "profile": "tabular-data-resource"} | described_as
    return resource


def _schema(table: Table, tables: dict[str, Table]) -> dict:
    schema = {
        "fields": [_field(table, column) for column in table.columns],
        "missingValues": [""],
        "primaryKey": list(table.key),
    }
    if table.name != "people" and "people" in tables:
        reference = {"resource": "people-csv", "fields": "person"}
        schema["foreignKeys"] = [{"fields": "person", "reference": reference}]
    return schema


def _field(table: Table, column: Column) -> dict:
    limits: dict = {}
    if column.name in table.key:
        limits["required"] = True
    if column.levels:
        limits["enum"] = list(column.levels)
    if column.minimum is not None:
        limits["minimum"] = column.minimum
    if column.maximum is not None:
        limits["maximum"] = column.maximum
    field = {"name": column.name, "type": column.type, "title": column.label}
    return field | ({"constraints": limits} if limits else {})
