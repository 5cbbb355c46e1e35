"""The roles of ``deploy/deployer.yaml`` may do what a deployment needs, for its stage only."""

import re
from fnmatch import fnmatchcase
from typing import Any

import pytest
from cfnlint.decode import cfn_yaml

from deploy.companion import companion
from local.child_process import PROJECT
from tests.aws.conftest import PARAMETERS, transform
from tests.aws.test_template import lint

PATH = PROJECT / "deploy" / "deployer.yaml"
RESOURCES: dict[str, Any] = cfn_yaml.load(str(PATH))["Resources"]

REGION, ACCOUNT = "eu-central-1", "123456789012"


def arn(service: str, resource: str, *, region: str = REGION, account: str = ACCOUNT) -> str:
    return f"arn:aws:{service}:{region}:{account}:{resource}"


FUNCTION = arn("lambda", "function:punch-clock-prod-intake")
ROLE = arn("iam", "role/punch-clock-prod-IntakeRole-1ABC", region="")
API = arn("apigateway", "/restapis/abc", account="")
APIS = arn("apigateway", "/restapis", account="")
ALARM = arn("cloudwatch", "alarm:punch-clock-prod-ParkedAlarm-1ABC")
DASHBOARD = arn("cloudwatch", "dashboard/punch-clock-prod", region="")
JOURNAL = "arn:aws:s3:::punch-clock-prod-journal-123456789012-eu-central-1"
TABLE = arn("dynamodb", "table/punch-clock-prod-point-record")
QUEUE = arn("sqs", "punch-clock-prod-failures")
TOPIC = arn("sns", "punch-clock-prod-alarms")
GROUP = arn("logs", "log-group:/aws/lambda/punch-clock-prod-intake")
RULE = arn("events", "rule/punch-clock-prod-ReplicateEvent-1ABC")
APPLICATION = arn("codedeploy", "application:punch-clock-prod-ServerlessDeploymentApplication-1")
DEPLOYMENTS = arn(
    "codedeploy", "deploymentgroup:punch-clock-prod-Serverless-1/punch-clock-prod-I-1"
)
ACCESS_LOG = arn("logs", "log-group:/aws/apigateway/punch-clock-prod")
DOMAIN = arn("apigateway", "/domainnames/api.example.com", account="")
API_STAGE = arn("apigateway", "/restapis/abc/stages/api", account="")
ACL = arn("wafv2", "regional/webacl/punch-clock-prod/0123")
TARGET = arn("application-autoscaling", "scalable-target/0123")

