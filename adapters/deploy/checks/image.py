"""What runs on the machines: user data, units, firewall, logins. Run here, with stand-ins for AWS and systemd."""

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
import unittest
from pathlib import Path

from stack import FOLDER, VARIABLES, user_data

IMAGE = FOLDER / "image"
PASSWORD = "s3cretS3cret"


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


class UserData(unittest.TestCase):
    """Each script, run with /etc/mrpf elsewhere and stand-ins for the commands of a machine on AWS."""

    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.calls = self.folder / "calls"
        self.calls.touch()
        (self.folder / "bin").mkdir()
        program(self.folder / "bin/systemctl", f'echo "systemctl $*" >>{self.calls}')
        program(self.folder / "bin/aws", f'echo "aws $*" >>{self.calls}; echo {PASSWORD}')

    def start(self, template: str) -> subprocess.CompletedProcess:
        script = self.folder / "user-data"
        program(script, user_data(template).replace("/etc/mrpf", f"{self.folder}/etc"))
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        return subprocess.run([script], env={"PATH": path}, capture_output=True, text=True)

    def settings(self, name: str) -> dict:
        file = self.folder / "etc" / name
        self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o600)
        # What systemd and a shell make of a line is the same, or mrpf-platform would not know what the manager does.
        shell = ["env", "-i", "bash", "-c", 'set -a; . "$1"; exec env --null', "-", file]
        sourced = subprocess.run(shell, capture_output=True, text=True).stdout.split("\0")
        own = {"PWD", "SHLVL", "_", ""}
        return {name: value for name, _, value in (line.partition("=") for line in sourced) if name not in own}

    def test_a_worker_is_told_and_started(self):
        ran = self.start("WorkerTemplate")
        self.assertEqual((ran.returncode, ran.stdout + ran.stderr), (0, ""))
        settings = self.settings("worker.env")
        self.assertLessEqual(set(settings), VARIABLES)
        self.assertLess({"BARE_METAL_QUEUE_URL", "TASK_MANAGER_QUEUE_URL", "AWS_REGION"}, set(settings))
        self.assertIn(f"mrpf_bare_metal_login:{PASSWORD}@the.Database.Endpoint.Address:", settings["DATABASE_URL"])
        self.assertTrue(settings["DATABASE_URL"].endswith("?sslmode=verify-full&sslrootcert=/usr/local/share/mrpf/rds.pem"))
        calls = self.calls.read_text().splitlines()
        self.assertIn("--secret-id the.BareMetalSecret ", calls[0])
        self.assertEqual(calls[1:], ["systemctl start mrpf-worker"])

    def test_a_manager_is_told_and_started(self):
        ran = self.start("ManagerTemplate")
        self.assertEqual((ran.returncode, ran.stdout + ran.stderr), (0, ""))
        settings = self.settings("manager.env")
        self.assertLessEqual(set(settings), VARIABLES)
        self.assertEqual(len([name for name in settings if name.endswith("_QUEUE_URL")]), 4)
        self.assertIn(f"mrpf_owner:{PASSWORD}@", settings["DATABASE_URL"])
        self.assertEqual(settings["BARE_METAL_WORKER_SUBNETS"].count(","), 2)
        self.assertEqual(settings["BARE_METAL_LAUNCH_TEMPLATE"], "mathijs-worker-ami")
        self.assertEqual(self.settings("logins.env")["PGPASSWORD"], PASSWORD)
        self.assertIn("systemctl start mrpf-manager", self.calls.read_text())
        self.assertNotIn("poweroff", self.calls.read_text())

    def test_a_machine_that_cannot_be_told_powers_itself_off(self):
        program(self.folder / "bin/aws", "echo no credentials >&2; exit 255")
        for template in ("WorkerTemplate", "ManagerTemplate"):
            self.calls.write_text("")
            self.assertNotEqual(self.start(template).returncode, 0)
            self.assertEqual(self.calls.read_text(), "systemctl poweroff\n", template)

    def test_a_worker_that_does_not_start_takes_its_machine_with_it(self):
        program(self.folder / "bin/systemctl", f'echo "$*" >>{self.calls}; [[ $1 != start ]]')
        self.assertNotEqual(self.start("WorkerTemplate").returncode, 0)
        self.assertEqual(self.calls.read_text().splitlines()[-1], "poweroff")


