"""What the template says: lint, queues, networks, and who may do what."""

import subprocess
import unittest

import yaml
from stack import FILE, FOLDER, RESOURCES, TEMPLATE, VARIABLES, named, of_type

QUEUES = {
    "ExternalQueue": "ExternalDeadLetters",
    "InternalQueue": "InternalDeadLetters",
    "BareMetalQueue": "BareMetalDeadLetters",
    "TaskManagerQueue": "TaskManagerDeadLetters",
}
TAKE = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"}
GIVE = {"sqs:SendMessage", "sqs:GetQueueAttributes"}
LOOK = {"sqs:GetQueueUrl", "sqs:GetQueueAttributes"}
LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
INTERFACES = {
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
}


def several(value) -> list:
    return value if isinstance(value, list) else [value]


def statements(role: str, effect: str = "Allow") -> list:
    properties = RESOURCES[role]["Properties"]
    assert "ManagedPolicyArns" not in properties, f"{role}: what a managed policy allows is not seen here"
    return [
        statement
        for policy in properties["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == effect
    ]


def rights(role: str, effect: str = "Allow") -> dict:
    """Resource -> actions."""
    found = {}
    for statement in statements(role, effect):
        for resource in several(statement["Resource"]):
            found.setdefault(named(resource), set()).update(several(statement["Action"]))
    return found


class Template(unittest.TestCase):
    def test_cfn_lint_finds_nothing(self):
        lint = subprocess.run(["cfn-lint", "--", FILE], capture_output=True, text=True)
        self.assertEqual((lint.returncode, lint.stdout, lint.stderr), (0, "", ""))

    def test_it_is_small_enough_and_has_no_aliases(self):
        text = FILE.read_text()
        self.assertLess(len(text.encode()), 51_200, "larger templates must lie in S3")
        aliases = [token for token in yaml.scan(text) if isinstance(token, (yaml.AliasToken, yaml.AnchorToken))]
        self.assertEqual(aliases, [], "CloudFormation knows no aliases")

    def test_every_parameter_is_used(self):
        text = str({**RESOURCES, **TEMPLATE["Conditions"]})
        unused = [name for name in TEMPLATE["Parameters"] if f"'Ref': '{name}'" not in text and f"${{{name}}}" not in text]
        self.assertEqual(unused, [])


class Queues(unittest.TestCase):
    def test_four_queues_each_with_dead_letters_of_its_own(self):
        queues = of_type("AWS::SQS::Queue")
        redrive = {
            name: named(it["RedrivePolicy"]["deadLetterTargetArn"]) for name, it in queues.items() if "RedrivePolicy" in it
        }
        self.assertEqual(redrive, QUEUES)
        self.assertEqual(set(queues), set(QUEUES) | set(QUEUES.values()))
        for name, it in queues.items():
            self.assertTrue(it["SqsManagedSseEnabled"], name)
            self.assertEqual(it["MessageRetentionPeriod"], 14 * 24 * 3600, name)
            self.assertEqual(it["MaximumMessageSize"], 1_048_576, name)
        for queue, dead in QUEUES.items():
            self.assertGreaterEqual(queues[queue]["RedrivePolicy"]["maxReceiveCount"], 5)
            allowed = queues[dead]["RedriveAllowPolicy"]["sourceQueueArns"]
            name = queues[queue]["QueueName"]["Fn::Sub"]
            self.assertEqual([arn["Fn::Sub"].split("AccountId}:")[1] for arn in allowed], [name])

    def test_each_dead_letter_queue_has_an_alarm(self):
        watched = {named(it["Dimensions"][0]["Value"]) for it in of_type("AWS::CloudWatch::Alarm").values()}
        self.assertEqual(watched, set(QUEUES.values()))

    def test_messages_stay_hidden_six_times_as_long_as_their_function_may_run(self):
        mappings = of_type("AWS::Lambda::EventSourceMapping")
        self.assertEqual({named(it["EventSourceArn"]) for it in mappings.values()}, {"ExternalQueue", "InternalQueue"})
        for name, it in mappings.items():
            function = RESOURCES[named(it["FunctionName"])]["Properties"]
            queue = RESOURCES[named(it["EventSourceArn"])]["Properties"]
            self.assertGreaterEqual(queue["VisibilityTimeout"], 6 * function["Timeout"], name)
            self.assertEqual(it["FunctionResponseTypes"], ["ReportBatchItemFailures"], name)
            # Slots of `mrpf_worker::Settings`.
            self.assertEqual(it["BatchSize"], {"ExternalMapping": 8, "InternalMapping": 4}[name])
        self.assertIn("MaximumConcurrency", mappings["InternalMapping"]["ScalingConfig"])


class Rights(unittest.TestCase):
    def test_the_external_function_has_its_queue_and_its_log(self):
        self.assertEqual(
            rights("ExternalRole"),
            {
                "ExternalLogs": LOGS,
                "ExternalQueue": TAKE,
                "ExternalDeadLetters": LOOK,
                "TaskManagerQueue": GIVE,
                "TaskManagerDeadLetters": LOOK,
            },
        )
        self.assertNotIn("VpcConfig", RESOURCES["ExternalFunction"]["Properties"])
        self.assertNotIn("DATABASE_URL", RESOURCES["ExternalFunction"]["Properties"]["Environment"]["Variables"])

    def test_the_internal_function_has_its_queue_its_log_and_a_place_in_the_network(self):
        self.assertEqual(
            rights("InternalRole"),
            {
                "InternalLogs": LOGS,
                "InternalQueue": TAKE,
                "InternalDeadLetters": LOOK,
                "TaskManagerQueue": GIVE,
                "TaskManagerDeadLetters": LOOK,
                "*": INTERFACES,
            },
        )
        # Lambda itself places it; the code that runs in it may not.
        deny, = statements("InternalRole", "Deny")
        self.assertEqual(set(deny["Action"]), INTERFACES)
        self.assertTrue(deny["Condition"]["ArnEquals"]["lambda:SourceFunctionArn"]["Fn::Sub"].endswith("-internal"))
        self.assertIn("VpcConfig", RESOURCES["InternalFunction"]["Properties"])

    def test_a_worker_has_its_queue_and_its_secret_and_ends_no_machine(self):
        self.assertEqual(
            rights("WorkerRole"),
            {
                "BareMetalQueue": TAKE,
                "BareMetalDeadLetters": LOOK,
                "TaskManagerQueue": GIVE,
                "TaskManagerDeadLetters": LOOK,
                "BareMetalSecret": {"secretsmanager:GetSecretValue"},
            },
        )

    def test_the_manager_launches_by_the_template_alone(self):
        launches = [it for it in statements("ManagerRole") if it["Action"] == "ec2:RunInstances"]
        template = "launch-template/${WorkerTemplate}"
        for it in launches:
            resources = [named(resource) for resource in several(it["Resource"])]
            if len(resources) == 1 and resources[0].endswith(template):
                continue
            self.assertTrue(it["Condition"]["ArnEquals"]["ec2:LaunchTemplate"]["Fn::Sub"].endswith(template), it["Sid"])
            self.assertNotIn("*", resources, it["Sid"])
        instance, = [it for it in launches if it["Sid"] == "LaunchTheseTypes"]
        self.assertTrue(named(instance["Resource"]).endswith(":instance/*"))
        types = instance["Condition"]["StringEquals"]["ec2:InstanceType"]
        self.assertEqual(types, [{"Ref": "WorkerInstanceType"}, "t4g.micro", "t4g.small", "c8gd.medium", "c7g.medium"])
        self.assertEqual(named(instance["Condition"]["ArnEquals"]["ec2:InstanceProfile"]), "WorkerProfile")
        subnets = {named(resource).rsplit("/", 1)[1] for it in launches for resource in several(it["Resource"])} - {"*"}
        self.assertEqual(
            subnets, {"${WorkerTemplate}", "${PublicSubnetA}", "${PublicSubnetB}", "${PublicSubnetC}"}
        )

    def test_the_manager_ends_what_the_template_launched_and_hands_on_the_workers_role(self):
        found = {action: it for it in statements("ManagerRole") for action in several(it["Action"])}
        ending = found["ec2:TerminateInstances"]["Condition"]["StringEquals"]
        self.assertEqual(ending, {"aws:ResourceTag/aws:ec2launchtemplate:id": {"Ref": "WorkerTemplate"}})
        tagging = found["ec2:CreateTags"]["Condition"]["StringEquals"]
        self.assertEqual(tagging, {"ec2:CreateAction": "RunInstances"})
        self.assertEqual(named(found["iam:PassRole"]["Resource"]), "WorkerRole")
        self.assertEqual(
            found["iam:PassRole"]["Condition"]["StringEquals"], {"iam:PassedToService": "ec2.amazonaws.com"}
        )
        everywhere = {action for action in rights("ManagerRole")["*"]}
        self.assertEqual({action for action in everywhere if not action.startswith("ec2:Describe")}, set())

    def test_the_manager_gives_out_work_and_reads_dead_letters(self):
        manager = rights("ManagerRole")
        for queue in ("ExternalQueue", "InternalQueue", "BareMetalQueue"):
            self.assertEqual(manager[queue], GIVE, queue)
        self.assertEqual(manager["TaskManagerQueue"], GIVE | TAKE)
        for dead in QUEUES.values():
            self.assertEqual(manager[dead], TAKE | LOOK, dead)

    def test_nobody_may_do_everything(self):
        for role in of_type("AWS::IAM::Role"):
            for it in statements(role):
                for action in several(it["Action"]):
                    self.assertNotIn("*", action, role)


class Network(unittest.TestCase):
    def test_scan_traffic_is_not_tracked(self):
        group = RESOURCES["WorkerGroup"]["Properties"]
        for way in ("SecurityGroupIngress", "SecurityGroupEgress"):
            rules = {(it["IpProtocol"], it.get("CidrIp") or it.get("CidrIpv6")) for it in group[way]}
            self.assertEqual(rules, {("-1", "0.0.0.0/0"), ("-1", "::/0")}, way)

    def test_only_workers_are_reached_from_outside(self):
        open_groups = {
            name
            for name, it in of_type("AWS::EC2::SecurityGroup").items()
            for rule in it.get("SecurityGroupIngress", [])
            if rule.get("CidrIp") or rule.get("CidrIpv6")
        }
        self.assertEqual(open_groups, {"WorkerGroup"})
        routes = {named(it["RouteTableId"]) for it in of_type("AWS::EC2::Route").values()}
        self.assertEqual(routes, {"PublicRoutes"}, "the private subnets lead nowhere")
        self.assertFalse(RESOURCES["Database"]["Properties"]["PubliclyAccessible"])

    def test_what_is_private_reaches_aws_by_endpoints(self):
        services = {it["ServiceName"]["Fn::Sub"].rsplit(".", 1)[1]: it for it in of_type("AWS::EC2::VPCEndpoint").values()}
        self.assertEqual(set(services), {"sqs", "secretsmanager", "ec2", "sts", "s3"})
        for name, it in services.items():
            self.assertEqual(it["VpcEndpointType"], "Gateway" if name == "s3" else "Interface")
        self.assertEqual(of_type("AWS::EC2::NatGateway"), {})

    def test_the_database_is_encrypted_and_its_password_is_written_nowhere(self):
        database = RESOURCES["Database"]["Properties"]
        self.assertTrue(database["StorageEncrypted"])
        self.assertEqual(RESOURCES["DatabaseSettings"]["Properties"]["Parameters"], {"rds.force_ssl": "1"})
        self.assertTrue(database["MasterUserPassword"]["Fn::Sub"].startswith("{{resolve:secretsmanager:${OwnerSecret}"))
        self.assertEqual((RESOURCES["Database"]["DeletionPolicy"], database["DeletionProtection"]), ("Snapshot", True))

    def test_the_workers_template_is_as_the_manager_expects(self):
        worker = RESOURCES["WorkerTemplate"]["Properties"]
        self.assertEqual(worker["LaunchTemplateName"], {"Ref": "WorkerTemplateName"})
        self.assertEqual(TEMPLATE["Parameters"]["WorkerTemplateName"]["Default"], "mathijs-worker-ami")
        data = worker["LaunchTemplateData"]
        self.assertEqual(data["InstanceInitiatedShutdownBehavior"], "terminate")
        self.assertNotIn("NetworkInterfaces", data, "EC2 refuses them beside the subnet of a launch")
        for template in ("WorkerTemplate", "ManagerTemplate"):
            options = RESOURCES[template]["Properties"]["LaunchTemplateData"]["MetadataOptions"]
            self.assertEqual((options["HttpTokens"], options["HttpPutResponseHopLimit"]), ("required", 1), template)


class Variables(unittest.TestCase):
    def test_functions_are_told_by_names_that_the_programs_know(self):
        for name, it in of_type("AWS::Lambda::Function").items():
            self.assertLessEqual(set(it["Environment"]["Variables"]), VARIABLES, name)

    def test_the_programs_know_these_names(self):
        source = "".join(
            path.read_text()
            for crate in ("environment", "external")
            for path in (FOLDER.parent / crate / "src").rglob("*.rs")
        )
        self.assertEqual({name for name in VARIABLES - {"AWS_REGION"} if f'"{name}"' not in source}, set())
