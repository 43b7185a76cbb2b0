"""The schema, its docs page, and what a browser is told it may load."""

import re

import pytest
import yaml

pytestmark = pytest.mark.django_db


def policy(response) -> dict[str, str]:
    directives = response["Content-Security-Policy"].split("; ")
    return dict(directive.split(" ", 1) for directive in directives)


@pytest.fixture
def schema(client):
    return yaml.safe_load(client.get("/api/schema/").content)


def operations(schema: dict):
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_every_operation_answers_its_errors_as_problems(schema):
    seen = list(operations(schema))
    assert len(seen) > 40
    for path, method, operation in seen:
        problem = operation["responses"]["default"]["content"]
        assert list(problem) == ["application/problem+json"], (path, method)
        assert problem["application/problem+json"]["schema"]["$ref"].endswith("/Problem")


def test_the_bearer_token_is_the_security_scheme_and_signing_in_needs_none(schema):
    assert schema["components"]["securitySchemes"]["deviceToken"]["scheme"] == "bearer"
    assert schema["paths"]["/api/v1/me/"]["get"]["security"] == [{"deviceToken": []}]
    assert not any(schema["paths"]["/api/v1/session/"]["post"].get("security", []))


def test_posts_offer_the_idempotency_key_but_for_sessions_and_check_ins(schema):
    def offers(path: str) -> bool:
        parameters = schema["paths"][path]["post"].get("parameters", [])
        return any(parameter["name"] == "Idempotency-Key" for parameter in parameters)

    assert offers("/api/v1/me/consents/")
    assert not offers("/api/v1/session/")
    assert not offers("/api/v1/check-ins/")


def test_each_profile_field_says_its_purpose(schema):
    fields = schema["components"]["schemas"]["Me"]["properties"]
    purposes = {name: fields[name].get("description", "") for name in ("birth_year", "sex", "gender", "site", "zone")}
    assert all(len(text) > 20 for text in purposes.values()), purposes


def test_the_docs_page_loads_our_own_files_and_no_inline_script(client):
    page = client.get("/api/docs/")
    html = page.content.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)", html)
    sources = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert len(sources) >= 4
    assert all(source.startswith("/") for source in sources)
    assert "unsafe" not in policy(page).get("script-src", "")
    for source in sources:
        loaded = client.get(source.replace("&amp;", "&"))
        assert loaded.status_code == 200
        loaded.close()


@pytest.mark.parametrize("address", ["/accounts/login/", "/api/v1/health/live", "/nothing"])
def test_our_own_pages_allow_nothing_inline_and_nothing_foreign(client, address):
    page = client.get(address, headers={"accept": "text/html" if "api" not in address else "application/json"})
    allowed = policy(page)
    assert allowed["default-src"] == "'self'"
    assert "unsafe" not in page["Content-Security-Policy"]
    assert not re.search(rb"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", page.content)


def test_the_staff_site_may_run_its_own_inline_scripts_but_load_nothing_foreign(client):
    allowed = policy(client.get("/admin/login/", follow=False))
    assert "'unsafe-inline'" in allowed["script-src"]
    assert all("http" not in sources for sources in allowed.values())


@pytest.mark.django_db
def test_answers_of_the_api_stay_in_no_cache_unless_they_are_meant_to(ada, phone):
    assert "no-store" in phone(ada).get("/api/v1/me/")["Cache-Control"]
    assert "no-store" in phone().get("/api/v1/me/")["Cache-Control"]
    assert "max-age" in phone().get("/api/v1/support/?country=GB&language=en")["Cache-Control"]
