"""The edge of the template: domain, WAF, throttles, access log and traces, each by a parameter."""

import json
from typing import Any

import pytest

from chalicelib.settings import Settings
from deploy.capacity.facts import limit
from local.child_process import PROJECT
from tests.aws.conftest import PARAMETERS, transform
from tests.support.deployed_template import PROD

DOMAIN = {
    "DomainName": "api.example.com",
    "CertificateArn": "arn:aws:acm:eu-central-1:1:certificate/x",
}
EDGE = ("Domain", "DomainMapping", "WebAcl", "WebAclOfApi", "AccessLogGroup")


def evaluated(value: Any, template: dict[str, Any], parameters: dict[str, str]) -> Any:
    """Return a value of the template with conditions and parameters evaluated."""
    match value:
        case {"Condition": str(name)}:
            return evaluated(template["Conditions"][name], template, parameters)
        case {"Fn::Not": [each]}:
            return not evaluated(each, template, parameters)
        case {"Fn::Equals": [one, other]}:
            return str(evaluated(one, template, parameters)) == str(
                evaluated(other, template, parameters)
            )
        case {"Fn::Or": several}:
            return any(evaluated(each, template, parameters) for each in several)
        case {"Fn::If": [condition, chosen, otherwise]}:
            holds = evaluated({"Condition": condition}, template, parameters)
            return evaluated(chosen if holds else otherwise, template, parameters)
        case {"Ref": str(name)} if name in parameters:
            return parameters[name]
        case dict():
            members = {key: evaluated(each, template, parameters) for key, each in value.items()}
            return {key: each for key, each in members.items() if each != {"Ref": "AWS::NoValue"}}
        case list():
            return [evaluated(each, template, parameters) for each in value]
    return value


def edge(template: dict[str, Any], **changed: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the stage, and the resources of the edge that exist with these parameters."""
    parameters = PARAMETERS | changed
    document = transform(template, parameters)
    resources = document["Resources"]
    [stage] = [each for each in resources.values() if each["Type"] == "AWS::ApiGateway::Stage"]
    existing = {
        name: evaluated(resources[name]["Properties"], document, parameters)
        for name in EDGE
        if evaluated({"Condition": resources[name]["Condition"]}, document, parameters)
    }
    return evaluated(stage["Properties"], document, parameters), existing


def test_everything_is_off_by_default(template: dict[str, Any]) -> None:
    stage, existing = edge(template)
    assert existing == {}
    assert stage["TracingEnabled"] is False
    assert "AccessLogSetting" not in stage
    for name in ("DomainName", "CertificateArn", "BasePath", "PublicUrl", "WafRate", "AccessLog"):
        assert str(template["Parameters"][name]["Default"]) == PARAMETERS[name]


def test_domain_has_tls_1_2_and_leads_to_the_stage(template: dict[str, Any]) -> None:
    stage, existing = edge(template, **DOMAIN)
    assert set(existing) == {"Domain", "DomainMapping"}
    assert existing["Domain"]["SecurityPolicy"] == "TLS_1_2"
    assert existing["Domain"]["DomainName"] == "api.example.com"
    assert existing["DomainMapping"]["RestApiId"] == stage["RestApiId"] == {"Ref": "RestAPI"}
    assert "BasePath" not in existing["DomainMapping"]
    _, with_path = edge(template, **DOMAIN, BasePath="punch")
    assert with_path["DomainMapping"]["BasePath"] == "punch"
    [rule] = template["Rules"]["DomainHasCertificate"]["Assertions"]
    for chosen, valid in (({}, True), (DOMAIN, True), ({"DomainName": "x.y"}, False)):
        assert evaluated(rule["Assert"], template, {**PARAMETERS, **chosen}) is valid


def test_waf_blocks_an_address_beyond_its_rate_and_samples_no_tokens(
    template: dict[str, Any],
) -> None:
    _, existing = edge(template, WafRate="30000")
    acl = existing["WebAcl"]
    [rule] = acl["Rules"]
    rate = rule["Statement"]["RateBasedStatement"]
    assert (rate["Limit"], rate["EvaluationWindowSec"]) == ("30000", 60)
    assert rule["Action"] == {"Block": {}}
    assert acl["DefaultAction"] == {"Allow": {}}
    # Samples contain the headers of requests.
    assert "true" not in json.dumps(
        [each["VisibilityConfig"]["SampledRequestsEnabled"] for each in (acl, rule)]
    )
    assert "/stages/" in existing["WebAclOfApi"]["ResourceArn"]["Fn::Sub"]
    assert "${RestAPI.Stage}" not in json.dumps(existing)
    body = template["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]
    refusal = body["x-amazon-apigateway-gateway-responses"]["WAF_FILTERED"]
    assert refusal["statusCode"] == 503
    assert refusal["responseParameters"]["gatewayresponse.header.Retry-After"] == "'2'"


def test_queries_cannot_use_up_the_rate_of_punches(template: dict[str, Any]) -> None:
    stage, _ = edge(template, QueryRate="300")
    settings = {
        (each["HttpMethod"], each["ResourcePath"]): each for each in stage["MethodSettings"]
    }
    others = settings["*", "/*"]
    assert others["ThrottlingRateLimit"] == others["ThrottlingBurstLimit"] == "300"
    for method in ("POST", "OPTIONS"):  # a web app's punch follows its preflight
        punches = settings[method, "/~1point-record"]
        assert (punches["ThrottlingRateLimit"], punches["ThrottlingBurstLimit"]) == (10_000, 5_000)
    assert all(each["MetricsEnabled"] for each in settings.values())


def test_rate_of_queries_is_what_lambda_lets_their_environments_serve(
    template: dict[str, Any],
) -> None:
    rate = PROD["lambda_functions"]["api_handler"]["reserved_concurrency"] * limit(
        "Lambda, requests a second and environment"
    )
    assert template["Parameters"]["QueryRate"]["Default"] == int(PARAMETERS["QueryRate"]) == rate
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    assert f"\nQUERY_RATE := {rate:.0f}\n" in makefile


def test_access_log_has_neither_a_token_nor_a_query(template: dict[str, Any]) -> None:
    stage, existing = edge(template, AccessLog="true")
    setting = stage["AccessLogSetting"]
    assert setting["DestinationArn"] == {"Fn::GetAtt": ["AccessLogGroup", "Arn"]}
    line = json.loads(setting["Format"])
    assert {"requestId", "address", "route", "status", "error"} <= set(line)
    assert not any(
        word in setting["Format"].lower() for word in ("authoriz", "query", "context.path")
    )
    assert existing["AccessLogGroup"]["RetentionInDays"] == 90


def test_tracing_covers_the_stage(template: dict[str, Any]) -> None:
    assert edge(template, Tracing="Active")[0]["TracingEnabled"] is True


@pytest.mark.parametrize("function", ["APIHandler", "Intake"])
def test_public_url_is_a_setting_of_what_writes_links(
    template: dict[str, Any], function: str
) -> None:
    variables = template["Resources"][function]["Properties"]["Environment"]["Variables"]
    chosen = {**PARAMETERS, "PublicUrl": "https://api.example.com/punch"}
    public_url = evaluated(variables, template, chosen)["PUBLIC_URL"]
    assert Settings.from_env({"PUBLIC_URL": public_url}).public_url == chosen["PublicUrl"]
    assert "PUBLIC_URL" not in evaluated(variables, template, PARAMETERS)