# What CloudFormation calls to create, update and delete each type of the templates, by the
# permissions of its handlers in the CloudFormation registry.
NEEDS: dict[str, list[tuple[str, str]]] = {
    "AWS::ApiGateway::BasePathMapping": [
        ("apigateway:POST", f"{DOMAIN}/basepathmappings"),
        ("apigateway:DELETE", f"{DOMAIN}/basepathmappings/(none)"),
    ],
    "AWS::ApiGateway::DomainName": [
        ("apigateway:POST", arn("apigateway", "/domainnames", account="")),
        ("apigateway:PATCH", DOMAIN),
        ("apigateway:DELETE", DOMAIN),
        ("iam:CreateServiceLinkedRole", "*"),
    ],
    "AWS::ApiGateway::Deployment": [("apigateway:POST", API), ("apigateway:DELETE", API)],
    "AWS::ApiGateway::RestApi": [("apigateway:POST", APIS), ("apigateway:PUT", API)],
    "AWS::ApiGateway::Stage": [("apigateway:PATCH", API), ("apigateway:GET", API)],
    "AWS::ApplicationAutoScaling::ScalableTarget": [
        ("application-autoscaling:RegisterScalableTarget", TARGET),
        ("application-autoscaling:DeregisterScalableTarget", TARGET),
        ("application-autoscaling:PutScheduledAction", TARGET),
        ("application-autoscaling:DescribeScalableTargets", "*"),
        ("iam:CreateServiceLinkedRole", "*"),
    ],
    "AWS::CloudWatch::Alarm": [
        ("cloudwatch:PutMetricAlarm", ALARM),
        ("cloudwatch:DeleteAlarms", ALARM),
        ("cloudwatch:DescribeAlarms", "*"),
    ],
    "AWS::CloudWatch::Dashboard": [
        ("cloudwatch:PutDashboard", DASHBOARD),
        ("cloudwatch:DeleteDashboards", DASHBOARD),
    ],
    "AWS::CodeDeploy::Application": [
        ("codedeploy:CreateApplication", APPLICATION),
        ("codedeploy:DeleteApplication", APPLICATION),
    ],
    "AWS::CodeDeploy::DeploymentGroup": [
        ("codedeploy:CreateDeploymentGroup", DEPLOYMENTS),
        ("codedeploy:UpdateDeploymentGroup", DEPLOYMENTS),
        ("codedeploy:DeleteDeploymentGroup", DEPLOYMENTS),
        ("iam:PassRole", ROLE),
    ],
    "AWS::DynamoDB::Table": [
        ("dynamodb:CreateTable", TABLE),
        ("dynamodb:UpdateTable", TABLE),
        ("dynamodb:UpdateContinuousBackups", TABLE),
        ("dynamodb:DescribeTable", TABLE),
        ("dynamodb:DeleteTable", TABLE),
        ("dynamodb:TagResource", TABLE),
    ],
    "AWS::S3::Bucket": [
        ("s3:CreateBucket", JOURNAL),
        ("s3:PutBucketVersioning", JOURNAL),
        ("s3:PutBucketObjectLockConfiguration", JOURNAL),
        ("s3:PutEncryptionConfiguration", JOURNAL),
        ("s3:PutBucketPublicAccessBlock", JOURNAL),
        ("s3:PutBucketOwnershipControls", JOURNAL),
        ("s3:PutLifecycleConfiguration", JOURNAL),
        ("s3:GetBucketLocation", JOURNAL),
        ("s3:DeleteBucket", JOURNAL),
        ("s3:TagResource", JOURNAL),
    ],
    "AWS::S3::BucketPolicy": [
        ("s3:PutBucketPolicy", JOURNAL),
        ("s3:GetBucketPolicy", JOURNAL),
        ("s3:DeleteBucketPolicy", JOURNAL),
    ],
    "AWS::Events::Rule": [
        ("events:PutRule", RULE),
        ("events:PutTargets", RULE),
        ("events:RemoveTargets", RULE),
        ("events:DeleteRule", RULE),
    ],
    "AWS::IAM::Role": [
        ("iam:CreateRole", ROLE),
        ("iam:PutRolePolicy", ROLE),
        ("iam:AttachRolePolicy", ROLE),
        ("iam:DeleteRole", ROLE),
        ("iam:TagRole", ROLE),
    ],
    "AWS::Lambda::Alias": [
        ("lambda:CreateAlias", FUNCTION),
        ("lambda:UpdateAlias", f"{FUNCTION}:live"),
        ("codedeploy:CreateDeployment", DEPLOYMENTS),
        ("codedeploy:GetDeploymentConfig", arn("codedeploy", "deploymentconfig:CodeDeploy.X")),
    ],
    "AWS::Lambda::EventInvokeConfig": [
        ("lambda:PutFunctionEventInvokeConfig", FUNCTION),
        ("lambda:DeleteFunctionEventInvokeConfig", FUNCTION),
    ],
    "AWS::Lambda::Function": [
        ("lambda:CreateFunction", FUNCTION),
        ("lambda:UpdateFunctionCode", FUNCTION),
        ("lambda:UpdateFunctionConfiguration", FUNCTION),
        ("lambda:PutFunctionConcurrency", FUNCTION),
        ("lambda:DeleteFunction", FUNCTION),
        ("lambda:TagResource", FUNCTION),
        ("iam:PassRole", ROLE),
        ("s3:GetObject", "arn:aws:s3:::code/punch-clock-prod/0123"),
        ("ec2:DescribeSubnets", "*"),
        ("ec2:DescribeSecurityGroups", "*"),
        ("ec2:DescribeVpcs", "*"),
    ],
    "AWS::Lambda::Permission": [
        ("lambda:AddPermission", FUNCTION),
        ("lambda:RemovePermission", FUNCTION),
    ],
    "AWS::Lambda::Version": [("lambda:PublishVersion", FUNCTION)],
    "AWS::Logs::LogGroup": [
        ("logs:CreateLogGroup", GROUP),
        ("logs:PutRetentionPolicy", GROUP),
        ("logs:DeleteLogGroup", GROUP),
        ("logs:CreateLogGroup", ACCESS_LOG),
        ("logs:PutRetentionPolicy", ACCESS_LOG),
        ("logs:DescribeLogGroups", "*"),
    ],
    "AWS::SNS::Topic": [("sns:CreateTopic", TOPIC), ("sns:DeleteTopic", TOPIC)],
    "AWS::SQS::Queue": [("sqs:CreateQueue", QUEUE), ("sqs:DeleteQueue", QUEUE)],
    "AWS::SQS::QueuePolicy": [("sqs:SetQueueAttributes", QUEUE)],
    "AWS::WAFv2::WebACL": [
        ("wafv2:CreateWebACL", ACL),
        ("wafv2:UpdateWebACL", ACL),
        ("wafv2:GetWebACL", ACL),
        ("wafv2:DeleteWebACL", ACL),
        ("wafv2:TagResource", ACL),
    ],
    "AWS::WAFv2::WebACLAssociation": [
        ("wafv2:AssociateWebACL", ACL),
        ("apigateway:SetWebACL", API_STAGE),
        ("wafv2:AssociateWebACL", API_STAGE),
        ("wafv2:DisassociateWebACL", API_STAGE),
        ("wafv2:GetWebACLForResource", API_STAGE),
    ],
}


