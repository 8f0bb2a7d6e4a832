"""The OpenAPI document, and what schemathesis makes of it."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case

from tests.ser_engine.service.conftest import Running, problem

schema = schemathesis.pytest.from_fixture("document")


@pytest.fixture(scope="session")
def document(shared: Running) -> schemathesis.BaseSchema:
    found = schemathesis.openapi.from_dict(shared.http.get("/openapi.json").json())
    found.config.update(base_url=shared.url)
    return found


@schema.parametrize()
@settings(
    max_examples=12, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
def test_every_answer_is_documented(case: Case) -> None:
    case.call_and_validate(timeout=30)


def test_every_error_has_an_example_that_is_a_problem(shared: Running) -> None:
    document = shared.http.get("/openapi.json").json()
    for path, item in document["paths"].items():
        for operation in item.values():
            assert operation["summary"] and operation["description"], path
            for status, response in operation["responses"].items():
                if int(status) < 400:
                    continue
                ((kind, content),) = response["content"].items()
                assert kind == "application/problem+json"
                assert content["examples"] and content["schema"] == {"$ref": "#/components/schemas/ProblemDetails"}
                for example in content["examples"].values():
                    assert example["value"]["status"] == int(status)
    assert {"408", "413", "415", "422", "503"} <= document["paths"]["/v1/analyze"]["post"]["responses"].keys()
    assert "example" in document["paths"]["/v1/analyze"]["post"]["responses"]["200"]["content"]["application/json"]


def test_the_models_are_named(shared: Running) -> None:
    document = shared.http.get("/openapi.json").json()
    (model,) = [each for each in document["paths"]["/v1/analyze"]["post"]["parameters"] if each["name"] == "model"]
    assert model["schema"]["examples"] == ["tiny-heads"]
    problem(shared.http.get("/openapi.yaml"))
