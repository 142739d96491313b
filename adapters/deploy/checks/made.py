"""A stack of the template, made on moto's server."""

import base64
import io
import json
import socket
import subprocess
import time
import unittest
import urllib.error
import urllib.request
import zipfile

import boto3
from botocore.config import Config
from stack import RESOURCES, TEMPLATE

# What moto 5.2.5 makes nothing of in a template. cfn-lint has looked at these; here they are left out, and what refers to
# them gets a value that looks like theirs.
UNKNOWN = {
    "AWS::CloudWatch::Alarm",
    "AWS::EC2::InstanceConnectEndpoint",
    "AWS::EC2::VPCCidrBlock",
    "AWS::SecretsManager::Secret",
    "AWS::SQS::QueuePolicy",
}  # and of Fn::Cidr, of disks as large as their image, of all protocols without ports, of the name of a DBParameterGroup, of a Sub with an attribute that has a dot


def for_moto(value):
    """The template without what moto does not know."""
    if isinstance(value, list):
        return [for_moto(item) for item in value]
    if isinstance(value, dict):
        if value.get("Type") == "AWS::EC2::Subnet":
            ours = {k: v for k, v in value["Properties"].items() if k not in ("Ipv6CidrBlock", "AssignIpv6AddressOnCreation")}
            return {"Type": value["Type"], "Properties": for_moto(ours)}
        if value.get("IpProtocol") == "-1":
            return {"FromPort": -1, "ToPort": -1, **value}
        if "DeleteOnTermination" in value:
            return {"VolumeSize": 8, **value}
        if "Fn::Cidr" in value:
            return [f"10.87.{third}.0/24" for third in range(6)]
        referred = value.get("Ref")
        if referred == "DatabaseSettings":
            return "default.postgres15"
        if isinstance(referred, str) and RESOURCES.get(referred, {}).get("Type") == "AWS::SecretsManager::Secret":
            return f"arn:aws:secretsmanager:eu-central-1:123456789012:secret:{referred}-abcdef"
        if isinstance(value.get("Fn::Sub"), str):
            text = value["Fn::Sub"]
            for name in ("OwnerSecret", "InternalSecret", "BareMetalSecret"):
                text = text.replace(f"${{{name}}}", f"arn:aws:secretsmanager:eu-central-1:123456789012:secret:{name}-abcdef")
            text = text.replace("${Database.Endpoint.Address}", "database").replace("${Database.Endpoint.Port}", "5432")
            return {"Fn::Sub": text}
        return {key: for_moto(item) for key, item in value.items() if not (isinstance(item, dict) and item.get("Type") in UNKNOWN)}
    return value


