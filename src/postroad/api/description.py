"""The OpenAPI description (3.1), made of the same table that answers the calls."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from postroad.api.operations import NUMBERS, Operation
from postroad.api.service import BASE
from postroad.directory.identity.tokens import Scope

_REF = "#/components/schemas/{model}"
_PATH_PARAMETER = re.compile(r"\{(\w+)\}")
_SCOPES: Mapping[Scope, str] = {
    Scope.MAIL_READ: "read mail, search, follow the live stream",
    Scope.MAIL_WRITE: "flags, moving, deleting, folders, drafts",
    Scope.MAIL_SEND: "send mail",
    Scope.DIRECTORY_READ: "see domains, accounts, aliases and lists that the holder administers",
    Scope.DIRECTORY_WRITE: "change them",
}
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["where", "code", "message"],
                "properties": {
                    "where": {"type": "string"},
                    "code": {"type": "string"},
                    "message": {"type": "string"},
                },
            },
        },
    },
}


def describe(operations: Sequence[Operation]) -> dict[str, Any]:
    """Describe the API."""
    models: dict[tuple[Any, str], str] = {}
    wanted: list[tuple[type[BaseModel], Any]] = []
    for one in operations:
        if one.body is not None:
            wanted.append((one.body, "validation"))
        if one.answer is not None:
            wanted.append((one.answer, "serialization"))
    places, definitions = models_json_schema(list(dict.fromkeys(wanted)), ref_template=_REF)
    for (model, mode), place in places.items():
        models[(model, mode)] = place["$ref"]
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, models)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Postroad",
            "version": "1",
            "description": "Mail, accounts and live events for programs.",
        },
        "servers": [{"url": BASE}],
        "security": [{"oauth": []}],
        "paths": paths,
        "components": {
            "schemas": {**definitions.get("$defs", {}), "Problem": _PROBLEM},
            "securitySchemes": {"oauth": _security()},
        },
    }


def _security() -> dict[str, Any]:
    flow = {"tokenUrl": f"{BASE}/token", "scopes": {str(scope): text for scope, text in _SCOPES.items()}}
    return {"type": "oauth2", "flows": {"clientCredentials": flow, "password": flow}}


def _operation(one: Operation, models: Mapping[tuple[Any, str], str]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.summary,
        "tags": [one.tag],
        "security": [{"oauth": [] if one.scope is None else [str(one.scope)]}],
        "parameters": _parameters(one),
        "responses": {
            str(one.status): _answer(one, models),
            "default": {
                "description": "a problem (RFC 9457)",
                "content": {"application/problem+json": {"schema": {"$ref": _REF.format(model="Problem")}}},
            },
        },
    }
    if one.body is not None:
        schema = {"$ref": models[(one.body, "validation")]}
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return described


def _answer(one: Operation, models: Mapping[tuple[Any, str], str]) -> dict[str, Any]:
    if one.status == 204:
        return {"description": "done"}
    schema: dict[str, Any] = {"type": "string"}
    if one.answer is not None:
        schema = {"$ref": models[(one.answer, "serialization")]}
    # The type of a part is the sender's.
    media_type = "*/*" if one.media_type == "application/octet-stream" else one.media_type
    return {"description": one.summary, "content": {media_type: {"schema": schema}}}


def _parameters(one: Operation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in _PATH_PARAMETER.findall(one.path):
        number = {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}
        schema = number if name in NUMBERS else {"type": "string", "maxLength": 320}
        found.append({"name": name, "in": "path", "required": True, "schema": schema})
    if one.query is not None:
        model = one.query.model_json_schema(ref_template=_REF)
        required = model.get("required", [])
        for name, value in model.get("properties", {}).items():
            found.append({"name": name, "in": "query", "required": name in required, "schema": value})
    if one.of_account:
        found.append(_header("Postroad-Account", "for which account an integration calls"))
    if one.creates:
        found.append(_header("Idempotency-Key", "1 to 255 ASCII signs; a repeated call is done once"))
    if one.name == "streamEvents":
        found.append(_header("Last-Event-ID", "where a broken stream goes on"))
    return found


def _header(name: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string", "maxLength": 60000 if name == "Last-Event-ID" else 255},
    }
