//! What the platform found, held against what is true of the lab.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    time::Duration,
};

use indicatif::HumanCount;
use mrpf_console::called;
use mrpf_lab::{
    Prefix, certificate_log,
    demo::{self, HOSTS, PORTS, Truth},
};
use mrpf_ports::{
    ManagerStore,
    store::{ModelRow, RefusalRow, TaskFilter, TaskState, WorkflowRow},
};
use mrpf_tasks::{WorkflowId, catalogue::Model};

use crate::platform::PlatformError;

/// Rows read at a time.
const ROWS: usize = 5_000;
/// Most differences that are listed.
const LISTED: usize = 10;

/// Everything that the demo shows and is judged by.
#[derive(Debug)]
pub(super) struct Verdict {
    endpoints: Compared<(Ipv4Addr, u16)>,
    names: Compared<String>,
    /// Names that were refused as out of scope.
    refused_names: Compared<String>,
    /// Whether each address that the scope excludes is among the refusals.
    has_refused_addresses: bool,
    /// Endpoints among the excluded addresses.
    touched: usize,
    workflow: Option<WorkflowRow>,
    tasks: usize,
    succeeded: usize,
    failed: Vec<String>,
}

/// What was found and what is true.
#[derive(Debug)]
struct Compared<T> {
    found: BTreeSet<T>,
    truth: BTreeSet<T>,
}

impl<T: Ord> Compared<T> {
    fn wrong(&self) -> impl Iterator<Item = &T> {
        self.found.difference(&self.truth)
    }

    fn missing(&self) -> impl Iterator<Item = &T> {
        self.truth.difference(&self.found)
    }

    fn is_true(&self) -> bool {
        self.found == self.truth
    }
}

