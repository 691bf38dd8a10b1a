//! All faults there are, and what they do to one request.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::fault::{Asked, Fault};
use super::spec::{FaultError, FaultSpec, Kind};
use crate::events::CallerName;

/// Faults beyond this many are refused.
const MOST: usize = 100;

/// The list of faults. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    faults: Vec<Arc<Fault>>,
    /// Of faults ever added; ids are never used twice.
    count: u64,
}

impl Faults {
    /// Adds a fault and returns it. Those that are over make room for it.
    pub(crate) fn add(&mut self, spec: FaultSpec, now: Timestamp) -> Result<Arc<Fault>, FaultError> {
        if self.faults.len() >= MOST {
            self.faults.retain(|fault| !fault.is_over(now));
        }
        if self.faults.len() >= MOST {
            return Err(FaultError::new("faults", format!("there are {MOST} already: clear some first")));
        }
        let id = format!("{}-{}", spec.kind.name(), self.count + 1);
        let fault = Arc::new(Fault::new(id, spec, now)?);
        self.count += 1;
        self.faults.push(fault.clone());
        Ok(fault)
    }

    /// Ends the faults with these ids, or all; returns how many.
    ///
    /// # Errors
    /// When one of the ids is nobody's; then nothing is changed.
    pub(crate) fn clear(&mut self, ids: &[String]) -> Result<usize, FaultError> {
        if let Some(unknown) = ids.iter().find(|id| self.faults.iter().all(|fault| fault.id != **id)) {
            let known: Vec<&str> = self.faults.iter().map(|fault| fault.id.as_str()).collect();
            let known = match known.is_empty() {
                true => "there are none".to_owned(),
                false => format!("faults are {}", known.join(", ")),
            };
            return Err(FaultError::new("id", format!("there is no fault {unknown:?}: {known}")));
        }
        let before = self.faults.len();
        self.faults.retain(|fault| !ids.is_empty() && !ids.contains(&fault.id));
        Ok(before - self.faults.len())
    }

    /// What `fault list` and `status` show.
    pub(crate) fn list(&self, now: Timestamp) -> Vec<Value> {
        self.faults.iter().map(|fault| fault.shown(now)).collect()
    }

    /// What requests are to be held against; `None` when no fault can strike any.
    pub(crate) fn playing(&self) -> Option<Arc<Playing>> {
        let strike = |fault: &&Arc<Fault>| fault.spec.kind != Kind::ForgetTokens;
        let faults: Vec<_> = self.faults.iter().filter(strike).cloned().collect();
        (!faults.is_empty()).then(|| Arc::new(Playing(faults)))
    }
}

/// Faults as requests meet them, in the order in which they were added.
#[derive(Debug)]
pub(crate) struct Playing(Vec<Arc<Fault>>);

/// How an answer is kept from its client, or spoilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Status(imds::Status),
    Hang,
    Close,
    Reset,
    Truncate,
}

/// What faults do to one request.
#[derive(Debug, Default)]
pub(crate) struct Met {
    pub(crate) delay: Duration,
    pub(crate) outcome: Option<Outcome>,
    struck: Vec<Arc<Fault>>,
}

impl Playing {
    /// Whether it may be by role whom a fault strikes.
    pub(crate) fn name_roles(&self, now: Timestamp) -> bool {
        let by_role = |fault: &Fault| matches!(fault.spec.caller, Some(CallerName::Role(_)));
        self.0.iter().any(|fault| by_role(fault) && !fault.is_over(now))
    }

    /// What becomes of a request. Every delay that strikes counts; of the other faults the first that
    /// strikes decides, and those after it are not tried.
    pub(crate) fn meet(&self, asked: &Asked<'_>, now: Timestamp, roll: &mut dyn FnMut() -> f64) -> Met {
        let mut met = Met::default();
        for fault in self.0.iter().filter(|fault| !fault.spec.kind.is_of_credentials()) {
            let is_delay = !fault.delay().is_zero();
            if (met.outcome.is_some() && !is_delay) || !fault.strikes(asked, now, roll) {
                continue;
            }
            met.delay += fault.delay();
            if !is_delay {
                met.outcome = outcome(fault);
            }
            met.struck.push(fault.clone());
        }
        met
    }

    /// The fault that spoils the role credentials a request gets: the first that strikes.
    pub(crate) fn strike_credentials(
        &self,
        asked: &Asked<'_>,
        met: &mut Met,
        now: Timestamp,
        roll: &mut dyn FnMut() -> f64,
    ) -> Option<Arc<Fault>> {
        let mut of_credentials = self.0.iter().filter(|fault| fault.spec.kind.is_of_credentials());
        let fault = of_credentials.find(|fault| fault.strikes(asked, now, roll))?;
        met.struck.push(fault.clone());
        Some(fault.clone())
    }
}

