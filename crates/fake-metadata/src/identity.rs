//! The identity: the key and certificate in the state directory, and the thread that makes them once
//! and signs with them. Both take too long for the front, and neither is on the way to the first
//! answer.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use bytes::Bytes;
use jiff::Timestamp;
use rsa::rand_core::OsRng;
use tokio::sync::oneshot;

use crate::state_dir::{StateDir, StateError};
use crate::vital;

/// Key and certificate in one file, so that they cannot come apart.
const FILE: &str = "identity.pem";
const CERTIFICATE_BEGINS: &str = "-----BEGIN CERTIFICATE-----";
/// Documents whose signatures are remembered: one for each role that changes its document.
const REMEMBERED: usize = 256;

/// The identity of the state directory, made when there is none.
pub(crate) fn load_or_make(directory: &StateDir) -> Result<imds::Signer, StateError> {
    let text = directory.load_or_make(FILE, 0o600, || {
        let made = imds::Signer::generate(&mut OsRng)?;
        Ok::<_, imds::IdentityError>(
            [made.key_pem()?.as_bytes(), made.certificate_pem()?.as_bytes()].concat(),
        )
    })?;
    let bad = |problem: &dyn ToString| directory.bad_content(FILE, problem.to_string());
    let text = String::from_utf8(text).map_err(|_| bad(&"not text"))?;
    let split = text.find(CERTIFICATE_BEGINS).ok_or_else(|| bad(&"no certificate in it"))?;
    let (key, certificate) = text.split_at(split);
    imds::Signer::from_pem(key, certificate).map_err(|e| bad(&e))
}

/// An identity for this run alone, when the state directory cannot be used.
fn passing() -> Result<imds::Signer, imds::IdentityError> {
    imds::Signer::generate(&mut OsRng)
}

struct Order {
    document: Bytes,
    signing_time: Timestamp,
    reply: oneshot::Sender<Option<Arc<imds::Signatures>>>,
}

/// The way to the signing thread.
#[derive(Clone)]
pub(crate) struct Signer {
    orders: mpsc::Sender<Order>,
    made: Arc<Mutex<HashMap<Bytes, Arc<imds::Signatures>>>>,
}

impl Signer {
    /// Starts the signing thread. It loads or makes the identity at once.
    pub(crate) fn start(directory: StateDir) -> io::Result<Signer> {
        let (orders, received) = mpsc::channel();
        let signer = Signer { orders, made: Arc::default() };
        let made = signer.made.clone();
        vital::spawn("identity", move || work(&directory, &received, &made))?;
        Ok(signer)
    }

    /// The signatures over a document; `None` when none can be made, which the log has told.
    pub(crate) async fn signatures(
        &self,
        document: Bytes,
        signing_time: Timestamp,
    ) -> Option<Arc<imds::Signatures>> {
        if let Some(known) = self.made.lock().unwrap_or_else(PoisonError::into_inner).get(&document) {
            return Some(known.clone());
        }
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order { document, signing_time, reply }).ok()?;
        answer.await.ok().flatten()
    }
}

fn work(
    directory: &StateDir,
    orders: &mpsc::Receiver<Order>,
    made: &Mutex<HashMap<Bytes, Arc<imds::Signatures>>>,
) {
    let identity = load_or_make(directory)
        .inspect_err(|e| log::warn!("{e}; the identity document is signed with a key of this run alone"))
        .ok()
        .or_else(|| passing().inspect_err(|e| log::error!("{e}")).ok());
    for order in orders {
        let known = made.lock().unwrap_or_else(PoisonError::into_inner).get(&order.document).cloned();
        let signatures = known.or_else(|| {
            let signed = identity.as_ref()?.sign(order.document.clone(), order.signing_time);
            let signed = Arc::new(signed.inspect_err(|e| log::error!("{e}")).ok()?);
            let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
            if made.len() >= REMEMBERED {
                made.clear();
            }
            made.insert(order.document, signed.clone());
            Some(signed)
        });
        // A caller that went away does not wait for its answer.
        let _ = order.reply.send(signatures);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let directory = StateDir::new(folder.path().into());
        let made = load_or_make(&directory).unwrap();
        let again = load_or_make(&directory).unwrap();
        assert_eq!(made.certificate_pem().unwrap(), again.certificate_pem().unwrap());
    }

    #[test]
    fn a_damaged_file_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "damaged").unwrap();
        let error = load_or_make(&StateDir::new(folder.path().into())).unwrap_err().to_string();
        assert!(error.contains("remove the file"), "{error}");
        assert_eq!(std::fs::read_to_string(folder.path().join(FILE)).unwrap(), "damaged");
    }
}