def statements(role: str, stage: str = "prod") -> list[dict[str, Any]]:
    """Return the statements of a role's policies, with the values of its pseudo parameters."""
    values = {
        "Stage": stage,
        "Bucket": "code",
        "Repository": "acme/punch",
        "AWS::AccountId": ACCOUNT,
    }
    values["AWS::Partition"] = "aws"

    def substituted(resource: Any) -> str:
        match resource:
            case {"Fn::Sub": text}:
                return re.sub(r"\$\{([\w:]+)\}", lambda found: values[found[1]], text)
            case {"Fn::GetAtt": _}:
                return "a role of this template"
        return str(resource)

    found = []
    for policy in RESOURCES[role]["Properties"]["Policies"]:
        for each in policy["PolicyDocument"]["Statement"]:
            of = each["Resource"] if isinstance(each["Resource"], list) else [each["Resource"]]
            actions = each["Action"] if isinstance(each["Action"], list) else [each["Action"]]
            found.append(
                {"Action": actions, "Resource": [substituted(resource) for resource in of]}
            )
    return found


def allows(role: str, action: str, resource: str, stage: str = "prod") -> bool:
    return any(
        action in each["Action"] and any(fnmatchcase(resource, of) for of in each["Resource"])
        for each in statements(role, stage)
    )


@pytest.fixture(scope="module")
def types(template: dict[str, Any]) -> set[str]:
    """The types of all resources that either way of deployment creates."""
    chosen = {**PARAMETERS, "IntakeDeployment": "Canary10Percent5Minutes", "WarmIntake": "700"}
    transformed = transform(template, chosen)["Resources"]
    beside = companion("prod")["Resources"]
    return {each["Type"] for each in [*transformed.values(), *beside.values()]}


def test_cloudformation_may_make_each_type_of_the_templates(types: set[str]) -> None:
    """On failure, add what a new type needs here and to ``deploy/deployer.yaml``."""
    assert set(NEEDS) == types
    missing = [
        (kind, *need)
        for kind, needs in NEEDS.items()
        for need in needs
        if not allows("CloudFormation", *need)
    ]
    assert missing == []


def test_no_role_reaches_another_stage() -> None:
    for needs in NEEDS.values():
        for action, resource in needs:
            # An API and a scalable target have no name.
            if "punch-clock-prod" in resource:
                assert not allows("CloudFormation", action, resource, stage="test"), resource


def test_no_role_runs_functions_or_reads_records_and_secrets() -> None:
    for role in ("Proposer", "Executor", "CloudFormation"):
        actions = {action for each in statements(role) for action in each["Action"]}
        assert not [each for each in actions if "*" in each]
        for forbidden in ("lambda:InvokeFunction", "dynamodb:Scan", "ssm:GetParameter"):
            assert not allows(role, forbidden, FUNCTION)
            assert forbidden not in actions


def test_who_proposes_does_not_execute() -> None:
    stack = arn("cloudformation", "stack/punch-clock-prod/1")
    assert allows("Proposer", "cloudformation:CreateChangeSet", stack)
    assert not allows("Proposer", "cloudformation:ExecuteChangeSet", stack)
    assert allows("Executor", "cloudformation:ExecuteChangeSet", stack)
    environments = {}
    for role in ("Proposer", "Executor"):
        (trust,) = RESOURCES[role]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        conditions = trust["Condition"]["StringEquals"]
        assert conditions["token.actions.githubusercontent.com:aud"] == "sts.amazonaws.com"
        environments[role] = conditions["token.actions.githubusercontent.com:sub"]["Fn::Sub"]
    assert environments == {
        "Proposer": "repo:${Repository}:environment:${Stage}-changes",
        "Executor": "repo:${Repository}:environment:${Stage}",
    }


def test_template_of_the_roles_passes_cfn_lint() -> None:
    assert lint(PATH) == ""