fn outcome(fault: &Fault) -> Option<Outcome> {
    match fault.spec.kind {
        Kind::Status { .. } | Kind::Throttle { .. } => fault.status().map(Outcome::Status),
        Kind::Hang => Some(Outcome::Hang),
        Kind::Close => Some(Outcome::Close),
        Kind::Reset => Some(Outcome::Reset),
        Kind::Truncate => Some(Outcome::Truncate),
        _ => None,
    }
}

/// The mark in the log: nothing, or ` fault delay 2s (delay-1), status 503 (status-2)`.
impl fmt::Display for Met {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.struck.iter().enumerate() {
            let lead = if i == 0 { " fault " } else { ", " };
            write!(f, "{lead}{} ({})", fault.spec.kind.describe(), fault.id)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Timestamp {
        "2026-11-21T10:00:00Z".parse().unwrap()
    }

    fn playing(specs: &[&str]) -> Playing {
        let mut faults = Faults::default();
        for text in specs {
            faults.add(serde_json::from_str(text).unwrap(), start()).unwrap();
        }
        Arc::into_inner(faults.playing().unwrap()).unwrap()
    }

    fn asked<'a>() -> Asked<'a> {
        Asked { path: Some("/latest/x"), address: "10.0.0.1".parse().unwrap(), role: Some("app") }
    }

    fn meet(playing: &Playing) -> Met {
        playing.meet(&asked(), start(), &mut || 0.5)
    }

    #[test]
    fn delays_add_up_and_the_first_other_fault_decides() {
        let playing = playing(&[
            r#"{"fault":"delay","delay":"1s"}"#,
            r#"{"fault":"status","status":503,"times":1}"#,
            r#"{"fault":"reset","times":1}"#,
            r#"{"fault":"delay","delay":"500ms"}"#,
        ]);
        let first = meet(&playing);
        assert_eq!(first.delay, Duration::from_millis(1500));
        assert_eq!(first.outcome, Some(Outcome::Status(imds::Status::ServiceUnavailable)));
        assert_eq!(
            first.to_string(),
            " fault delay 1s (delay-1), status 503 (status-2), delay 500ms (delay-4)"
        );
        assert_eq!(meet(&playing).outcome, Some(Outcome::Reset), "its one time was not used up before");
        assert_eq!(meet(&playing).outcome, None);
    }

    #[test]
    fn only_credentials_meet_the_faults_of_credentials() {
        let playing = playing(&[
            r#"{"fault":"expired-credentials","times":1}"#,
            r#"{"fault":"credentials-code","code":"AssumeRoleUnauthorizedAccess"}"#,
        ]);
        let mut met = meet(&playing);
        assert_eq!(met.struck.len(), 0);
        let mut strike = || playing.strike_credentials(&asked(), &mut met, start(), &mut || 0.0).unwrap();
        assert_eq!(strike().spec.kind, Kind::ExpiredCredentials);
        assert_eq!(strike().spec.kind.describe(), "credentials-code AssumeRoleUnauthorizedAccess");
        assert!(met.to_string().starts_with(" fault expired-credentials (expired-credentials-1), "), "{met}");
    }

    #[test]
    fn faults_name_roles_until_they_are_over() {
        assert!(!playing(&[r#"{"fault":"hang","caller":"10.0.0.1"}"#]).name_roles(start()));
        let playing = playing(&[r#"{"fault":"hang","caller":"app","times":1}"#, r#"{"fault":"hang"}"#]);
        assert!(playing.name_roles(start()));
        meet(&playing);
        assert!(!playing.name_roles(start()));
    }

    #[test]
    fn faults_are_cleared_by_id_or_all_at_once() {
        let mut faults = Faults::default();
        let spec: FaultSpec = serde_json::from_str(r#"{"fault":"hang"}"#).unwrap();
        faults.add(spec.clone(), start()).unwrap();
        faults.add(spec.clone(), start()).unwrap();
        let refused = faults.clear(&["hang-1".into(), "hang-9".into()]).unwrap_err().to_string();
        assert_eq!(refused, "id: there is no fault \"hang-9\": faults are hang-1, hang-2");
        assert_eq!(faults.clear(&["hang-1".into()]), Ok(1));
        assert_eq!(faults.add(spec, start()).unwrap().id, "hang-3");
        assert_eq!(faults.clear(&[]), Ok(2));
        assert!(faults.playing().is_none());
        let forgotten: FaultSpec = serde_json::from_str(r#"{"fault":"forget-tokens"}"#).unwrap();
        assert_eq!(faults.add(forgotten, start()).unwrap().shown(start())["phase"], "over");
        assert!(faults.playing().is_none(), "requests need not look at it");
    }
}
