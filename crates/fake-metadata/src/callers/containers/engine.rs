//! One container engine: its socket, the containers it runs, and what it is doing wrong.
//!
//! A task on the outgoing thread follows the engine's events, and so knows what containers say before
//! they ask. Who has an address is asked anew (`addresses`): an event that is late must not hand a new
//! container the role of the one that had its address before.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{EventMessage, EventMessageTypeEnum};
use bollard::query_parameters::{EventsOptions, InspectContainerOptions, ListContainersOptions};
use futures_util::StreamExt;
use futures_util::future::join_all;
use serde::Serialize;
use tokio::net::UnixStream;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use super::addresses::Networks;
use super::table::{Id, Table};
use super::{Known, Lookup, Place, Said, Wish};
use crate::state::State;

/// How long an engine may take for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long an engine that is away is left alone while nobody asks.
const RETRY: Duration = Duration::from_secs(2);
/// Seconds that bollard gives a request of its own.
const REQUEST_SECONDS: u64 = 30;

/// One engine as `status` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct EngineStatus {
    /// Its socket.
    socket: PathBuf,
    /// Whether it answers.
    connected: bool,
    /// Why not.
    error: Option<String>,
    /// Containers that are known.
    containers: usize,
}

struct Question {
    address: IpAddr,
    reply: oneshot::Sender<Lookup>,
}

