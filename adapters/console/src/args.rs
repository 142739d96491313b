//! The flags of the commands, less those that say where the store lies.

use clap::Args;
use mrpf_tasks::{AddressRange, DomainName, PerSecond, catalogue::Model};

/// What is submitted.
#[derive(Args, Clone, Debug)]
pub struct SubmitArgs {
    /// A file, or recon.
    #[arg(value_name = "WORKFLOW")]
    pub workflow: String,
    /// For recon: a domain that is yours, with all names below it; may be given again.
    #[arg(long, value_name = "DOMAIN")]
    pub domain: Vec<DomainName>,
    /// For recon: addresses that are yours; may be given again.
    #[arg(long, value_name = "RANGE")]
    pub address: Vec<AddressRange>,
    /// For recon: what of these is not to be touched; may be given again.
    #[arg(long, value_name = "X")]
    pub exclude: Vec<String>,
    /// For recon: ports of the addresses, such as 80,443 or 1-1024; those of the bundled file when not given.
    #[arg(short, long, value_name = "PORTS", allow_hyphen_values = true)]
    pub ports: Option<String>,
    /// For recon: a resolver that is asked what the names stand for, ADDRESS or ADDRESS:PORT; may be given again. Without any,
    /// nobody is asked.
    #[arg(long, value_name = "ADDRESS")]
    pub resolver: Vec<String>,
    /// For recon: frames a second of all its scans together: 500 or 10k.
    #[arg(long, value_name = "RATE")]
    pub rate: Option<PerSecond>,
    /// Checks the workflow and submits nothing.
    #[arg(long)]
    pub check: bool,
    /// Prints recon as a file, to be changed and submitted.
    #[arg(long, conflicts_with_all = ["check", "wait"])]
    pub print: bool,
    /// Waits until it has ended; exit code 3 when a task of it failed.
    #[arg(long)]
    pub wait: bool,
}

/// What is shown.
#[derive(Args, Clone, Debug)]
pub struct StatusArgs {
    /// Its id, or the first characters of it; all workflows when not given.
    #[arg(value_name = "WORKFLOW")]
    pub workflow: Option<String>,
    /// As JSON, a line for each workflow, task and slot.
    #[arg(long)]
    pub json: bool,
}

/// What is written out.
#[derive(Args, Clone, Debug)]
pub struct ResultsArgs {
    /// Its id, or the first characters of it.
    #[arg(value_name = "WORKFLOW", required_unless_present = "model")]
    pub workflow: Option<String>,
    /// Only what this task gave.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["refused", "model"])]
    pub task: Option<String>,
    /// What was not touched, and why.
    #[arg(long, conflicts_with = "model")]
    pub refused: bool,
    /// The rows of a table of recon, of all workflows: target, domain, endpoint, certificate, endpoint-certificate,
    /// domain-endpoint or domain-record.
    #[arg(long, value_name = "TABLE", value_parser = model, conflicts_with = "workflow")]
    pub model: Option<Model>,
}

fn model(word: &str) -> Result<Model, String> {
    match word {
        "target" => Ok(Model::Target),
        "domain" => Ok(Model::Domain),
        "endpoint" => Ok(Model::Endpoint),
        "certificate" => Ok(Model::Certificate),
        "endpoint-certificate" => Ok(Model::EndpointCertificate),
        "domain-endpoint" => Ok(Model::DomainEndpoint),
        "domain-record" => Ok(Model::DomainRecord),
        _ => Err(
            "give target, domain, endpoint, certificate, endpoint-certificate, domain-endpoint or domain-record"
                .to_owned(),
        ),
    }
}

/// Under the help of `submit`.
pub(crate) fn submit_examples(program: &str) -> String {
    format!(
        "\
Examples:
  {program} submit recon --domain example.org --address 203.0.113.0/24
  {program} submit monday.toml --wait

A workflow is a TOML or JSON file; recon is the one that comes with mrpf. `{program} submit recon --print` shows it."
    )
}

/// Under the help of `results`.
pub(crate) fn results_examples(program: &str) -> String {
    let examples = [
        ("0193", "every item of every task, with the task's name"),
        ("0193 --task names", "what one task gave"),
        ("0193 --refused", "what was not touched, and why"),
        ("--model endpoint", "all ports that were ever found"),
    ];
    let line = |(words, about)| {
        let command = format!("{program} results {words}");
        format!("  {command:<43}  {about}")
    };
    let lines: Vec<String> = examples.map(line).into();
    format!("Examples:\n{}", lines.join("\n"))
}
