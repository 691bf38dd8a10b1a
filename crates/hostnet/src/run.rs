//! The four runs: apply, plan, status, remove.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Serialize;

use crate::config::Config;
use crate::error::Error;
use crate::facts::Facts;
use crate::journal::{Entries, Journal, Realm};
use crate::kill::Kill;
use crate::netlink::Netlink;
use crate::plan::{self, Wanted};
use crate::step::Step;
use crate::{IPV4, IPV6};

/// Where a run works, apart from the kernel of this network namespace.
#[derive(Debug, Clone)]
pub struct Paths {
    /// Folder of the journal. Only root may write to it.
    pub state: PathBuf,
    /// ifupdown's file.
    pub interfaces: PathBuf,
    /// What our block in that file calls.
    pub program: String,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            state: "/var/lib/fake-metadata-setup".into(),
            interfaces: "/etc/network/interfaces".into(),
            program: "/usr/sbin/fake-metadata-setup".into(),
        }
    }
}

/// How a run is done.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where.
    pub paths: Paths,
    /// Go on where the metadata address belongs to someone else.
    pub force: bool,
    /// Test hook: end with SIGKILL at this point of the run.
    pub kill_at: Option<u32>,
}

/// What a run did, or would do.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// One line a step, in order.
    pub steps: Vec<String>,
    /// What a person should know, one line each.
    pub warnings: Vec<String>,
    /// Where requests go now.
    pub leads: Vec<String>,
}

/// How the host compares with the configuration.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// In one word.
    pub state: State,
    /// What of ours is there, one line each.
    pub present: Vec<String>,
    /// What `apply` would do, one line each.
    pub pending: Vec<String>,
    /// What a person should know, one line each.
    pub warnings: Vec<String>,
}

/// `applied`: nothing to do. `absent`: nothing of ours is there. `partial`: something is missing or out of date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// As the configuration asks.
    Applied,
    /// Some of it, or something else.
    Partial,
    /// Nothing of ours.
    Absent,
}

/// What one look at the host gives.
struct Survey {
    facts: Facts,
    wanted: Wanted,
    steps: Vec<Step>,
}

fn survey(config: &Config, options: &Options, netlink: &Netlink, entries: &Entries) -> Result<Survey, Error> {
    let paths = &options.paths;
    let facts = Facts::read(netlink, &paths.interfaces, &paths.program)?;
    if !facts.net_admin {
        return Err(Error::NotPermitted { action: "change the host network".into() });
    }
    let wanted = plan::wanted(config, &facts)?;
    let mut steps = plan::block_steps(&facts, wanted.block, &paths.program)?;
    steps.extend(plan::kernel_steps(&facts, &wanted, &owned(entries)));
    Ok(Survey { facts, wanted, steps })
}

/// The addresses that are ours by the journal: added in this boot and namespace, and not taken away since.
fn owned(entries: &Entries) -> Vec<IpAddr> {
    let here = Realm::here();
    let last = |address: IpAddr| {
        entries.steps(&here).rev().find_map(|step| match step {
            Step::AddAddress { address: added } if *added == address => Some(true),
            Step::DeleteAddress { address: deleted } if *deleted == address => Some(false),
            _ => None,
        })
    };
    [IpAddr::V4(IPV4), IpAddr::V6(IPV6)].into_iter().filter(|address| last(*address) == Some(true)).collect()
}

fn require_root() -> Result<(), Error> {
    if nix::unistd::geteuid().is_root() { Ok(()) } else { Err(Error::NotRoot) }
}

/// Makes the host as the configuration asks; a second run does nothing. When a step fails, those of this run are
/// undone.
///
/// # Errors
/// [`Error`]; nothing is changed then, or [`Error::Undone`] says what could not be taken back.
pub fn apply(config: &Config, options: &Options) -> Result<Report, Error> {
    require_root()?;
    let netlink = Netlink::open()?;
    let mut journal = Journal::lock(&options.paths.state)?;
    let kill = Kill::at(options.kill_at);
    let found = survey(config, options, &netlink, journal.entries())?;
    if !found.steps.is_empty() {
        journal.compact()?;
        if options.force {
            journal.record_forced()?;
        }
        perform_all(&found.steps, &mut journal, &netlink, &kill)?;
        let left = survey(config, options, &netlink, journal.entries())?.steps;
        if !left.is_empty() {
            return Err(Error::Verify(left.iter().map(ToString::to_string).collect()));
        }
    }
    Ok(report(config, &found))
}

fn perform_all(steps: &[Step], journal: &mut Journal, netlink: &Netlink, kill: &Kill) -> Result<(), Error> {
    for (done, step) in steps.iter().enumerate() {
        let performed = journal.record(step).and_then(|()| {
            kill.point();
            step.perform(netlink, kill)
        });
        kill.point();
        if let Err(cause) = performed {
            let undo = steps[..done].iter().rev().map(Step::inverse);
            let undo = undo.filter_map(|step| step.perform(netlink, kill).err()).collect();
            return Err(Error::Undone { cause: Box::new(cause), undo });
        }
    }
    Ok(())
}