/// The way to an engine's task; dropping it ends the task.
#[derive(Debug)]
pub(super) struct Engine {
    questions: mpsc::UnboundedSender<Question>,
    status: Arc<Mutex<EngineStatus>>,
    task: AbortHandle,
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Engine {
    /// Starts the task for an engine.
    pub(super) fn start(
        socket: PathBuf,
        session_name: Option<Place>,
        state: &Weak<State>,
        runtime: &Handle,
    ) -> Engine {
        let (questions, asked) = mpsc::unbounded_channel();
        let status = EngineStatus { socket: socket.clone(), connected: false, error: None, containers: 0 };
        let status = Arc::new(Mutex::new(status));
        let keeper = Keeper {
            socket: socket.into(),
            session_name,
            state: state.clone(),
            status: status.clone(),
            asked,
            waiting: Vec::new(),
            known: HashMap::new(),
        };
        Engine { questions, status, task: runtime.spawn(keeper.keep()).abort_handle() }
    }

    /// Who has this address now.
    pub(super) async fn ask(&self, address: IpAddr) -> Lookup {
        let (reply, answer) = oneshot::channel();
        let sent = self.questions.send(Question { address, reply });
        match sent {
            Ok(()) => answer.await.unwrap_or(Lookup::Unknown),
            Err(_) => Lookup::Unknown,
        }
    }

    pub(super) fn status(&self) -> EngineStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a container says, once it is known; `None` inside when the engine would not tell.
type Told = watch::Receiver<Option<Option<Arc<Known>>>>;

struct Keeper {
    socket: Arc<Path>,
    session_name: Option<Place>,
    state: Weak<State>,
    status: Arc<Mutex<EngineStatus>>,
    asked: mpsc::UnboundedReceiver<Question>,
    waiting: Vec<Question>,
    known: HashMap<Id, Told>,
}

impl Keeper {
    async fn keep(mut self) {
        loop {
            let error = match open(&self.socket).await {
                Ok(docker) => self.serve(docker).await,
                Err(error) => error,
            };
            self.away(&error);
            // Whoever asks while the engine is away has it tried again at once.
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                question = self.asked.recv() => match question {
                    Some(question) => self.waiting.push(question),
                    None => return,
                },
            }
        }
    }

    /// Answers until the engine fails: why it did.
    async fn serve(&mut self, docker: Docker) -> String {
        let events = docker.events(None::<EventsOptions>);
        tokio::pin!(events);
        match within(docker.list_containers(None::<ListContainersOptions>)).await {
            Ok(running) => {
                for id in running.into_iter().filter_map(|container| container.id) {
                    self.learn(&id, &docker);
                }
            }
            Err(error) => return error,
        }
        self.note(None);
        let mut networks = Networks::default();
        loop {
            if !self.waiting.is_empty() {
                let asked: Vec<IpAddr> = self.waiting.iter().map(|question| question.address).collect();
                match networks.survey(&docker, &asked).await {
                    Ok(table) => self.answer(&table, &docker),
                    Err(error) => return error,
                }
            }
            tokio::select! {
                question = self.asked.recv() => match question {
                    Some(question) => self.waiting.push(question),
                    None => return "no longer asked".into(),
                },
                event = events.next() => match event {
                    Some(Ok(event)) => self.take(event, &docker),
                    // An event in words that the library does not know.
                    Some(Err(Error::JsonDataError { .. } | Error::JsonSerdeError { .. })) => {}
                    Some(Err(error)) => return in_words(&error),
                    None => return "its events have ended".into(),
                },
            }
            while let Ok(question) = self.asked.try_recv() {
                self.waiting.push(question);
            }
        }
    }

    /// Follows containers as they come and go, so that what they say is known, and their credentials are
    /// there, before they ask.
    fn take(&mut self, event: EventMessage, docker: &Docker) {
        let (Some(EventMessageTypeEnum::CONTAINER), Some(id)) = (event.typ, event.actor.and_then(|a| a.id))
        else {
            return;
        };
        match event.action.as_deref().unwrap_or_default() {
            // The words of Docker, and those of podman.
            "create" | "init" | "start" => {
                self.learn(&id, docker);
            }
            "die" | "died" | "destroy" | "remove" => {
                self.known.remove(&id);
                self.let_go();
            }
            _ => return,
        }
        self.note(None);
    }

    /// Asks the engine what a container says, unless that is known.
    fn learn(&mut self, id: &Id, docker: &Docker) -> Told {
        let usable = |told: &&Told| match &*told.borrow() {
            Some(known) => known.is_some(),
            None => told.has_changed().is_ok(),
        };
        if let Some(told) = self.known.get(id).filter(usable) {
            return told.clone();
        }
        let (tell, told) = watch::channel(None);
        self.known.insert(id.clone(), told.clone());
        let (docker, id) = (docker.clone(), id.clone());
        let (socket, place, state) = (self.socket.clone(), self.session_name.clone(), self.state.clone());
        // Docker tells of a container that is being started only once it runs: nobody but its own requests
        // may wait for that.
        tokio::spawn(async move {
            let known = inspect(&docker, id, place.as_ref()).await;
            if let Some(Known { said: Said::Wish(wish), .. }) = known.as_deref()
                && let Some(state) = state.upgrade()
            {
                state.adopt(&socket, wish);
            }
            // The container may be gone again, and with it whoever would hear this.
            let _ = tell.send(Some(known));
        });
        told
    }

    /// Lets go of roles that no container asks for any more. Not while a container has yet to say what it
    /// asks for: its role may just have been made.
    fn let_go(&self) {
        let told: Option<Vec<_>> = self.known.values().map(|told| told.borrow().clone()).collect();
        let Some(told) = told else { return };
        let wishes = told.into_iter().flatten().filter_map(|known| match &known.said {
            Said::Wish(wish) => Some(wish.clone()),
            Said::Nothing | Said::Nonsense(_) => None,
        });
        if let Some(state) = self.state.upgrade() {
            state.keep_adopted(&self.socket, &wishes.collect());
        }
    }

    /// Answers everyone who waits.
    fn answer(&mut self, table: &Table, docker: &Docker) {
        for question in std::mem::take(&mut self.waiting) {
            let owners = table.owners(question.address);
            if owners.is_empty() {
                // A caller that has gone away hears nothing, here and below.
                let _ = question.reply.send(Lookup::Nobody);
                continue;
            }
            let told: Vec<Told> = owners.iter().map(|id| self.learn(id, docker)).collect();
            tokio::spawn(async move {
                let known = told.into_iter().map(|mut told| async move {
                    told.wait_for(Option::is_some).await.ok().and_then(|known| known.clone()).flatten()
                });
                let known: Option<Vec<_>> = join_all(known).await.into_iter().collect();
                let _ = question.reply.send(known.map_or(Lookup::Unknown, |k| one_of(&k, question.address)));
            });
        }
    }

    fn away(&mut self, error: &str) {
        for question in self.waiting.drain(..) {
            let _ = question.reply.send(Lookup::Unknown);
        }
        self.known.clear();
        self.note(Some(error));
    }

    /// Notes how the engine does, for `status`; in the log when that is new.
    fn note(&self, error: Option<&str>) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = self.socket.display();
        let connected = error.is_none();
        if connected && !status.connected {
            log::info!("container engine {socket}: connected");
        }
        if let Some(error) = error.filter(|error| status.error.as_deref() != Some(error)) {
            log::warn!(
                "container engine {socket}: {error}; callers that are not on this host get no role meanwhile"
            );
        }
        status.connected = connected;
        status.error = error.map(str::to_owned);
        status.containers = self.known.len();
    }
}

/// Which of the containers with an address is meant: the one whose network namespace it is; where that
/// one says nothing (a pod's), those that share it, when they all say the same.
fn one_of(known: &[Arc<Known>], address: IpAddr) -> Lookup {
    let (guests, hosts): (Vec<_>, Vec<_>) = known.iter().partition(|container| container.guest);
    let [host] = hosts.as_slice() else {
        log::warn!("{address}: {} containers have this address: none is given a role", known.len());
        return Lookup::Unknown;
    };
    let mut speaking = guests.iter().filter(|guest| guest.said != Said::Nothing);
    match (&host.said, speaking.next()) {
        (Said::Nothing, Some(guest)) if speaking.all(|other| other.said == guest.said) => {
            Lookup::Container(Arc::clone(guest))
        }
        (Said::Nothing, Some(_)) => {
            log::warn!("{address}: the containers in one network ask for different roles: none is given");
            Lookup::Unknown
        }
        _ => Lookup::Container(Arc::clone(host)),
    }
}