class Made(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = subprocess.Popen(
            ["moto_server", "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        cls.addClassCleanup(server.wait)
        cls.addClassCleanup(server.kill)
        cls.endpoint = f"http://127.0.0.1:{port}"
        until = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{cls.endpoint}/moto-api/", timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                if time.monotonic() > until or server.poll() is not None:
                    raise
                time.sleep(0.1)
        cls.make()

    @classmethod
    def client(cls, service: str):
        return boto3.client(
            service,
            endpoint_url=cls.endpoint,
            region_name="eu-central-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            config=Config(retries={"total_max_attempts": 1}),
        )

    @classmethod
    def make(cls):
        bucket = cls.client("s3")
        bucket.create_bucket(Bucket="code", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        zipped = io.BytesIO()
        with zipfile.ZipFile(zipped, "w") as archive:
            archive.writestr("bootstrap", "")
        for key in ("external.zip", "internal.zip"):
            bucket.put_object(Bucket="code", Key=key, Body=zipped.getvalue())
        parameters = {
            "ImageId": cls.client("ec2").describe_images(Owners=["amazon"])["Images"][0]["ImageId"],
            "CodeBucket": "code",
            "ExternalZip": "external.zip",
            "InternalZip": "internal.zip",
        }
        stacks = cls.client("cloudformation")
        stacks.create_stack(
            StackName="mrpf",
            TemplateBody=json.dumps(for_moto(TEMPLATE)),
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        )
        cls.status = stacks.describe_stacks(StackName="mrpf")["Stacks"][0]
        resources = stacks.describe_stack_resources(StackName="mrpf")["StackResources"]
        cls.ids = {it["LogicalResourceId"]: it.get("PhysicalResourceId") for it in resources}

    def output(self, name: str) -> str:
        value, = [it["OutputValue"] for it in self.status["Outputs"] if it["OutputKey"] == name]
        return value

    def test_everything_in_the_template_is_made(self):
        self.assertEqual(self.status["StackStatus"], "CREATE_COMPLETE")
        expected = {name for name, it in RESOURCES.items() if it["Type"] not in UNKNOWN}
        self.assertEqual(set(self.ids), expected)

    def test_queues_have_their_dead_letters(self):
        queues = self.client("sqs")
        for name, visibility in (("External", "1800"), ("Internal", "1800"), ("BareMetal", "60"), ("TaskManager", "60")):
            url = self.output(f"{name}QueueUrl")
            attributes = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
            redrive = json.loads(attributes["RedrivePolicy"])
            dead = queues.get_queue_attributes(QueueUrl=self.ids[f"{name}DeadLetters"], AttributeNames=["QueueArn"])
            self.assertEqual(redrive["deadLetterTargetArn"], dead["Attributes"]["QueueArn"])
            self.assertEqual(int(redrive["maxReceiveCount"]), 10)
            self.assertEqual(attributes["VisibilityTimeout"], visibility)
            self.assertEqual(attributes["MaximumMessageSize"], "1048576")

    def test_both_functions_are_fed_by_their_queues(self):
        functions = self.client("lambda")
        fed = {}
        for it in functions.list_event_source_mappings()["EventSourceMappings"]:
            self.assertIn(it["BatchSize"], (4, 8))
            fed[it["EventSourceArn"].rsplit(":", 1)[1]] = it["FunctionArn"].split(":function:")[1].split(":")[0]
        self.assertEqual(fed, {"mrpf-external": "mrpf-external", "mrpf-internal": "mrpf-internal"})
        external = functions.get_function_configuration(FunctionName="mrpf-external")
        internal = functions.get_function_configuration(FunctionName="mrpf-internal")
        self.assertEqual(external.get("VpcConfig", {}).get("SubnetIds", []), [])
        self.assertEqual(len(internal["VpcConfig"]["SubnetIds"]), 3)
        self.assertEqual(external["Environment"]["Variables"]["EXTERNAL_QUEUE_URL"], self.output("ExternalQueueUrl"))
        # No secret of the sources was given, so none is asked for.
        self.assertNotIn("CENSYS_TOKEN", external["Environment"]["Variables"])

    def test_a_worker_starts_from_the_template_in_each_of_its_subnets(self):
        machines = self.client("ec2")
        subnets = self.output("BareMetalSubnets").split(",")
        described = machines.describe_subnets(SubnetIds=subnets)["Subnets"]
        self.assertEqual(len({it["AvailabilityZone"] for it in described}), 3)
        for subnet in subnets:
            launched = machines.run_instances(
                MinCount=1,
                MaxCount=1,
                LaunchTemplate={"LaunchTemplateName": "mathijs-worker-ami", "Version": "$Latest"},
                SubnetId=subnet,
                InstanceType="t4g.micro",
                InstanceInitiatedShutdownBehavior="terminate",
            )["Instances"][0]
            self.assertEqual(launched["SubnetId"], subnet)
            self.assertEqual([it["GroupId"] for it in launched["SecurityGroups"]], [self.ids["WorkerGroup"]])
            # What the manager's right to end a machine hangs on.
            self.assertIn({"Key": "aws:ec2launchtemplate:id", "Value": self.ids["WorkerTemplate"]}, launched["Tags"])
            self.assertTrue(launched.get("PublicIpAddress") or launched["NetworkInterfaces"][0].get("Association"))
        version, = machines.describe_launch_template_versions(
            LaunchTemplateName="mathijs-worker-ami", Versions=["$Latest"]
        )["LaunchTemplateVersions"]
        script = base64.b64decode(version["LaunchTemplateData"]["UserData"]).decode()
        self.assertIn(f"BARE_METAL_QUEUE_URL={self.output('BareMetalQueueUrl')}\n", script)
        self.assertNotIn("${", script)
