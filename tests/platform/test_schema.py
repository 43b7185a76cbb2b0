"""Whoever reads the API page finds a sentence beside each operation."""

import io

import yaml
from django.core.management import call_command


def test_every_operation_says_in_one_sentence_what_it_does():
    out = io.StringIO()
    call_command("spectacular", stdout=out)
    operations = [
        (method, path, operation)
        for path, methods in yaml.safe_load(out.getvalue())["paths"].items()
        for method, operation in methods.items()
        if method in {"get", "post", "put", "patch", "delete"}
    ]
    assert len(operations) > 50
    assert [(method, path) for method, path, operation in operations if not operation.get("summary")] == []