/// An answer of the engine within [`ANSWER_WITHIN`].
pub(super) async fn within<T>(answer: impl Future<Output = Result<T, Error>>) -> Result<T, String> {
    match tokio::time::timeout(ANSWER_WITHIN, answer).await {
        Ok(answer) => answer.map_err(|e| in_words(&e)),
        Err(_) => Err(format!("no answer within {ANSWER_WITHIN:?}")),
    }
}

/// The same, where what is asked about may be gone meanwhile.
pub(super) async fn within_or_gone<T>(
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<Option<T>, String> {
    within(async {
        match answer.await {
            Ok(found) => Ok(Some(found)),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    })
    .await
}

/// Connects to an engine and settles on a version of its API.
async fn open(socket: &Path) -> Result<Docker, String> {
    // Tried by hand first: the library does not say why a connection cannot be made.
    UnixStream::connect(socket).await.map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "connect: permission denied (let the user of fake-metadata open it; that is worth root on this host)"
                .to_owned()
        }
        _ => format!("connect: {error}"),
    })?;
    let path = socket.to_str().ok_or("connect: its path is not UTF-8")?;
    let docker = Docker::connect_with_unix(path, REQUEST_SECONDS, bollard::API_DEFAULT_VERSION)
        .map_err(|e| in_words(&e))?;
    within(docker.negotiate_version()).await
}

/// What a container says of itself.
async fn inspect(docker: &Docker, id: Id, session_name: Option<&Place>) -> Option<Arc<Known>> {
    let found = docker
        .inspect_container(&id, None::<InspectContainerOptions>)
        .await
        .inspect_err(|error| log::warn!("container {id:.12}: {}", in_words(error)))
        .ok()?;
    let config = found.config.unwrap_or_default();
    let said = Wish::read(&config.env.unwrap_or_default(), &config.labels.unwrap_or_default(), session_name);
    let name = found.name.unwrap_or_default().trim_start_matches('/').to_owned();
    match &said {
        Said::Nothing => log::info!("container {name}: names no role"),
        Said::Wish(wish) => log::info!("container {name}: asks for role {}", wish.role),
        Said::Nonsense(why) => log::warn!("container {name}: {why}: it is given no role"),
    }
    let mode = found.host_config.and_then(|host| host.network_mode).unwrap_or_default();
    Some(Arc::new(Known { id, name, guest: mode.starts_with("container:"), said }))
}

/// An error without what the engine sent: that may hold containers' secrets.
fn in_words(error: &Error) -> String {
    match error {
        Error::DockerResponseServerError { status_code, .. } => format!("it answers {status_code}"),
        Error::JsonDataError { .. } | Error::JsonSerdeError { .. } => {
            "its answer is not of the form that Docker's API has".into()
        }
        Error::RequestTimeoutError => "no answer in time".into(),
        Error::SocketNotFoundError(_) => "connect: there is no such socket".into(),
        Error::IOError { err } => err.to_string(),
        Error::HttpClientError { err } => format!("talk: {err}"),
        Error::HyperResponseError { err } => format!("talk: {err}"),
        _ => "it cannot be asked".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(name: &str, guest: bool, role: Option<&str>) -> Arc<Known> {
        let wish = |role: &str| Wish { role: role.into(), external_id: None, session_name: None };
        let said = role.map_or(Said::Nothing, |role| Said::Wish(wish(role)));
        Arc::new(Known { id: name.into(), name: name.into(), guest, said })
    }

    fn chosen(known: &[Arc<Known>]) -> Option<String> {
        match one_of(known, "10.0.0.2".parse().unwrap()) {
            Lookup::Container(container) => Some(container.name.clone()),
            Lookup::Unknown => None,
            Lookup::Nobody => panic!("somebody has it"),
        }
    }

    #[test]
    fn a_guest_in_anothers_network_is_that_one() {
        let host = known("host", false, Some("a"));
        assert_eq!(chosen(&[known("guest", true, Some("b")), host.clone()]), Some("host".into()));
        assert_eq!(chosen(&[host]), Some("host".into()));
    }

    #[test]
    fn a_pods_containers_speak_for_it_with_one_voice() {
        let pod = known("pod", false, None);
        let (a, b, silent) =
            (known("a", true, Some("a")), known("b", true, Some("b")), known("silent", true, None));
        assert_eq!(chosen(&[pod.clone(), silent.clone()]), Some("pod".into()));
        assert_eq!(chosen(&[pod.clone(), silent.clone(), a.clone()]), Some("a".into()));
        assert_eq!(chosen(&[pod.clone(), a.clone(), known("a2", true, Some("a"))]), Some("a".into()));
        assert_eq!(chosen(&[pod, a, b]), None);
    }

    #[test]
    fn two_containers_on_networks_with_the_same_addresses_are_not_told_apart() {
        assert_eq!(chosen(&[known("a", false, Some("a")), known("b", false, Some("a"))]), None);
        assert_eq!(chosen(&[known("guest", true, Some("a"))]), None);
    }
}
