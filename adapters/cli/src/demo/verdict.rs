//! What the platform found, held against what is true of the lab.

use std::{fmt::Write as _, path::Path, time::Duration};

use indicatif::HumanCount;
use mrpf_console::called;
use mrpf_lab::{
    Prefix,
    demo::{Certificates, PORTS},
};
use mrpf_ports::{
    ManagerStore,
    store::{TaskFilter, TaskState, WorkflowRow},
};
use mrpf_tasks::WorkflowId;

use super::findings::Findings;
use crate::platform::PlatformError;

/// Most differences that are listed.
const LISTED: usize = 10;

/// Everything that the demo shows and is judged by.
#[derive(Debug)]
pub(super) struct Verdict {
    found: Findings,
    truth: Findings,
    /// Whether each address that the scope excludes is among the refusals.
    has_refused_addresses: bool,
    /// Endpoints among the excluded addresses.
    touched: usize,
    workflow: Option<WorkflowRow>,
    tasks: usize,
    succeeded: usize,
    failed: Vec<String>,
}

impl Verdict {
    /// Reads what a workflow has found, of hosts that show `certificates`; `excluded` is not to be touched.
    pub(super) fn read(
        store: &dyn ManagerStore,
        id: WorkflowId,
        excluded: &Prefix,
        certificates: &Certificates,
    ) -> Result<Self, PlatformError> {
        let found = Findings::stored(store, id)?;
        let refusals = store.refusals(id)?;
        let (mut workflow, mut tasks) = (None, Vec::new());
        store.transaction(&mut |tx| {
            workflow = tx.workflow(id)?;
            tasks = tx.tasks(TaskFilter::Of(id), usize::MAX)?;
            Ok(())
        })?;
        let failed = tasks.iter().filter(|task| task.state == TaskState::Failed);
        let failed = failed.map(|task| match &task.error {
            Some(error) => format!("{}: {error}", called(task)),
            None => called(task).to_owned(),
        });
        let touched = found.endpoints.iter().filter(|(ip, _)| excluded.contains(*ip)).count();
        Ok(Self {
            found,
            truth: Findings::truth(excluded, certificates),
            has_refused_addresses: refusals.iter().any(|row| row.what == excluded.to_string()),
            touched,
            workflow,
            tasks: tasks.len(),
            succeeded: tasks.iter().filter(|task| task.state == TaskState::Succeeded).count(),
            failed: failed.collect(),
        })
    }

    /// What is not as it should be, in a clause; `None` when all is.
    pub(super) fn faults(&self, has_ended: bool) -> Option<String> {
        let mut faults = Vec::new();
        let mut add = |is_fault: bool, what: &dyn std::fmt::Display| {
            if is_fault {
                faults.push(what.to_string());
            }
        };
        add(!has_ended, &"not come to its end");
        let wrong = self.found.beyond(&self.truth).len();
        add(wrong > 0, &format!("{wrong} wrong answers"));
        let missing = self.truth.beyond(&self.found).len();
        add(missing > 0, &format!("{missing} answers missing"));
        let is_refused = self.found.refused_names == self.truth.refused_names;
        add(!is_refused, &"refused other names than it should");
        add(!self.has_refused_addresses, &"no record of the addresses that it was not to touch");
        add(self.touched > 0, &"touched what it was not to touch");
        add(!self.failed.is_empty(), &format!("{} tasks that failed", self.failed.len()));
        (!faults.is_empty()).then(|| faults.join(", "))
    }

