//! The runs: apply, status, remove, and what each would do.

use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::config::{Config, Ipv6};
use crate::error::Error;
use crate::facts::Facts;
use crate::journal::{Entries, Journal, Realm};
use crate::kill::Kill;
use crate::netlink::Netlink;
use crate::plan::{self, Wanted};
use crate::step::Step;
use crate::survey::{self, Survey};

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
#[derive(Debug, Clone)]
pub struct Options {
    /// Where.
    pub paths: Paths,
    /// Go on where the metadata address belongs to someone else. The journal keeps it for later runs.
    pub force: bool,
    /// How long to wait for another run to end.
    pub lock_wait: Duration,
    /// Test hook: end with SIGKILL at this point of the run, counted from 1.
    pub kill_at: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self { paths: Paths::default(), force: false, lock_wait: Duration::from_secs(60), kill_at: None }
    }
}

/// What a run did, or would do.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// In order. Empty: nothing to do.
    pub steps: Vec<Line>,
    /// What a person should know, one line each.
    pub warnings: Vec<String>,
    /// Whose requests lead where, one line each.
    pub leads: Vec<String>,
}

/// One step, for a person and for a program.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// One line.
    pub text: String,
    #[serde(flatten)]
    step: Step,
}

impl Line {
    fn of(step: &Step) -> Self {
        Self { text: step.to_string(), step: step.clone() }
    }
}

/// How the host compares with the configuration.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// In one word.
    pub state: State,
    /// What of ours is there, one line each.
    pub present: Vec<String>,
    /// What `apply` would do.
    pub pending: Vec<Line>,
    /// What a person should know, one line each.
    pub warnings: Vec<String>,
    /// Whose requests lead where once everything is applied, one line each.
    pub leads: Vec<String>,
}

/// One word for the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// As the configuration asks: nothing to do.
    Applied,
    /// Something is missing or out of date.
    Partial,
    /// Nothing of ours is there.
    Absent,
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
    // Before the lock: a resolver can take its time.
    let targets = survey::resolve(config)?;
    let netlink = Netlink::open()?;
    let mut journal = Journal::lock(&options.paths.state, options.lock_wait)?;
    let run = Run { options, targets: &targets, netlink: &netlink, kill: Kill::at(options.kill_at) };
    match run.apply(config, &mut journal) {
        Err(error) if config.network.ipv6 == Ipv6::Auto && error.is_about_ipv6() => {
            // Otherwise each later run would try again, and undo everything again.
            journal.record_no_ipv6(&error.to_string())?;
            run.apply(config, &mut journal)
        }
        outcome => outcome,
    }
}

/// One run that changes the host.
struct Run<'a> {
    options: &'a Options,
    targets: &'a [SocketAddrV4],
    netlink: &'a Netlink,
    kill: Kill,
}

impl Run<'_> {
    fn apply(&self, config: &Config, journal: &mut Journal) -> Result<Report, Error> {
        remove_leftover(self.options)?;
        let found = self.survey(config, journal)?;
        let forced = self.options.force || journal.entries().is_forced();
        if found.steps.is_empty() {
            return Ok(report(config, &found));
        }
        if !forced && !found.refusals.is_empty() {
            return Err(Error::Refused(found.refusals));
        }
        journal.compact()?;
        let since = journal.len();
        let performed = record_start(&found, journal).and_then(|()| self.perform_all(&found.steps, journal));
        performed.map_err(|error| self.forget(error, &found, since, journal))?;
        self.kill.point();
        let left = self.survey(config, journal)?.steps;
        if !left.is_empty() {
            return Err(Error::Verify(left.iter().map(ToString::to_string).collect()));
        }
        Ok(report(config, &found))
    }

    fn survey(&self, config: &Config, journal: &Journal) -> Result<Survey, Error> {
        Survey::of(config, self.options, self.netlink, journal.entries(), self.targets)
    }

    fn perform_all(&self, steps: &[Step], journal: &mut Journal) -> Result<(), Error> {
        for (done, step) in steps.iter().enumerate() {
            let performed = journal.record(step).and_then(|()| {
                self.kill.point();
                step.perform(self.netlink, &self.kill)
            });
            if let Err(cause) = performed {
                let undo = steps[..done].iter().rev().filter_map(Step::inverse);
                let undo = undo.filter_map(|step| step.perform(self.netlink, &self.kill).err()).collect();
                return Err(Error::Undone { cause: Box::new(cause), undo, about_ipv6: step.is_ipv6() });
            }
        }
        Ok(())
    }

    /// After a run that was undone whole: neither the empty chains that iptables-nft made nor its entries stay.
    fn forget(&self, error: Error, found: &Survey, since: usize, journal: &mut Journal) -> Error {
        let (cause, undo, about_ipv6) = match error {
            Error::Undone { cause, undo, about_ipv6 } if undo.is_empty() => (cause, undo, about_ipv6),
            error @ Error::Undone { .. } => return error,
            other => (Box::new(other), Vec::new(), false),
        };
        let swept = self.sweep(found).and_then(|()| journal.forget_since(since));
        Error::Undone { cause, undo: undo.into_iter().chain(swept.err()).collect(), about_ipv6 }
    }

    /// Only what was not there when `found` was, and only in chains that its steps use: what earlier runs have put in
    /// place is at work.
    fn sweep(&self, found: &Survey) -> Result<(), Error> {
        let Some(before) = found.facts.ruleset.as_ref().map(plan::existing) else { return Ok(()) };
        let paths = &self.options.paths;
        let mut errors = Vec::new();
        let facts = Facts::read(self.netlink, &paths.interfaces, &paths.program, &[], &mut errors);
        if !errors.is_empty() {
            return Err(Error::Several(errors));
        }
        let added = found.steps.iter().filter_map(|step| match step {
            Step::AddRule { program, rule } => Some((*program, rule.clone())),
            _ => None,
        });
        let sweep = plan::sweep_steps(&facts, &before, &added.collect::<Vec<_>>());
        sweep.iter().try_for_each(|step| step.perform(self.netlink, &self.kill))
    }
}

