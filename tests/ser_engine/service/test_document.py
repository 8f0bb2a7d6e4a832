"""The OpenAPI document, and what schemathesis makes of it."""

from __future__ import annotations

import pytest
import schemathesis
import torch
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.ser_engine.service.conftest import Running, problem

POSITIVE, NEGATIVE = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
CASES = [(path, POSITIVE) for path in ("/v1/analyze", "/v1/models", "/healthz", "/readyz", "/metrics", "/v1/batches")]
CASES.append(("/v1/batches/{id}", POSITIVE))
CASES += [(path, NEGATIVE) for path in ("/v1/analyze", "/v1/batches")]  # the others take nothing that could be wrong
QUICK = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize(("path", "mode"), CASES)
def test_every_answer_is_documented(path: str, mode: schemathesis.GenerationMode, shared: Running) -> None:
    # A library of another test may have set it for the thread; Hypothesis refuses to draw floats then.
    torch.set_flush_denormal(False)
    schema = schemathesis.openapi.from_dict(shared.http.get("/openapi.json").json())
    schema.config.update(base_url=shared.url)
    (operation,) = schema[path].values()

    @QUICK
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Case) -> None:
        # What the document calls a recording may be any bytes.
        case.call_and_validate(timeout=30, excluded_checks=[positive_data_acceptance])

    ask()


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
