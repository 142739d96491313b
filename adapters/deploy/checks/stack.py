"""The template as data: functions in their long form, and values with what they refer to put in."""

import re
from pathlib import Path

from cfnlint.decode import cfn_yaml

FOLDER = Path(__file__).resolve().parent.parent
FILE = FOLDER / "stack.yaml"
TEMPLATE = cfn_yaml.load(str(FILE))
RESOURCES = TEMPLATE["Resources"]
# design.md, section 5, and the one of the SDK's own that says where all this is.
VARIABLES = {
    "AWS_REGION",
    "BARE_METAL_IDLE_TIMEOUT_SECS",
    "BARE_METAL_LAUNCH_TEMPLATE",
    "BARE_METAL_MAX_RATE",
    "BARE_METAL_QUEUE_URL",
    "BARE_METAL_WORKER_SUBNETS",
    "CENSYS_BASE_URL",
    "CENSYS_ORGANIZATION_ID",
    "CENSYS_TOKEN",
    "CRTSH_BASE_URL",
    "DATABASE_URL",
    "EXTERNAL_QUEUE_URL",
    "INTERNAL_QUEUE_URL",
    "MAX_BARE_METAL_WORKERS",
    "MRPF_LOG",
    "SHODAN_API_KEY",
    "SHODAN_BASE_URL",
    "TASK_MANAGER_QUEUE_URL",
}


def of_type(kind: str) -> dict:
    """Resources of a type, by name."""
    return {name: it["Properties"] for name, it in RESOURCES.items() if it["Type"] == kind}


def named(value) -> str:
    """The resource that an ARN, a Ref or a Sub is of, or the text itself."""
    if isinstance(value, dict):
        (function, argument), = value.items()
        if function == "Fn::GetAtt":
            return argument[0] if isinstance(argument, list) else argument.split(".")[0]
        return argument
    return value


def filled(text: str) -> str:
    """A Sub with parameters as they are by default, and `the.NAME` for what only a stack has."""

    def fill(match: re.Match) -> str:
        parameter = TEMPLATE["Parameters"].get(match[1], {})
        return str(parameter.get("Default") or f"the.{match[1].replace('::', '.')}")

    return re.sub(r"\$\{([A-Za-z0-9:.]+)\}", fill, text)


def user_data(template: str) -> str:
    """The script that machines of a launch template run at their first start."""
    return filled(RESOURCES[template]["Properties"]["LaunchTemplateData"]["UserData"]["Fn::Base64"]["Fn::Sub"])
