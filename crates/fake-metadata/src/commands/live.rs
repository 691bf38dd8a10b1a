//! Commands that change what the running daemon serves.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value, json};

use super::{Outcome, Usage, output};
use crate::cli::{EndpointMode, LiveArgs, Set, TagsCommand, TokensMode, Unset, UserData};
use crate::control::client::Daemon;
use crate::live::{Change, USER_DATA_BYTES, canonical, of_a_value, tree_path};

pub(super) fn set(args: Set) -> Outcome {
    let changes = pairs(&args.pairs, "PATH VALUE", |path, value| {
        let path = tree_path(path).and_then(|path| of_a_value(&path)).map_err(Usage)?;
        Ok(Change::Set { path, value: value.to_owned() })
    })?;
    send(&args.live, json!({ "changes": changes }))
}

pub(super) fn unset(args: &Unset) -> Outcome {
    let paths = args.paths.iter().map(|path| checked(path)).collect::<Result<Vec<_>, Usage>>()?;
    send(&args.live, if args.undo { json!({ "undo": paths }) } else { json!({ "unset": paths }) })
}

pub(super) fn tags(command: &TagsCommand) -> Outcome {
    match command {
        TagsCommand::Set { pairs: given, live } => {
            let changes = pairs(given, "KEY VALUE", |key, value| {
                Ok(Change::Tag { key: key.to_owned(), value: Some(value.to_owned()) })
            })?;
            send(live, json!({ "changes": changes }))
        }
        TagsCommand::Unset { keys, live } => send(live, json!({ "unset-tags": keys })),
    }
}

pub(super) fn user_data(args: &UserData) -> Outcome {
    let base64 = match &args.file {
        Some(file) => Some(STANDARD.encode(bytes(file)?)),
        None => None,
    };
    send(&args.live, json!({ "changes": [Change::UserData { base64 }] }))
}

pub(super) fn tokens(mode: TokensMode, live: &LiveArgs) -> Outcome {
    let mode = match mode {
        TokensMode::Optional => imds::TokenMode::Optional,
        TokensMode::Required => imds::TokenMode::Required,
    };
    send(live, json!({ "changes": [Change::Tokens { mode }] }))
}

pub(super) fn endpoint(mode: EndpointMode, live: &LiveArgs) -> Outcome {
    let mode = match mode {
        EndpointMode::Enable => imds::Endpoint::Enabled,
        EndpointMode::Disable => imds::Endpoint::Disabled,
    };
    send(live, json!({ "changes": [Change::Endpoint { mode }] }))
}

fn pairs(
    given: &[String],
    form: &str,
    change: impl Fn(&str, &str) -> Result<Change, Usage>,
) -> Result<Vec<Change>, Usage> {
    let (pairs, rest) = given.as_chunks::<2>();
    if let [lonely, ..] = rest {
        return Err(Usage(format!(
            "{lonely:?} has no value: give {form}, and as many more pairs as you like"
        )));
    }
    pairs.iter().map(|[name, value]| change(name, value)).collect()
}

fn checked(path: &str) -> Result<String, Usage> {
    tree_path(path).and_then(|path| canonical(&path)).map_err(Usage)
}

fn bytes(file: &Path) -> Result<Vec<u8>, Usage> {
    let mut data = Vec::new();
    let limit = USER_DATA_BYTES as u64 + 1;
    let read = match file.to_str() {
        Some("-") => std::io::stdin().take(limit).read_to_end(&mut data),
        _ => std::fs::File::open(file).and_then(|open| open.take(limit).read_to_end(&mut data)),
    };
    read.map_err(|e| Usage(format!("read {}: {e}", file.display())))?;
    if data.len() > USER_DATA_BYTES {
        return Err(Usage(format!(
            "{}: EC2 takes at most {USER_DATA_BYTES} bytes of user data",
            file.display()
        )));
    }
    Ok(data)
}

fn send(live: &LiveArgs, mut request: Value) -> Outcome {
    request["persist"] = json!(live.persist);
    let answer = Daemon::at(live.daemon.path()).ask(Method::POST, "/v1/changes", Some(&request))?;
    for line in answer["done"].as_array().into_iter().flatten() {
        output::line(line.as_str().unwrap_or_default())?;
    }
    Ok(ExitCode::SUCCESS)
}
