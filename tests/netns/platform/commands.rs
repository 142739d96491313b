//! What needs no scan: files that are refused, ids, tables and pipes.

use std::{process::Stdio, time::Duration};

use mrpf_lab::{
    CertificateLog, Lab, certificate_log,
    gate::{self, Need},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use super::up::{Platform, wait};
use crate::world::{output, stderr};

const SOON: Duration = Duration::from_secs(60);
const HEAD: &str = "name = \"x\"\nscope = { domains = [\"a.example\"] }\n";

#[test]
fn bad_workflows_are_refused_with_line_and_field_and_nothing_is_stored() {
    let platform = Platform::new();
    let check = |text: &str, place: &str, why: &str| {
        let file = platform.write("bad.toml", text);
        let expected = format!("{file}:{place}");
        for flag in ["", " --check"] {
            let refused = platform.run(&format!("submit {file}{flag}"));
            let said = stderr(&refused);
            assert_eq!(refused.status.code(), Some(2), "{said}");
            assert!(said.contains(&expected) && said.contains(why), "{said}");
            assert!(refused.stdout.is_empty() && !platform.data().exists(), "it was stored");
        }
    };
    let task = |more: &str| format!("{HEAD}[[task]]\nname = \"b\"\n{more}");
    check("name = ", "1:8: ", "expected");
    check(
        "name = \"x\"\n[[task]]\nname = \"b\"\nrun = \"CrtSh\"\ninput.domain = \"a.example\"\n",
        "1: scope: ",
        "say which domains and addresses may be touched",
    );
    check(&task("run = \"TcpSynScann\"\n"), "5: task \"b\", run: ", "did you mean \"TcpSynScan\"?");
    check(
        &task("run = \"CrtSh\"\ninput.domain = \"a.example\"\nafter = [{ task = \"b\" }]\n"),
        "3: task \"b\": ",
        "waits for itself",
    );
    check(
        &format!(
            "{HEAD}[[task]]\nname = \"one\"\nrun = \"AggregateCount\"\ninput = {{ from = {{ task = \"two\" }} }}\n\
             [[task]]\nname = \"two\"\nrun = \"AggregateCount\"\ninput = {{ from = {{ task = \"one\" }} }}\n"
        ),
        "3: task \"one\": ",
        "waits for itself: one -> two -> one",
    );
    check(
        &format!(
            "{HEAD}[[collection]]\nname = \"c\"\n[[task]]\nname = \"b\"\nrun = \"Conditional\"\n[task.input]\n\
             from = {{ collection = \"c\" }}\ncondition = {{ count_over = 1 }}\n"
        ),
        "10: task \"b\", input.condition: ",
        "expected one of `count_at_least`",
    );
    check(
        &task(
            "run = \"CrtSh\"\ninput = { domain = \"a.example\" }\nafter = [{ task = \"b2\", on = \"maybe\" }]\n",
        ),
        "7: task \"b\", after[0].on: ",
        "succeeded, failed, finished, true or false",
    );
    check(
        &task(
            "run = \"TcpSynScan\"\n[task.input]\ntargets = [\"198.19.0.0/33\"]\nports = \"80\"\n",
        ),
        "7: task \"b\", input.targets[0]: ",
        "198.19.0.0/33",
    );
    check(
        &task("run = \"GenerateTargets\"\ninput = { ports = \"80-1\" }\n"),
        "6: ",
        "input.ports: ",
    );
    platform.check_refused("submit none.toml", "reading none.toml: ");
    platform.check_refused("submit recon", "say which domains and addresses may be touched");
    platform.check_refused(
        "submit recon --domain a.example --exclude 1.2.3.4/33",
        "--exclude 1.2.3.4/33",
    );
    let good =
        platform.write("good.toml", &task("run = \"CrtSh\"\ninput.domain = \"a.example\"\n"));
    platform.check_refused(&format!("submit {good} --domain a.example"), "are for recon");
    let checked = platform.run(&format!("submit {good} --check"));
    assert_eq!(checked.status.code(), Some(0), "{}", stderr(&checked));
    assert!(stderr(&checked).contains("nothing is submitted") && !platform.data().exists());
}

#[test]
fn a_folder_without_a_platform_says_how_to_start_one() {
    let platform = Platform::new();
    let mend = format!("mrpf up --data {}", platform.data().display());
    for words in
        ["status", "status 01", "results 01", "results --model domain", "cancel 01", "stop"]
    {
        platform.check_refused(words, &mend);
        assert!(!platform.data().exists(), "{words} made a folder");
    }
}

#[test]
fn kinds_of_task_are_listed_with_their_schemas() {
    let table = output(&["tasks"]);
    assert_eq!(table.status.code(), Some(0), "{}", stderr(&table));
    let table = String::from_utf8(table.stdout).unwrap();
    let scan = table.lines().find(|line| line.starts_with("TcpSynScan ")).unwrap();
    assert!(scan.contains("bare_metal") && scan.contains("RawSocketAccess"), "{scan}");
    for name in table.lines().skip(1).map(|line| line.split(' ').next().unwrap()) {
        let task = output(&["tasks", name]);
        let task: Value = serde_json::from_slice(&task.stdout).unwrap();
        assert_eq!(task["task"], name);
        assert!(task["input"].is_object() && task["output"].get("$schema").is_some(), "{task}");
    }
    let unknown = output(&["tasks", "Nmap"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(stderr(&unknown).contains("TcpSynScan"), "{}", stderr(&unknown));
}

#[test]
fn settings_that_are_wrong_keep_a_platform_from_starting() {
    let platform = Platform::new();
    for (name, value) in [
        ("CRTSH_BASE_URL", "crt.sh"),
        ("CENSYS_TOKEN", "a key"),
        ("MAX_BARE_METAL_WORKERS", "0"),
        ("BARE_METAL_IDLE_TIMEOUT_SECS", "0"),
        ("BARE_METAL_MAX_RATE", "max"),
    ] {
        let refused = platform.command("up").env(name, value).output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{name}: {}", stderr(&refused));
        assert!(stderr(&refused).contains(name), "{}", stderr(&refused));
    }
    let file = platform.write("file", "");
    let refused = output(&["up", "--data", &format!("{file}/below")]);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("give --data another folder"), "{}", stderr(&refused));
}

/// What is asked while nobody works, and after that.
#[test]
fn workflows_are_named_by_prefixes_and_give_what_they_found() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _lab = Lab::builder().start().unwrap();
    let (log, platform) = (CertificateLog::start().unwrap(), Platform::new());
    let domain = certificate_log::DOMAIN;
    let submit = format!("submit recon --domain {domain}");
    let first = platform.ask(&submit).trim().to_owned();
    let mut waiting = platform
        .command(&format!("{submit} --wait"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let all = wait("the second workflow is not there", SOON, || {
        Some(platform.rows("status --json")).filter(|rows| count(rows, "workflow") == 2)
    });
    let second = all.iter().filter(|row| row["type"] == "workflow" && row["id"] != first.as_str());
    let second = second.map(|row| row["id"].as_str().unwrap()).next().unwrap();
    // Of both: ids begin with the time.
    platform.check_refused(&format!("status {}", &first[..4]), "2 workflows have ids that begin");
    for words in ["status ffff", "status ffff --json", "results ffff", "cancel ffff"] {
        platform.check_refused(words, "no workflow has an id that begins with \"ffff\"");
    }
    platform
        .check_refused(&format!("results {first} --task none"), "it has any-open, count, crt-sh");
    assert_eq!(platform.rows(&format!("results {first}")), [] as [Value; 0]);
    let human = platform.ask("status");
    assert!(human.contains(&first) && human.contains(second), "{human}");
    assert!(human.contains("bare-metal workers: 0 of 0"), "{human}");

    // Whoever waits goes, and the workflow does not. timeout(1) passes signals on.
    kill(Pid::from_raw(i32::try_from(waiting.id()).unwrap()), Signal::SIGTERM).unwrap();
    assert!(wait("it waits for ever", SOON, || waiting.try_wait().unwrap()).code() == Some(130));
    let up = platform.up(&[("CRTSH_BASE_URL", &log.url())]);
    platform.ends(&first, "succeeded", SOON);
    // Which may have been done as well by now.
    platform.ask(&format!("cancel {second}"));

    let upper = first.to_uppercase();
    let names = platform.rows(&format!("results {upper} --task names"));
    let mut names: Vec<&str> = names.iter().map(|row| row["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, certificate_log::in_scope());
    let items = platform.rows(&format!("results {first}"));
    assert!(items.iter().filter(|row| row["task"] == "names").count() == names.len());
    assert_eq!(platform.rows("results --model domain").len(), names.len());
    assert_eq!(platform.rows("results --model endpoint"), [] as [Value; 0]);
    let status = platform.rows(&format!("status {first} --json"));
    assert_eq!((&status[0]["state"], count(&status, "collection")), (&"succeeded".into(), 3));
    assert_eq!(count(&status, "tasks"), 11, "{status:?}");

    for words in ["results --model domain", "status", "tasks"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = platform.command(words);
        if words == "tasks" {
            command = crate::world::command(&["tasks"]);
        }
        let closed = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let closed = closed.wait_with_output().unwrap();
        assert_eq!((closed.status.code(), stderr(&closed).as_str()), (Some(0), ""), "{words}");
    }
    assert_eq!(up.end(Signal::SIGHUP).0, Some(0), "a terminal that goes away");
}

fn count(rows: &[Value], of: &str) -> usize {
    rows.iter().filter(|row| row["type"] == of).count()
}

/// After `sudo mrpf up` a user without sudo is told that the folder is another's.
#[test]
fn a_folder_of_somebody_else_is_told_from_one_without_a_platform() {
    if !gate::is_root_of_machine() {
        eprintln!(
            "SKIPPED: platform::a_folder_of_somebody_else_is_told_from_one_without_a_platform: needs root, to give it up"
        );
        return;
    }
    let (platform, program) = (Platform::new(), crate::command::readable_by_all());
    platform.ask("submit recon --domain a.example");
    for words in
        ["status", "results --model domain", "stop", "submit recon --domain a.example", "up"]
    {
        let refused = super::up::ordinary(&program.path().join("mrpf"))
            .args(words.split(' '))
            .arg("--data")
            .arg(platform.data())
            .output()
            .unwrap();
        let said = stderr(&refused);
        assert_eq!(refused.status.code(), Some(2), "{words}: {said}");
        assert!(
            said.contains("Permission denied") && said.contains("with sudo"),
            "{words}: {said}"
        );
    }
}