class Units(unittest.TestCase):
    def test_systemd_understands_every_unit(self):
        if not shutil.which("systemd-analyze"):
            self.skipTest("systemd-analyze is not here (Debian: systemd)")
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        # It looks for the programs, which are not installed here.
        units = []
        for unit in sorted(IMAGE.glob("*.service")):
            text = unit.read_text()
            for path in ("/usr/local/bin/mrpf-worker", "/usr/local/bin/mrpf-manager", "/usr/local/libexec/mrpf/logins", "/usr/sbin/nft"):
                text = text.replace(f"={path}", "=/bin/true")
            units.append(folder / unit.name)
            units[-1].write_text(text)
        self.assertEqual(len(units), 4)
        verify = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True)
        ours = [line for line in verify.stderr.splitlines() if "mrpf-" in line]
        self.assertEqual((verify.returncode, ours), (0, []), verify.stderr)

    def test_a_worker_that_ends_ends_its_machine_and_has_two_powers_of_root(self):
        unit = (IMAGE / "mrpf-worker.service").read_text().splitlines()
        for line in (
            "ExecStart=/usr/local/bin/mrpf-worker --keep-machine",
            "SuccessAction=poweroff",
            "FailureAction=poweroff",
            "Restart=no",
            "DynamicUser=yes",
            "NoNewPrivileges=yes",
            "CapabilityBoundingSet=CAP_NET_RAW CAP_NET_ADMIN",
            "Requires=mrpf-firewall.service",
            "ConditionPathExists=/etc/mrpf/worker.env",
        ):
            self.assertIn(line, unit)


class Firewall(unittest.TestCase):
    RULES = IMAGE / "firewall.nft"

    def test_it_tracks_nothing(self):
        rules = [line.split("#")[0].split() for line in self.RULES.read_text().splitlines()]
        self.assertEqual([words for words in rules if "ct" in words or "nat" in words], [])

    def test_connections_get_out_and_none_gets_in(self):
        alone = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
        if not shutil.which("nft") or subprocess.run([*alone, "true"], capture_output=True).returncode:
            self.skipTest("needs nft and namespaces")
        ran = subprocess.run(
            [*alone, "bash", "-euc", BOTH_WAYS, "-", self.RULES], capture_output=True, text=True, timeout=60
        )
        self.assertEqual((ran.returncode, ran.stdout.split()), (0, ["out", "refused"]), ran.stderr)


# A machine (this namespace) with the firewall, and a neighbour across a veth: a connection from the machine to the neighbour
# carries data back; one from the neighbour to a port that listens on the machine comes to nothing.
BOTH_WAYS = r"""
ip link set lo up
unshare --net sleep 60 & neighbour=$!
trap 'kill $neighbour' EXIT
until [[ $(readlink /proc/$neighbour/ns/net) != $(readlink /proc/self/ns/net) ]]; do sleep 0.02; done
beyond() { nsenter --net=/proc/$neighbour/ns/net "$@"; }
ip link add here type veth peer name there netns $neighbour
ip address add 192.0.2.1/24 dev here && ip link set here up
beyond ip address add 192.0.2.2/24 dev there && beyond ip link set there up
nft -f "$1"
listen='import socket,sys
s = socket.create_server((sys.argv[1], 2200))
print("up", flush=True)
c, _ = s.accept()
c.sendall(b"out\n")'
connect='import socket,sys
try:
    print(socket.create_connection((sys.argv[1], 2200), timeout=2).recv(9).decode().strip(), flush=True)
except TimeoutError:
    print("refused", flush=True)'
coproc beyond python3 -c "$listen" 192.0.2.2
read -r -u "${COPROC[0]}" _
python3 -c "$connect" 192.0.2.2
python3 -c "$listen" 192.0.2.1 >/dev/null & server=$!
until ss -Htln | grep -q 192.0.2.1:2200; do sleep 0.02; done
beyond python3 -c "$connect" 192.0.2.1
kill $server
"""