/// What the journal needs besides the steps.
fn record_start(found: &Survey, journal: &mut Journal) -> Result<(), Error> {
    if !found.refusals.is_empty() {
        journal.record_forced()?;
    }
    match &found.facts.ruleset {
        Some(ruleset) => journal.record_before(plan::existing(ruleset)),
        None => Ok(()),
    }
}

/// What [`apply`] would do.
///
/// # Errors
/// [`Error`], as [`apply`] would.
pub fn plan(config: &Config, options: &Options) -> Result<Report, Error> {
    require_root()?;
    let entries = Entries::read(&options.paths.state)?;
    let targets = survey::resolve(config)?;
    let found = Survey::of(config, options, &Netlink::open()?, &entries, &targets)?;
    let forced = options.force || entries.is_forced();
    if !found.steps.is_empty() && !forced && !found.refusals.is_empty() {
        return Err(Error::Refused(found.refusals));
    }
    Ok(report(config, &found))
}

fn report(config: &Config, found: &Survey) -> Report {
    Report {
        steps: found.steps.iter().map(Line::of).collect(),
        warnings: found.refusals.iter().chain(&found.notices).cloned().collect(),
        leads: survey::leads(config, &found.facts, &found.wanted),
    }
}

/// How the host compares with the configuration. Changes nothing.
///
/// # Errors
/// [`Error`] when the host cannot be read.
pub fn status(config: &Config, options: &Options) -> Result<Status, Error> {
    require_root()?;
    let entries = Entries::read(&options.paths.state)?;
    let targets = survey::resolve(config)?;
    let found = Survey::of(config, options, &Netlink::open()?, &entries, &targets)?;
    let present = survey::present(&found.facts, &survey::owned(&entries));
    let state = match (found.steps.is_empty(), present.is_empty()) {
        (true, _) => State::Applied,
        (false, true) => State::Absent,
        (false, false) => State::Partial,
    };
    let Report { steps, warnings, leads } = report(config, &found);
    Ok(Status { state, present, pending: steps, warnings, leads })
}

/// Takes everything of ours off the host: what the journal has, last first, and whatever else carries our mark.
/// Continues after an error. What is gone already is no error. The configuration is not read.
///
/// # Errors
/// [`Error::Several`] with everything that could not be undone; the journal is kept then.
pub fn remove(options: &Options) -> Result<Report, Error> {
    require_root()?;
    let paths = &options.paths;
    let netlink = Netlink::open()?;
    let mut journal = Journal::lock(&paths.state, options.lock_wait)?;
    let kill = Kill::at(options.kill_at);
    let (steps, mut errors) = undo_steps(options, &netlink, journal.entries());
    let mut report = Report::default();
    for step in steps {
        kill.point();
        match step.perform(&netlink, &kill) {
            Ok(()) => report.steps.push(Line::of(&step)),
            Err(error) => errors.push(error),
        }
    }
    kill.point();
    errors.extend(remove_leftover(options).err());
    if !errors.is_empty() {
        return Err(Error::Several(errors));
    }
    journal.clear()?;
    kill.point();
    Ok(report)
}

/// What a run that was killed while it wrote a file may have left.
fn remove_leftover(options: &Options) -> Result<(), Error> {
    let file = &options.paths.interfaces;
    crate::file::remove_leftover(file).map_err(|source| Error::Write { file: file.clone(), source })
}

/// What [`remove`] would do.
///
/// # Errors
/// [`Error`] when the host cannot be read or something of ours cannot be told.
pub fn plan_remove(options: &Options) -> Result<Report, Error> {
    require_root()?;
    let entries = Entries::read(&options.paths.state)?;
    let (steps, errors) = undo_steps(options, &Netlink::open()?, &entries);
    if !errors.is_empty() {
        return Err(Error::Several(errors));
    }
    Ok(Report { steps: steps.iter().map(Line::of).collect(), ..Report::default() })
}

/// The steps that undo everything, last done first, and what already cannot be undone.
fn undo_steps(options: &Options, netlink: &Netlink, entries: &Entries) -> (Vec<Step>, Vec<Error>) {
    let paths = &options.paths;
    // What cannot be read is reported, and the rest undone.
    let mut errors = Vec::new();
    let facts = Facts::read(netlink, &paths.interfaces, &paths.program, &[], &mut errors);
    let all_is_known = errors.is_empty();
    let mut steps = survey::unlisted_steps(&facts, entries);
    steps.extend(plan::kernel_steps(&facts, &Wanted::default(), &survey::owned(entries)));
    match plan::block_steps(&facts, false, &paths.program) {
        Ok(block) => steps.extend(block),
        Err(error) => errors.push(error),
    }
    sort_backwards(&mut steps, entries);
    // A chain whose rules could not be listed only looks unused.
    if all_is_known {
        steps.extend(survey::sweep_steps(&facts, entries));
    }
    if survey::used(&facts, entries).iter().any(|(program, _)| !program.is_installed()) {
        // Rules of ours that nobody can list, let alone delete.
        errors.push(Error::NoIptables);
    }
    (steps, errors)
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
