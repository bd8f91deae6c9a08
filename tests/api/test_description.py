"""The description is served, whole, valid, and true: every route is in it, and answers are as it says."""

from __future__ import annotations

import re
from typing import Any

from starlette.routing import Route

from postroad.api.service import BASE
from postroad.directory.identity.tokens import Scope
from tests.api.conftest import ApiHouse
from tests.api.test_mail import mail
from tests.web.client import Visitor


async def described(api: ApiHouse) -> Any:
    answer = await Visitor(api.house.app).request("GET", BASE + "/openapi.json")
    assert answer.status == 200
    return answer.json()


def references(value: Any) -> set[str]:
    """Every $ref in a description."""
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set[str]()
        return own.union(*map(references, value.values()))
    if isinstance(value, list):
        return set[str]().union(*map(references, value))
    return set()


async def test_every_route_is_described_and_every_reference_leads_somewhere(api: ApiHouse) -> None:
    description = await described(api)
    assert description["openapi"].startswith("3.1") and description["servers"] == [{"url": BASE}]
    served = {
        re.sub(r":\w+\}", "}", route.path.removeprefix(BASE))
        for route in api.api.routes()
        if isinstance(route, Route)
    }
    beside = {"", "/{rest}", "/openapi.json", "/token", "/token/revoke"}
    assert set(description["paths"]) == served - beside
    names = set(description["components"]["schemas"])
    assert {one.rpartition("/")[2] for one in references(description)} <= names
    for path, methods in description["paths"].items():
        for method, one in methods.items():
            assert one["summary"] and one["operationId"], (path, method)
            inside = {each["name"] for each in one["parameters"] if each["in"] == "path"}
            assert inside == set(re.findall(r"\{(\w+)\}", path))
            [scheme] = one["security"]
            assert set(scheme["oauth"]) <= set(Scope)


def check(value: Any, schema: Any, schemas: Any, where: str) -> None:
    """As much of JSON Schema as our answers need: types, required and known fields, alternatives."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        failures = []
        for choice in schema["anyOf"]:
            try:
                check(value, choice, schemas, where)
                return
            except AssertionError as error:
                failures.append(str(error))
        raise AssertionError(failures)
    kinds = {
        "string": str,
        "integer": int,
        "boolean": bool,
        "array": list,
        "object": dict,
        "null": type(None),
    }
    kind = schema.get("type")
    if kind is not None:
        assert isinstance(value, kinds[kind]), (where, value)
        assert kind != "integer" or not isinstance(value, bool), where
    if "enum" in schema:
        assert value in schema["enum"], (where, value)
    if isinstance(value, list):
        for number, item in enumerate(value):
            check(item, schema["items"], schemas, f"{where}.{number}")
    if isinstance(value, dict):
        properties = schema["properties"]
        assert set(schema.get("required", [])) <= set(value) <= set(properties), (where, set(value))
        for name, item in value.items():
            check(item, properties[name], schemas, f"{where}.{name}")


async def test_answers_are_as_described(api: ApiHouse) -> None:
    description = await described(api)
    schemas = description["components"]["schemas"]
    lin = await api.lin()
    uid = await api.house.deliver(api.lin_id, mail("described"))
    folder = await api.house.folder(api.lin_id)
    for path, asked in [
        ("/me", "/me"),
        ("/folders", "/folders"),
        ("/folders/{folder}", f"/folders/{folder}"),
        ("/folders/{folder}/messages", f"/folders/{folder}/messages"),
        ("/folders/{folder}/messages/{uid}", f"/folders/{folder}/messages/{uid}"),
        ("/statistics", "/statistics"),
        ("/people", "/people?q=m"),
        ("/search", "/search?q=x"),
    ]:
        said = description["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        check(await lin.get(asked), said, schemas, path)
    problem = (await lin("POST", "/folders", {})).json()
    check(problem, {"$ref": "#/components/schemas/Problem"}, schemas, "problem")
