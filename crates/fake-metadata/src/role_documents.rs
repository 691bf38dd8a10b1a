//! The credentials documents that were served last, written once for as long as they stay the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

/// Documents kept at once, far above any number of roles that are asked for in turn.
const KEPT: usize = 4096;

struct Entry {
    credentials: Arc<credentials::Credentials>,
    /// `LastUpdated` and `Expiration`, which move on for keys that do not expire.
    times: (Timestamp, Timestamp),
    document: imds::RoleDocument,
}

/// Documents by role name.
#[derive(Default)]
pub(crate) struct RoleDocuments(Mutex<HashMap<String, Entry>>);

impl RoleDocuments {
    /// The document for what the store answered.
    pub(crate) fn of(&self, role: &str, answer: &credentials::Answer, now: Timestamp) -> imds::RoleDocument {
        let found = match answer {
            Ok(found) => found,
            Err(failure) => return imds::RoleDocument::new(&failed(failure)),
        };
        let times = found.shown_times(now);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = kept.get(role)
            && Arc::ptr_eq(&entry.credentials, found)
            && entry.times == times
        {
            return entry.document.clone();
        }
        let document = imds::RoleDocument::new(&succeeded(found, times));
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(role.to_owned(), Entry { credentials: found.clone(), times, document: document.clone() });
        document
    }
}

/// What the store answered, as `imds` has it.
pub(crate) fn role_answer(answer: &credentials::Answer, now: Timestamp) -> imds::RoleAnswer {
    match answer {
        Ok(found) => succeeded(found, found.shown_times(now)),
        Err(failure) => failed(failure),
    }
}

fn succeeded(
    found: &credentials::Credentials,
    (last_updated, expiration): (Timestamp, Timestamp),
) -> imds::RoleAnswer {
    imds::RoleAnswer::Success {
        access_key_id: found.access_key_id.clone(),
        secret_access_key: found.secret_access_key.expose().to_owned(),
        token: found.token.as_ref().map(|token| token.expose().to_owned()),
        last_updated,
        expiration,
        account_id: found.account_id.clone(),
    }
}

fn failed(failure: &credentials::Failure) -> imds::RoleAnswer {
    imds::RoleAnswer::Failure {
        code: failure.code.clone(),
        message: failure.message.clone(),
        last_updated: failure.at,
    }
}
