//! `/v1/roles/login`: logins to IAM Identity Center that persons make for the daemon.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use credentials::{Failure, LoginError};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Refused;
use crate::state::State;

/// Logins that are remembered. A code is good for some minutes, and a person makes one login at a time.
const MOST: usize = 32;

/// How a login ended; `None`: not yet.
type Ended = Option<Result<(), Failure>>;

/// The logins that were begun, by number.
#[derive(Default)]
pub(crate) struct Logins(Mutex<BTreeMap<u64, Ended>>);

impl Logins {
    /// Remembers one more; `None` where too many wait already.
    fn begin(&self) -> Option<u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            let over = all.iter().find(|(_, ended)| ended.is_some()).map(|(number, _)| *number)?;
            all.remove(&over);
        }
        let number = all.keys().next_back().map_or(1, |last| last + 1);
        all.insert(number, None);
        Some(number)
    }

    fn end(&self, number: u64, outcome: Result<(), Failure>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(number, Some(outcome));
    }

    fn forget(&self, number: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
    }

    fn outcome(&self, number: u64) -> Option<Ended> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&number).cloned()
    }
}

/// The role whose profile is to be logged in.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Begin {
    role: String,
}

/// A login that was begun.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Begun {
    login: u64,
}

impl From<LoginError> for Refused {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Unknown(error) => error.into(),
            LoginError::Failed(failure) => Refused::failed(failure.detail),
        }
    }
}

/// Begins a login: the page and the code to show. Its outcome is asked for by its number.
pub(super) fn begin(state: &Arc<State>, request: &Begin) -> Result<Value, Refused> {
    let logins = &state.logins;
    let number = logins.begin().ok_or_else(|| Refused::failed("too many logins wait for their persons"))?;
    let login = state.store().login(&request.role).inspect_err(|_| logins.forget(number))?;
    let prompt = login.prompt.clone();
    log::info!("role {}: a login was begun by command", request.role);
    let waiting = state.clone();
    let spawned = std::thread::Builder::new().name("login".into()).spawn(move || {
        waiting.logins.end(number, login.wait());
    });
    if let Err(error) = spawned {
        logins.forget(number);
        return Err(Refused::failed(format!("wait for the login: start a thread: {error}")));
    }
    Ok(json!({ "login": number, "prompt": prompt }))
}

/// Whether a login has ended, and how.
pub(super) fn outcome(state: &State, request: &Begun) -> Result<Value, Refused> {
    match state.logins.outcome(request.login) {
        None => Err(Refused::absent(format!("there is no login {}", request.login))),
        Some(None) => Ok(json!({ "ended": false })),
        Some(Some(Ok(()))) => Ok(json!({ "ended": true })),
        Some(Some(Err(failure))) => Ok(json!({ "ended": true, "error": failure.detail })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_that_have_ended_make_room_for_new_ones() {
        let logins = Logins::default();
        let numbers: Vec<u64> = (0..MOST).filter_map(|_| logins.begin()).collect();
        assert_eq!(numbers.len(), MOST);
        assert_eq!(logins.begin(), None);
        logins.end(numbers[3], Ok(()));
        assert_eq!(logins.outcome(numbers[3]), Some(Some(Ok(()))));
        assert_eq!(logins.begin(), Some(MOST as u64 + 1));
        assert_eq!(logins.outcome(numbers[3]), None);
    }
}