class Scripts(unittest.TestCase):
    def test_bash_understands_them(self):
        scripts = [IMAGE / name for name in ("install", "logins", "mrpf-platform")]
        for script in [*scripts, FOLDER / "check", FOLDER / "lambda-zips"]:
            self.assertEqual(subprocess.run(["bash", "-n", script]).returncode, 0, script)
            self.assertTrue(os.access(script, os.X_OK), script)


class Logins(unittest.TestCase):
    """The script, on a PostgreSQL of its own."""

    def setUp(self):
        servers = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        if not servers or not shutil.which("psql"):
            self.skipTest("PostgreSQL is not here (Debian: postgresql)")
        self.bin = servers[-1]
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory(dir="/tmp")))
        self.data = self.folder / "data"
        # The server refuses to run as root.
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self.folder.chmod(0o755)
        self.data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            shutil.chown(self.data, "postgres")
        self.server("initdb", "--no-sync", "--auth=scram-sha-256", "--username=super", f"--pwfile={self.password_file()}", "-D", self.data)
        options = f"-c listen_addresses='' -c unix_socket_directories={self.data} -c fsync=off"
        self.server("pg_ctl", "--wait", "-D", self.data, "-l", self.data / "log", "-o", options, "start")
        self.addCleanup(self.server, "pg_ctl", "-D", self.data, "-m", "immediate", "stop")
        # An owner as RDS gives one: it makes roles, and is no superuser.
        self.sql("super", PASSWORD, "CREATE ROLE mrpf_owner LOGIN CREATEROLE PASSWORD 'own'")
        self.sql("super", PASSWORD, "CREATE DATABASE mrpf OWNER mrpf_owner")

    def password_file(self) -> Path:
        file = self.folder / "password"
        file.write_text(PASSWORD)
        return file

    def server(self, name: str, *arguments) -> None:
        ran = subprocess.run([self.bin / name, *arguments], user=self.user, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/")
        self.assertEqual(ran.returncode, 0, ran.stderr)

    def environment(self, user: str, password: str) -> dict:
        return {
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "PGHOST": str(self.data),
            "PGDATABASE": "postgres" if user == "super" else "mrpf",
            "PGUSER": user,
            "PGPASSWORD": password,
        }

    def sql(self, user: str, password: str, text: str) -> str:
        command = ["psql", "-XAtq", "--set", "ON_ERROR_STOP=1", "-c", text]
        ran = subprocess.run(command, env=self.environment(user, password), capture_output=True, text=True)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        return ran.stdout.strip()

    def logins(self, suffix: str) -> subprocess.CompletedProcess:
        (self.folder / "bin").mkdir(exist_ok=True)
        program(self.folder / "bin/aws", f'[[ $* == "secretsmanager get-secret-value --secret-id "* ]] && echo "$4{suffix}"')
        secrets = {"INTERNAL_SECRET": "aaaa", "BARE_METAL_SECRET": "bbbb"}
        return subprocess.run([IMAGE / "logins"], env=self.environment("mrpf_owner", "own") | secrets, capture_output=True, text=True)

    def test_logins_are_members_of_their_roles_and_have_the_passwords_of_the_secrets(self):
        early = self.logins("")
        self.assertNotEqual(early.returncode, 0, "the roles are the manager's to make, and are waited for")
        self.sql("mrpf_owner", "own", "CREATE ROLE mrpf_internal; CREATE ROLE mrpf_bare_metal")
        for suffix in ("", "Changed"):
            ran = self.logins(suffix)
            self.assertEqual(ran.returncode, 0, ran.stderr)
            self.assertNotRegex(ran.stdout + ran.stderr, "aaaa|bbbb")
            for login, role, secret in (
                ("mrpf_internal_login", "mrpf_internal", "aaaa"),
                ("mrpf_bare_metal_login", "mrpf_bare_metal", "bbbb"),
            ):
                member = "SELECT rolname FROM pg_roles WHERE pg_has_role(rolname, 'member') AND rolname <> current_user"
                self.assertEqual(self.sql(login, secret + suffix, member), role)
