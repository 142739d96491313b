//! Switches the machine off.
//!
//! An instance launched by the manager has `terminate` as what becomes of it at its own shutdown, so no right to end instances
//! is needed. `halt` begins no shutdown in the eyes of EC2: such a machine would go on costing.

use std::process::{Command, Stdio};

use mrpf_ports::Power;

/// Ends the process alone.
#[derive(Debug)]
pub(crate) struct KeepOn;

impl Power for KeepOn {
    fn off(&self) {
        tracing::info!("the machine stays on, as --keep-machine says");
    }
}

/// Shuts the machine down, in the first way that works.
#[derive(Debug)]
pub(crate) struct SwitchOff {
    ways: Vec<Vec<String>>,
}

impl Default for SwitchOff {
    fn default() -> Self {
        Self::by(&["systemctl poweroff", "shutdown -h now"])
    }
}

impl SwitchOff {
    fn by(ways: &[&str]) -> Self {
        let words = |way: &&str| way.split(' ').map(str::to_owned).collect();
        Self { ways: ways.iter().map(words).collect() }
    }

    fn try_all(&self) -> bool {
        self.ways.iter().any(|way| {
            let Some((program, arguments)) = way.split_first() else { return false };
            let way = way.join(" ");
            let ended = Command::new(program).args(arguments).stdin(Stdio::null()).status();
            match ended {
                Ok(status) if status.success() => {
                    tracing::info!(way, "the machine switches itself off");
                    return true;
                }
                Ok(status) => tracing::warn!(way, %status, "does not switch the machine off"),
                Err(error) => tracing::warn!(way, %error, "does not switch the machine off"),
            }
            false
        })
    }
}

impl Power for SwitchOff {
    fn off(&self) {
        if !self.try_all() {
            tracing::error!(
                "this machine stays on, and costs, until it is ended by hand or by the manager: run the worker as root"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_way_that_works_is_the_only_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let touch = |name: &str| format!("touch {}", path(name));
        let ways = [path("no-such-program"), "false".to_owned(), touch("first"), touch("second")];
        let ways: Vec<&str> = ways.iter().map(String::as_str).collect();
        assert!(SwitchOff::by(&ways).try_all());
        assert!(folder.path().join("first").exists() && !folder.path().join("second").exists());
        assert!(!SwitchOff::by(&ways[..2]).try_all());
    }

    #[test]
    fn nothing_halts() {
        let ways = SwitchOff::default().ways.concat().join(" ");
        assert_eq!(ways, "systemctl poweroff shutdown -h now");
    }
}