/// What [`apply`] would do.
///
/// # Errors
/// [`Error`], as [`apply`] would.
pub fn plan(config: &Config, options: &Options) -> Result<Report, Error> {
    require_root()?;
    let entries = Entries::read(&options.paths.state)?;
    let found = survey(config, options, &Netlink::open()?, &entries)?;
    Ok(report(config, &found))
}

fn report(config: &Config, found: &Survey) -> Report {
    Report {
        steps: found.steps.iter().map(ToString::to_string).collect(),
        warnings: Vec::new(),
        leads: leads(config, &found.facts),
    }
}

fn leads(config: &Config, facts: &Facts) -> Vec<String> {
    let mut leads = Vec::new();
    if config.network.local {
        let to = match (facts.target, config.local_port()) {
            (Some(target), _) => target.to_string(),
            (None, port) => format!("127.0.0.1:{}", port.unwrap_or_default()),
        };
        leads.push(format!("{IPV4}:80 leads to {to}"));
    }
    leads
}

/// How the host compares with the configuration. Changes nothing.
///
/// # Errors
/// [`Error`] when the host cannot be read.
pub fn status(config: &Config, options: &Options) -> Result<Status, Error> {
    require_root()?;
    let entries = Entries::read(&options.paths.state)?;
    let found = survey(config, options, &Netlink::open()?, &entries)?;
    let present = present(&found.facts, &owned(&entries));
    let state = match (found.steps.is_empty(), present.is_empty()) {
        (true, _) => State::Applied,
        (false, true) => State::Absent,
        (false, false) => State::Partial,
    };
    let pending = found.steps.iter().map(ToString::to_string).collect();
    let _ = found.wanted;
    Ok(Status { state, present, pending, warnings: Vec::new() })
}

fn present(facts: &Facts, owned: &[IpAddr]) -> Vec<String> {
    let addresses = facts.addresses.iter().filter(|found| found.marked || owned.contains(&found.address));
    let addresses = addresses.map(|found| format!("{} on {}", found.address, found.interface));
    let rules = facts.rules.iter().filter(|found| found.rule.tag().is_some());
    let rules = rules.map(|found| format!("{} {}", found.program, found.rule));
    addresses.chain(rules).collect()
}

/// Takes everything of ours off the host: what the journal has, last first, and whatever else carries our mark.
/// Continues after an error. What is gone already is no error.
///
/// # Errors
/// [`Error::Several`] with everything that could not be undone.
pub fn remove(options: &Options) -> Result<Report, Error> {
    require_root()?;
    let paths = &options.paths;
    let netlink = Netlink::open()?;
    let mut journal = Journal::lock(&paths.state)?;
    let kill = Kill::at(options.kill_at);
    let (steps, mut errors) = undo_steps(options, &netlink, journal.entries())?;
    let mut report = Report::default();
    for step in steps {
        kill.point();
        match step.perform(&netlink, &kill) {
            Ok(()) => report.steps.push(step.to_string()),
            Err(error) => errors.push(error),
        }
    }
    kill.point();
    if let Err(source) = crate::file::remove_leftover(&paths.interfaces) {
        errors.push(Error::Write { file: paths.interfaces.clone(), source });
    }
    if errors.is_empty() {
        journal.clear()?;
        Ok(report)
    } else {
        Err(Error::Several(errors))
    }
}

/// What [`remove`] would do.
///
/// # Errors
/// [`Error`] when the host cannot be read or something of ours cannot be told.
pub fn plan_remove(options: &Options) -> Result<Report, Error> {
    require_root()?;
    let entries = Entries::read(&options.paths.state)?;
    let (steps, errors) = undo_steps(options, &Netlink::open()?, &entries)?;
    if !errors.is_empty() {
        return Err(Error::Several(errors));
    }
    Ok(Report { steps: steps.iter().map(ToString::to_string).collect(), ..Report::default() })
}

/// The steps that undo everything, last done first, and what already cannot be undone.
fn undo_steps(
    options: &Options,
    netlink: &Netlink,
    entries: &Entries,
) -> Result<(Vec<Step>, Vec<Error>), Error> {
    let paths = &options.paths;
    let facts = Facts::read(netlink, &paths.interfaces, &paths.program)?;
    let mut errors = Vec::new();
    let mut steps = plan::kernel_steps(&facts, &Wanted::default(), &owned(entries));
    match plan::block_steps(&facts, false, &paths.program) {
        Ok(block) => steps.extend(block),
        Err(error) => errors.push(error),
    }
    sort_backwards(&mut steps, entries);
    Ok((steps, errors))
}

/// The step that undoes the newest journal entry first; what the journal does not know keeps its order, at the end.
fn sort_backwards(steps: &mut [Step], entries: &Entries) {
    let here = Realm::here();
    let journal: Vec<&Step> = entries.steps(&here).collect();
    steps.sort_by_key(|step| {
        let newest = journal.iter().rposition(|entry| step.undoes(entry));
        std::cmp::Reverse(newest.map_or(0, |index| index + 1))
    });
}