impl Verdict {
    /// Reads what a workflow has found; `excluded` is not to be touched.
    pub(super) fn read(
        store: &dyn ManagerStore,
        id: WorkflowId,
        excluded: &Prefix,
    ) -> Result<Self, PlatformError> {
        let (mut endpoints, mut names) = (BTreeSet::new(), BTreeSet::new());
        for model in [Model::Domain, Model::Endpoint] {
            each(store, model, |row| match row {
                ModelRow::Endpoint(row) => {
                    if let IpAddr::V4(ip) = row.ip {
                        endpoints.insert((ip, row.port));
                    }
                }
                ModelRow::Domain(row) => {
                    names.insert(row.name.to_string());
                }
                _ => {}
            })?;
        }
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
        let touched = endpoints.iter().filter(|(ip, _)| excluded.contains(*ip)).count();
        let is_name = |row: &&RefusalRow| row.what.contains(|c: char| c.is_ascii_alphabetic());
        let refused = refusals.iter().filter(is_name).map(|row| row.what.clone()).collect();
        Ok(Self {
            endpoints: Compared { found: endpoints, truth: open_ports(excluded) },
            names: Compared {
                found: names,
                truth: certificate_log::in_scope().into_iter().collect(),
            },
            refused_names: Compared {
                found: refused,
                truth: certificate_log::out_of_scope().into_iter().collect(),
            },
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
        let wrong = self.endpoints.wrong().count() + self.names.wrong().count();
        add(wrong > 0, &format!("{wrong} wrong answers"));
        let missing = self.endpoints.missing().count() + self.names.missing().count();
        add(missing > 0, &format!("{missing} answers missing"));
        add(!self.refused_names.is_true(), &"refused other names than it should");
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
        let mut text = format!("{:<24} {:>8} {:>8}\n", "", "found", "true");
        // A string takes every write.
        let mut row = |name: &str, found: usize, truth: usize| {
            let (found, truth) = (HumanCount(found as u64), HumanCount(truth as u64));
            let _ = writeln!(text, "{name:<24} {:>8} {:>8}", found.to_string(), truth.to_string());
        };
        row("names", self.names.found.len(), self.names.truth.len());
        row("names out of scope", self.refused_names.found.len(), self.refused_names.truth.len());
        for port in PORTS {
            let count =
                |all: &BTreeSet<(Ipv4Addr, u16)>| all.iter().filter(|it| it.1 == port).count();
            row(
                &format!("hosts with port {port} open"),
                count(&self.endpoints.found),
                count(&self.endpoints.truth),
            );
        }
        text.push('\n');
        let mut add = |name: &str, value: &str| {
            let _ = writeln!(text, "{name:<16} {value}");
        };
        let total = HumanCount((self.endpoints.truth.len() + self.names.truth.len()) as u64);
        let wrong = self.endpoints.wrong().count() + self.names.wrong().count();
        add("wrong", &wrong.to_string());
        let missing = self.endpoints.missing().count() + self.names.missing().count();
        add("missing", &format!("{missing} of {total}"));
        let lists = [
            ("wrong", self.endpoints.wrong().collect::<Vec<_>>()),
            ("missing", self.endpoints.missing().collect()),
        ];
        for (what, ports) in lists {
            for (ip, port) in ports.into_iter().take(LISTED) {
                add("", &format!("{ip}:{port} is {what}"));
            }
        }
        add(
            "refused",
            &format!(
                "{} names of others and the addresses that the scope excludes; {} of these touched",
                self.refused_names.found.len(),
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
        add("", &format!("{program} results --data {data} {id} --refused"));
        add("", &format!("{program} status --data {data} {id}"));
        text.truncate(text.trim_end().len());
        text
    }
}

fn each(
    store: &dyn ManagerStore,
    model: Model,
    mut take: impl FnMut(ModelRow),
) -> Result<(), PlatformError> {
    let mut after: Option<String> = None;
    loop {
        let rows = store.list(model, after.as_deref(), ROWS)?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = Some(last.key());
        rows.into_iter().for_each(&mut take);
    }
}

/// What is open in the lab, but for `excluded`.
fn open_ports(excluded: &Prefix) -> BTreeSet<(Ipv4Addr, u16)> {
    let addrs = (HOSTS.first().to_bits()..=HOSTS.last().to_bits()).map(Ipv4Addr::from_bits);
    addrs
        .filter(|addr| !excluded.contains(*addr))
        .flat_map(|addr| PORTS.map(|port| (addr, port)))
        .filter(|(addr, port)| demo::truth(*addr, *port) == Truth::Open)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared<T: Ord + Clone>(all: &[T]) -> Compared<T> {
        Compared { found: all.iter().cloned().collect(), truth: all.iter().cloned().collect() }
    }

    /// Of a demo in which all went well.
    fn good() -> Verdict {
        Verdict {
            endpoints: compared(&[
                (Ipv4Addr::new(198, 19, 0, 1), 80),
                (Ipv4Addr::new(198, 19, 0, 2), 443),
            ]),
            names: compared(&["a.example".to_owned()]),
            refused_names: compared(&["b.example".to_owned()]),
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
        check_fault(|it| it.endpoints.found.extend([other]), "1 wrong answers");
        check_fault(|it| it.endpoints.truth.extend([other]), "1 answers missing");
        check_fault(|it| it.names.found.clear(), "1 answers missing");
        check_fault(|it| it.refused_names.found.clear(), "refused other names than it should");
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
        verdict.endpoints.found.remove(&(Ipv4Addr::new(198, 19, 0, 1), 80));
        let table = verdict.table(3, Duration::from_millis(20_500), Path::new("/x/data"), None);
        for line in [
            "hosts with port 80 open         0        1",
            "hosts with port 443 open        1        1",
            "missing          1 of 3",
            "                 198.19.0.1:80 is missing",
            "workers          3 bare-metal workers launched on demand; idle, all have gone",
            "time             20.5 s",
            "data             /x/data: queue.db, store.db",
        ] {
            assert!(table.lines().any(|it| it == line), "{line:?} is missing:\n{table}");
        }
        assert!(table.contains("results --data /x/data --model endpoint"), "{table}");
    }

    #[test]
    fn the_truth_leaves_out_what_is_excluded() {
        let excluded = Prefix::new([198, 19, 0, 0], 16);
        assert!(open_ports(&excluded).is_empty());
        let all = open_ports(&Prefix::new([192, 0, 2, 0], 24));
        assert_eq!(all.len() as u64, demo::totals()[0]);
    }
}
