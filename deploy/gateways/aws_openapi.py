"""Makes an import for AWS API Gateway (a REST API) of our own description of the API.

NOT RUN THERE: no test reaches AWS. The document is made and read in the tests; import it into a
stage of your own before use (docs/gateways.md).

    curl -H "X-API-Key: $KEY" https://ml.example.org/openapi.json > openapi.json
    python deploy/gateways/aws_openapi.py openapi.json --upstream https://nginx.example.org \\
        --user-pool "$USER_POOL_ARN" > import.json
    aws apigateway import-rest-api --body fileb://import.json

Every path and method of the description gets an integration that hands the request on. A caller is
verified by a user pool of Cognito; `sub` of its token goes to the application in
X-Gateway-Identity, in place of what the caller wrote, and API Gateway proves itself by the client
certificate of its stage. Bodies are not checked there: API Gateway reads OpenAPI 3.0, ours is 3.1,
and the application checks every value anyway.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

METHODS = ("get", "head", "post", "put", "patch", "delete", "options")
INSIDE = frozenset({"/metrics"})  # for monitoring on the inside, not for the world
_PARAMETER = re.compile(r"\{([A-Za-z0-9_]+)\}")
# What API Gateway refuses by itself, by its own names, with our codes and titles.
REFUSALS = {
    "UNAUTHORIZED": (401, "unauthorized", "Valid credentials are required"),
    "ACCESS_DENIED": (403, "forbidden", "This credential may not do this"),
    "RESOURCE_NOT_FOUND": (404, "not_found", "There is nothing at this address"),
    "REQUEST_TOO_LARGE": (413, "body_too_large", "The body is too large"),
    "THROTTLED": (429, "rate_limited", "Too many requests"),
    "INTEGRATION_FAILURE": (502, "bad_gateway", "The server behind the gateway failed"),
    "INTEGRATION_TIMEOUT": (504, "gateway_timeout", "The server behind the gateway took too long"),
}


def convert(described: Mapping[str, Any], upstream: str, user_pool: str) -> dict[str, Any]:
    """Return the import; ``described`` is our OpenAPI document, ``upstream`` Nginx's address."""
    paths: dict[str, Any] = {}
    for path, method, operation in operations(described):
        paths.setdefault(path, {})[method] = converted(path, method, operation, upstream)
    return {
        "openapi": "3.0.1",
        "info": dict(described["info"]),
        # Only by the domain of your own, which has your certificate and TLS 1.2 at least.
        "servers": [
            {"x-amazon-apigateway-endpoint-configuration": {"disableExecuteApiEndpoint": True}}
        ],
        "paths": paths,
        "components": {"securitySchemes": {"callers": authorizer(user_pool)}},
        "x-amazon-apigateway-gateway-responses": {
            name: refusal(*words) for name, words in REFUSALS.items()
        },
    }


def operations(described: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield path, method and operation of everything that the world may ask for."""
    for path, item in described["paths"].items():
        if path in INSIDE:
            continue
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def converted(
    path: str, method: str, operation: Mapping[str, Any], upstream: str
) -> dict[str, Any]:
    """Return one operation of the import; a public one names no caller."""
    named = _PARAMETER.findall(path)
    mapped = {f"integration.request.path.{name}": f"method.request.path.{name}" for name in named}
    # Nginx takes the address of callers from this header, as deploy/nginx/ceilings.conf says.
    mapped["integration.request.header.X-Caller-Address"] = "context.identity.sourceIp"
    public = not any(operation.get("security") or ())
    # Of a public route the header is emptied, so that what a caller writes arrives nowhere.
    identity = "''" if public else "context.authorizer.claims.sub"
    mapped["integration.request.header.X-Gateway-Identity"] = identity
    found: dict[str, Any] = {
        "responses": {"default": {"description": "What the application answers"}},
        "x-amazon-apigateway-integration": {
            "type": "http_proxy",
            "httpMethod": method.upper(),
            "uri": f"{upstream.rstrip('/')}{path}",
            "connectionType": "INTERNET",
            "passthroughBehavior": "when_no_match",
            "timeoutInMillis": 29000,
            "requestParameters": mapped,
        },
    }
    if named:
        text = {"type": "string"}
        found["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": text} for name in named
        ]
    if not public:
        found["security"] = [{"callers": []}]
    return found


def authorizer(user_pool: str) -> dict[str, Any]:
    """Return the scheme by which API Gateway verifies tokens of a user pool."""
    return {
        "type": "apiKey",
        "name": "Authorization",
        "in": "header",
        "x-amazon-apigateway-authtype": "cognito_user_pools",
        "x-amazon-apigateway-authorizer": {
            "type": "cognito_user_pools",
            "providerARNs": [user_pool],
        },
    }


def refusal(status: int, code: str, title: str) -> dict[str, Any]:
    """Return how API Gateway words a refusal of its own (RFC 9457)."""
    words = {"type": f"urn:secureml:problem:{code}", "title": title, "status": status, "code": code}
    return {
        "statusCode": str(status),
        "responseParameters": {
            "gatewayresponse.header.Content-Type": "'application/problem+json'",
            "gatewayresponse.header.Cache-Control": "'no-store'",
            "gatewayresponse.header.Strict-Transport-Security": "'max-age=63072000'",
        },
        "responseTemplates": {
            "application/json": json.dumps({**words, "id": "$context.requestId"})
        },
    }


def main() -> None:
    """Print the import."""
    parser = argparse.ArgumentParser(description="Make an import for AWS API Gateway.")
    parser.add_argument("description", type=Path, help="what GET /openapi.json answered")
    parser.add_argument("--upstream", required=True, help="the https address of Nginx")
    parser.add_argument("--user-pool", required=True, help="the ARN of the callers' user pool")
    given = parser.parse_args()
    if not given.upstream.startswith("https://"):
        parser.error("--upstream is not https; fix: name Nginx's https address")
    described = json.loads(given.description.read_text("utf-8"))
    json.dump(convert(described, given.upstream, given.user_pool), sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