    /// All that the demo has to show.
    pub(super) fn table(
        &self,
        launched: usize,
        took: Duration,
        folder: &Path,
        asked: Option<&Path>,
    ) -> String {
        let mut text = format!("{:<30} {:>8} {:>8}\n", "", "found", "true");
        // A string takes every write.
        let mut row = |name: &str, count: &dyn Fn(&Findings) -> usize| {
            let [found, truth] = [&self.found, &self.truth]
                .map(|findings| HumanCount(count(findings) as u64).to_string());
            let _ = writeln!(text, "{name:<30} {found:>8} {truth:>8}");
        };
        row("names", &|it| it.names.len());
        row("names of certificates alone", &|it| it.shown_names.len());
        row("what DNS says of names", &|it| it.records.len());
        row("names out of scope", &|it| it.refused_names.len());
        for port in PORTS {
            row(&format!("hosts with port {port} open"), &|it| it.hosts_with(port));
        }
        row("ports that speak HTTP", &|it| it.speaking("http"));
        row("ports that speak TLS", &|it| it.speaking("tls"));
        row("hosts that show a certificate", &Findings::hosts_with_certificate);
        row("certificates", &|it| it.certificates.len());
        text.push('\n');
        let mut add = |name: &str, value: &str| {
            let _ = writeln!(text, "{name:<16} {value}");
        };
        let (wrong, missing) = (self.found.beyond(&self.truth), self.truth.beyond(&self.found));
        add("wrong", &wrong.len().to_string());
        add("missing", &format!("{} of {}", missing.len(), HumanCount(self.truth.count() as u64)));
        for (what, findings) in [("wrong", wrong), ("missing", missing)] {
            for finding in findings.into_iter().take(LISTED) {
                add("", &format!("{finding} is {what}"));
            }
        }
        add(
            "refused",
            &format!(
                "{} names of others and the addresses that the scope excludes; {} of these touched",
                self.found.refused_names.len(),
                self.touched
            ),
        );
        add("tasks", &format!("{} of {} succeeded", self.succeeded, self.tasks));
        for failed in self.failed.iter().take(LISTED) {
            add("", failed);
        }
        add(
            "workers",
            &format!("{launched} bare-metal workers launched on demand; idle, all have gone"),
        );
        add("time", &format!("{:.1} s", took.as_secs_f64()));
        add("data", &format!("{}: queue.db, store.db", folder.display()));
        let program = std::env::args().next().unwrap_or_else(|| "mrpf".to_owned());
        let data = asked.unwrap_or(folder).display();
        let id = self.workflow.as_ref().map(|row| row.id.to_string()).unwrap_or_default();
        add("to try next", &format!("{program} results --data {data} --model endpoint"));
        add("", &format!("{program} results --data {data} --model certificate"));
        add("", &format!("{program} results --data {data} {id} --refused"));
        add("", &format!("{program} status --data {data} {id}"));
        text.truncate(text.trim_end().len());
        text
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// Of a demo in which all went well.
    fn good() -> Verdict {
        let port = |last, port| (Ipv4Addr::new(198, 19, 0, last), port);
        let findings = Findings {
            endpoints: [port(1, 80), port(2, 443)].into(),
            services: [(port(2, 443), "tls".to_owned())].into(),
            shown: [(port(2, 443), 0, "a4".to_owned())].into(),
            certificates: ["a4".to_owned()].into(),
            names: ["a.example".to_owned()].into(),
            refused_names: ["b.example".to_owned()].into(),
            ..Findings::default()
        };
        Verdict {
            found: findings.clone(),
            truth: findings,
            has_refused_addresses: true,
            touched: 0,
            workflow: None,
            tasks: 2,
            succeeded: 2,
            failed: Vec::new(),
        }
    }

    #[track_caller]
    fn check_fault(spoil: impl FnOnce(&mut Verdict), fault: &str) {
        let mut verdict = good();
        spoil(&mut verdict);
        assert_eq!(verdict.faults(true).as_deref(), Some(fault));
    }

    #[test]
    fn nothing_that_is_not_so_goes_through() {
        assert_eq!(good().faults(true), None);
        assert_eq!(good().faults(false).as_deref(), Some("not come to its end"));
        let other = (Ipv4Addr::new(198, 19, 0, 9), 80);
        check_fault(|it| it.found.endpoints.extend([other]), "1 wrong answers");
        check_fault(|it| it.truth.endpoints.extend([other]), "1 answers missing");
        check_fault(|it| it.found.names.clear(), "1 answers missing");
        check_fault(|it| it.found.shown.clear(), "1 answers missing");
        check_fault(|it| it.found.services.clear(), "1 answers missing");
        check_fault(|it| it.truth.certificates.clear(), "1 wrong answers");
        check_fault(|it| it.truth.shown_names = it.truth.names.clone(), "1 answers missing");
        check_fault(|it| it.found.refused_names.clear(), "refused other names than it should");
        check_fault(
            |it| it.has_refused_addresses = false,
            "no record of the addresses that it was not to touch",
        );
        check_fault(|it| it.touched = 1, "touched what it was not to touch");
        check_fault(|it| it.failed.push("x".to_owned()), "1 tasks that failed");
    }

    #[test]
    fn the_table_says_what_was_found_and_where_it_lies() {
        let mut verdict = good();
        verdict.found.endpoints.remove(&(Ipv4Addr::new(198, 19, 0, 1), 80));
        let table = verdict.table(3, Duration::from_millis(20_500), Path::new("/x/data"), None);
        for line in [
            "hosts with port 80 open               0        1",
            "hosts with port 443 open              1        1",
            "hosts that show a certificate         1        1",
            "missing          1 of 6",
            "                 198.19.0.1:80 is missing",
            "workers          3 bare-metal workers launched on demand; idle, all have gone",
            "time             20.5 s",
            "data             /x/data: queue.db, store.db",
        ] {
            assert!(table.lines().any(|it| it == line), "{line:?} is missing:\n{table}");
        }
        assert!(table.contains("results --data /x/data --model endpoint"), "{table}");
    }
}
