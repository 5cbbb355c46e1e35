"""The deployment fits into AWS's quotas, under the longest name of a stage and in any region.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
"""

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import boto3

from deploy import companion
from deploy.merge_template import read
from deploy.package import model_configuration
from tests.aws.conftest import PARAMETERS
from tests.support.deployed_template import CHALICE, FUNCTIONS

LONGEST_STAGE = "a" * 15
# The most characters of a name, by the property of the template that has it.
MAX_NAME = {
    "FunctionName": 64,
    "BucketName": 63,
    "TableName": 255,
    "QueueName": 80,
    "LogGroupName": 512,
    "DashboardName": 255,
    "AlarmName": 255,
    "TopicName": 256,
    "Name": 128,
}


def test_template_fits_into_cloudformation(packaged: Path, transformed: dict[str, Any]) -> None:
    assert packaged.stat().st_size < 1_000_000
    assert len(json.dumps(transformed)) < 1_000_000
    assert len(transformed["Resources"]) <= 500
    assert len(transformed["Parameters"]) <= 200
    assert len(transformed["Outputs"]) <= 200
    for each in transformed["Parameters"].values():
        assert len(each.get("Description", "")) <= 4_000
    assert set(PARAMETERS) == set(transformed["Parameters"])


def test_names_fit_for_the_longest_stage_in_the_region_with_the_longest_name() -> None:
    regions = {
        region
        for partition in boto3.session.Session().get_available_partitions()
        for region in boto3.session.Session().get_available_regions("s3", partition)
        # Isolated regions are no place for this service.
        if "iso" not in region
    }
    values = {
        "AWS::AccountId": "1" * 12,
        "AWS::Region": max(regions, key=len),
        "AWS::StackName": f"punch-clock-{LONGEST_STAGE}",
        "AWS::Partition": "aws-us-gov",
    }
    named = set()
    for resource in read(LONGEST_STAGE)["Resources"].values():
        for name, longest in MAX_NAME.items():
            value = resource.get("Properties", {}).get(name)
            text = value.get("Fn::Sub") if isinstance(value, dict) else value
            if isinstance(text, str):
                full = re.sub(r"\$\{([\w:]+)\}", lambda match: values[match[1]], text)
                assert len(full) <= longest, full
                named.add(name)
    assert {"FunctionName", "BucketName", "TableName", "QueueName"} <= named
    for function in model_configuration(LONGEST_STAGE)["lambda_functions"]:
        # Chalice names roles like functions, and adds "-event" to the names of schedules.
        assert len(f"punch-clock-{LONGEST_STAGE}-{function}-event") <= 64


def test_stack_beside_chalice_fits_into_cloudformation_without_a_bucket(tmp_path: Path) -> None:
    companion.write(LONGEST_STAGE, tmp_path / "companion.json")
    assert (tmp_path / "companion.json").stat().st_size <= companion.MAX_BYTES


def test_roles_of_functions_fit_into_iam() -> None:
    for function in FUNCTIONS:
        policy = json.loads((CHALICE / f"policy-prod-{function}.json").read_text())
        # IAM counts no white space.
        assert len(re.sub(r"\s", "", json.dumps(policy))) <= 10_240


def test_code_fits_into_lambda(packaged: Path) -> None:
    archive = packaged.with_name("deployment.zip")
    assert archive.stat().st_size <= 50 * 1024**2  # Chalice uploads it without a bucket
    with zipfile.ZipFile(archive) as packed:
        assert sum(each.file_size for each in packed.infolist()) <= 250 * 1024**2


def test_api_fits_into_api_gateway(template: dict[str, Any]) -> None:
    paths = template["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]["paths"]
    assert len({path for full in paths for path in _prefixes(full)}) <= 300
    for each in FUNCTIONS:
        configured = model_configuration("prod")["lambda_functions"][each]
        assert configured["lambda_timeout"] <= (29 if each in ("api_handler", "intake") else 900)


def _prefixes(path: str) -> list[str]:
    """Return the resources of a path: API Gateway has one for each segment."""
    segments = path.strip("/").split("/")
    return ["/".join(segments[:count]) for count in range(1, len(segments) + 1)]
