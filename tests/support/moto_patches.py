"""Patch moto where it differs from AWS. Each patch states the difference."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from moto.apigateway.models import APIGatewayBackend, RestAPI, apigateway_backends
from moto.awslambda.models import LambdaVersion
from moto.awslambda.utils import get_backend
from moto.core.common_models import CloudFormationModel

# Resource types that moto's CloudFormation does not implement. Only cfn-lint checks them.
UNKNOWN_TO_MOTO = {
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApiGateway::BasePathMapping",
    "AWS::ApiGateway::DomainName",
    "AWS::ApiGateway::Stage",
    "AWS::CloudWatch::Alarm",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::S3::BucketPolicy",
    "AWS::SQS::QueuePolicy",
    "AWS::WAFv2::WebACL",
    "AWS::WAFv2::WebACLAssociation",
}


@contextmanager
def rest_apis_from_swagger() -> Iterator[None]:
    """Make moto accept an API body in Swagger 2.0, as AWS does.

    moto reads only OpenAPI 3, and Chalice writes Swagger 2.0. Both spell paths, methods and
    integrations alike, and moto reads nothing else. moto also requires a description of the API,
    which is optional in AWS, and its CloudFormation ignores the body of an API.
    """
    load: Any = APIGatewayBackend.import_rest_api
    put: Any = APIGatewayBackend.put_rest_api
    create: Any = RestAPI.create_from_cloudformation_json

    def put_swagger(self: Any, function_id: str, api_doc: dict[str, Any], **options: Any) -> Any:
        document = {key: value for key, value in api_doc.items() if key != "swagger"}
        options["fail_on_warnings"] = False
        return put(self, function_id, {**document, "openapi": "3.0.0"}, **options)

    def load_swagger(self: Any, api_doc: dict[str, Any], fail_on_warnings: bool) -> Any:
        info = {"description": "", **api_doc["info"]}
        return load(self, {**api_doc, "info": info}, fail_on_warnings)

    def create_with_body(
        cls: Any, name: str, template: dict[str, Any], account: str, region: str, **options: Any
    ) -> Any:
        api = create(name, template, account, region, **options)
        body = template["Properties"]["Body"]
        return put_swagger(apigateway_backends[account][region], api.id, body)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(APIGatewayBackend, "import_rest_api", load_swagger)
        patch.setattr(APIGatewayBackend, "put_rest_api", put_swagger)
        patch.setattr(RestAPI, "create_from_cloudformation_json", classmethod(create_with_body))  # type: ignore[arg-type]
        yield


class Alias(CloudFormationModel):
    """Makes moto's CloudFormation create aliases, by moto's own Lambda.

    moto has no such model. It collects the subclasses of ``CloudFormationModel`` when it creates
    its first stack, so importing this module is enough.
    """

    def __init__(self, arn: str) -> None:
        self.physical_resource_id = arn

    @staticmethod
    def cloudformation_name_type() -> str:
        return ""

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::Lambda::Alias"

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
        **_: Any,
    ) -> "Alias":
        del resource_name
        alias = cloudformation_json["Properties"]
        made = get_backend(account_id, region_name).create_alias(
            alias["Name"], alias["FunctionName"], alias["FunctionVersion"], "", ""
        )
        return cls(made.arn)


@contextmanager
def numbered_versions() -> Iterator[None]:
    """Make moto's CloudFormation return the number of a version, the attribute ``Version``."""

    def get_cfn_attribute(self: LambdaVersion, attribute_name: str) -> str:
        assert attribute_name == "Version"
        return str(self.version)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LambdaVersion, "get_cfn_attribute", get_cfn_attribute, raising=False)
        yield
