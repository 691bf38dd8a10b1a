//! The store under a clock that tests move and sources that do as told (`scripted`). Paused tokio time makes
//! days pass in milliseconds.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::{advance, sleep};

use super::scripted::*;
use super::*;
use crate::clock::SystemClock;
use crate::credentials::{Secret, add};

#[tokio::test(start_paused = true)]
async fn the_first_answer_comes_from_memory() {
    let script = Script::lasting(3600, Duration::from_secs(2));
    let (store, clock) = scripted(&script);
    settle().await;
    assert!(store.current("app", now(&clock)).is_none());
    sleep(Duration::from_secs(3)).await;
    assert_eq!(key(&store.current("app", now(&clock)).unwrap()), "ASIA0000000000000001");
}

#[tokio::test(start_paused = true)]
async fn five_hundred_cold_requests_are_one_call() {
    let script = Script::lasting(3600, Duration::from_secs(2));
    let (store, _) = scripted(&script);
    let waiting: Vec<_> = (0..500)
        .map(|_| {
            tokio::spawn({
                let store = store.clone();
                async move { store.get("app").await }
            })
        })
        .collect();
    for task in waiting {
        assert_eq!(key(&task.await.unwrap()), "ASIA0000000000000001");
    }
    assert_eq!(script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_cancels_nothing() {
    let script = Script::lasting(3600, Duration::from_secs(5));
    let (store, clock) = scripted(&script);
    assert!(tokio::time::timeout(Duration::from_secs(1), store.get("app")).await.is_err());
    assert_eq!(key(&store.get("app").await), "ASIA0000000000000001");
    assert_eq!(script.calls(), 1);
    assert_eq!(now(&clock).as_second() - START, 5);
}

#[tokio::test(start_paused = true)]
async fn over_days_there_are_always_15_minutes_left_where_the_source_allows_it() {
    for (lifetime, at_least, at_most_calls) in
        [(1200, 900, 900), (3600, 900, 120), (43_200, 900, 20), (900, 400, 500)]
    {
        let script = Script::lasting(lifetime, Duration::from_secs(5));
        let (store, clock) = scripted(&script);
        store.get("app").await.unwrap();
        for _ in 0..2 * 24 * 60 {
            sleep(Duration::from_secs(60)).await;
            let served = store.current("app", now(&clock)).expect("from memory").unwrap();
            let left = served.expiration.unwrap().duration_since(now(&clock)).as_secs();
            assert!(left >= at_least, "{left} s left of {lifetime}");
        }
        assert!(script.calls() <= at_most_calls, "{} calls for {lifetime}", script.calls());
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_good_ones_are_served_until_they_expire_then_the_failure() {
    let script =
        Script::new(|n, now| (Duration::ZERO, if n == 1 { Ok(made(1, now, 3600)) } else { failing(now) }));
    let (store, clock) = scripted(&script);
    store.get("app").await.unwrap();
    let end = now(&clock).as_second() + 3600;
    while now(&clock).as_second() < end - 1 {
        sleep(Duration::from_secs(7)).await;
        if now(&clock).as_second() < end {
            assert_eq!(key(&store.current("app", now(&clock)).expect("from memory")), "ASIA0000000000000001");
        }
    }
    sleep(Duration::from_secs(10)).await;
    let failure = store.get("app").await.unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.detail.as_str()),
        ("Failed", "ask the script: it was told to fail")
    );
    assert!(store.current("app", now(&clock)).expect("failures too come from memory").is_err());
    assert!((5..60).contains(&script.calls()), "{} calls in an hour", script.calls());
}

#[tokio::test(start_paused = true)]
async fn failures_are_retried_with_backoff_and_mend_themselves() {
    let script =
        Script::new(|n, now| (Duration::ZERO, if n < 6 { failing(now) } else { Ok(made(n, now, 3600)) }));
    let (store, clock) = scripted(&script);
    assert_eq!(key(&store.get("app").await), "Failed");
    let mut asked = Vec::new();
    while script.calls() < 6 {
        if asked.last().is_none_or(|(n, _)| *n < script.calls()) {
            asked.push((script.calls(), now(&clock).as_second() - START));
        }
        assert!(store.current("app", now(&clock)).is_none_or(|answer| answer.is_err()));
        sleep(Duration::from_millis(100)).await;
    }
    assert!((15..=40).contains(&(now(&clock).as_second() - START)), "{asked:?}");
    assert_eq!(key(&store.get("app").await), "ASIA0000000000000006");
}

#[tokio::test(start_paused = true)]
async fn expired_credentials_from_a_source_are_a_failure() {
    let script = Script::new(|n, now| (Duration::ZERO, Ok(made(n, now, if n == 1 { 3600 } else { -1 }))));
    let (store, clock) = scripted(&script);
    store.get("app").await.unwrap();
    store.refresh("app").unwrap();
    settle().await;
    assert_eq!(key(&store.current("app", now(&clock)).unwrap()), "ASIA0000000000000001");
    assert!(store.status()[0].last_error.as_ref().unwrap().contains("expired at"));
    store.expire("app").unwrap();
    assert_eq!(key(&store.get("app").await), "Failed");
}

#[tokio::test(start_paused = true)]
async fn after_a_suspend_the_next_answer_is_fresh_or_the_failure() {
    for (slept, works, expected) in [
        (7200, true, "ASIA0000000000000002"),
        (7200, false, "Failed"),
        (3000, true, "ASIA0000000000000002"),
        (3000, false, "ASIA0000000000000001"),
    ] {
        let script = Script::new(move |n, now| {
            (Duration::from_millis(300), if n == 1 || works { Ok(made(n, now, 3600)) } else { failing(now) })
        });
        let (store, clock) = scripted(&script);
        store.get("app").await.unwrap();
        clock.suspend(Duration::from_secs(slept));
        assert!(store.current("app", now(&clock)).is_none(), "{slept} {works}");
        assert_eq!(key(&store.get("app").await), expected, "{slept} {works}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_suspend_a_slow_source_delays_an_answer_by_less_than_a_second() {
    let script =
        Script::new(|n, now| (Duration::from_secs(if n == 1 { 0 } else { 5 }), Ok(made(n, now, 3600))));
    let (store, clock) = scripted(&script);
    store.get("app").await.unwrap();
    clock.suspend(Duration::from_secs(3000));
    let before = now(&clock);
    assert_eq!(key(&store.get("app").await), "ASIA0000000000000001");
    assert!(now(&clock).duration_since(before) < SignedDuration::from_millis(900));
    sleep(Duration::from_secs(6)).await;
    assert_eq!(key(&store.get("app").await), "ASIA0000000000000002");
}

#[tokio::test(start_paused = true)]
async fn after_the_clock_was_set_the_next_answer_is_fresh_or_the_failure() {
    for (by, works, expected) in [
        (-86_400, true, "ASIA0000000000000002"),
        (-86_400, false, "Failed"),
        (600, true, "ASIA0000000000000002"),
        (600, false, "Failed"),
    ] {
        let script = Script::new(move |n, now| {
            (Duration::ZERO, if n == 1 || works { Ok(made(n, now, 3600)) } else { failing(now) })
        });
        let (store, clock) = scripted(&script);
        store.get("app").await.unwrap();
        clock.set_wall(by);
        assert!(store.current("app", now(&clock)).is_none());
        assert_eq!(key(&store.get("app").await), expected, "{by} {works}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panicking_source_is_a_failure_like_others() {
    let script =
        Script::new(
            |n, now| if n == 1 { panic!("told to") } else { (Duration::ZERO, Ok(made(n, now, 3600))) },
        );
    let (store, _) = scripted(&script);
    assert!(store.get("app").await.unwrap_err().detail.contains("panicked"));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(key(&store.get("app").await), "ASIA0000000000000002");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_never_answers_is_given_up() {
    let script = Script::lasting(3600, Duration::from_secs(1_000_000));
    let (store, _) = scripted(&script);
    assert_eq!(
        store.get("app").await.unwrap_err().detail,
        "get credentials from scripted: no answer within 60 s"
    );
}

#[tokio::test(start_paused = true)]
async fn refresh_serves_the_old_ones_meanwhile_and_expire_does_not() {
    let script = Script::lasting(3600, Duration::from_secs(2));
    let (store, clock) = scripted(&script);
    store.get("app").await.unwrap();
    store.refresh("app").unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(key(&store.current("app", now(&clock)).unwrap()), "ASIA0000000000000001");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(key(&store.current("app", now(&clock)).unwrap()), "ASIA0000000000000002");
    store.expire("app").unwrap();
    assert!(store.current("app", now(&clock)).is_none());
    assert_eq!(key(&store.get("app").await), "ASIA0000000000000003");
    assert_eq!(store.refresh("web"), Err(UnknownRole("web".into())));
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_what_is_unchanged_and_tells_those_who_wait_for_the_rest() {
    let (kept, gone, replaced) = (
        Script::lasting(3600, Duration::ZERO),
        Script::lasting(3600, Duration::from_secs(9)),
        Script::lasting(3600, Duration::ZERO),
    );
    let source = |script: &Script| Source::Scripted(script.clone());
    let (store, clock) =
        store_of(&[("kept", source(&kept)), ("gone", source(&gone)), ("replaced", source(&replaced))]);
    settle().await;
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.get("gone").await }
    });
    settle().await;
    let other = Script::lasting(7200, Duration::ZERO);
    let changes = store
        .install(
            [("kept", &kept), ("replaced", &other), ("new", &other)]
                .map(|(name, script)| (name.to_owned(), source(script)))
                .into(),
        )
        .unwrap();
    let named = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        changes,
        Changes { added: named(&["new"]), changed: named(&["replaced"]), removed: named(&["gone"]) }
    );
    assert!(waiting.await.unwrap().unwrap_err().detail.contains("no longer configured"));
    assert!(store.get("gone").await.unwrap_err().detail.contains("there is no role"));
    settle().await;
    assert!(store.current("kept", now(&clock)).unwrap().is_ok());
    sleep(Duration::from_secs(86_400)).await;
    assert!(kept.calls() > 20 && gone.calls() == 1 && replaced.calls() == 1);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_store_asks_nobody_any_more() {
    let script = Script::lasting(900, Duration::ZERO);
    let (store, _) = scripted(&script);
    store.get("app").await.unwrap();
    drop(store);
    sleep(Duration::from_secs(86_400)).await;
    assert_eq!(script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn fed_credentials_are_served_until_the_source_takes_over() {
    let script = Script::lasting(3600, Duration::ZERO);
    let (store, clock) = scripted(&script);
    store.get("app").await.unwrap();
    store.feed("app", made(7777, now(&clock), 7200)).unwrap();
    sleep(Duration::from_secs(6000)).await;
    assert_eq!(key(&store.current("app", now(&clock)).unwrap()), "ASIA0000000000007777");
    assert!(store.status()[0].fed && script.calls() == 1);
    sleep(Duration::from_secs(400)).await;
    assert_eq!(key(&store.current("app", now(&clock)).unwrap()), "ASIA0000000000000002");
    assert!(!store.status()[0].fed);
}

#[tokio::test(start_paused = true)]
async fn what_is_fed_counts_more_than_an_attempt_under_way() {
    for works in [true, false] {
        let outcome = move |n, now| if works { Ok(made(n, now, 3600)) } else { failing(now) };
        let script = Script::new(move |n, now| (Duration::from_secs(3), outcome(n, now)));
        let (store, clock) = scripted(&script);
        sleep(Duration::from_secs(1)).await;
        store.feed("app", made(7777, now(&clock), 3600)).unwrap();
        let fed = store.status();
        sleep(Duration::from_secs(5)).await;
        assert_eq!(script.calls(), 1);
        assert_eq!(key(&store.current("app", now(&clock)).unwrap()), "ASIA0000000000007777");
        let status = store.status();
        assert_eq!((&status[0].last_error, status[0].next_refresh), (&None, fed[0].next_refresh));
        assert_eq!(status[0].attempts, 1, "who waits for it is told");
        store.expire("app").unwrap();
        let expected = if works { "ASIA0000000000000002" } else { "Failed" };
        assert_eq!(key(&store.get("app").await), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_source_that_is_replaced_gets_the_answer_of_the_new_one() {
    let (slow, quick) =
        (Script::lasting(3600, Duration::from_secs(20)), Script::lasting(7200, Duration::ZERO));
    let (store, _) = scripted(&slow);
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.get("app").await }
    });
    sleep(Duration::from_secs(1)).await;
    store.install([("app".to_owned(), Source::Scripted(quick.clone()))].into()).unwrap();
    assert_eq!(key(&waiting.await.unwrap()), "ASIA0000000000000001");
    assert_eq!(quick.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fed_role_has_what_it_was_fed_and_nothing_else() {
    let (store, clock) = store_of(&[("person", Source::Fed), ("fake", Source::Generated)]);
    let failure = store.get("person").await.unwrap_err();
    assert!(
        failure.needs_person && failure.detail.contains("role feed person --profile PROFILE"),
        "{failure:?}"
    );
    store.feed("person", made(1, now(&clock), 3600)).unwrap();
    sleep(Duration::from_secs(3599)).await;
    assert_eq!(key(&store.current("person", now(&clock)).unwrap()), "ASIA0000000000000001");
    sleep(Duration::from_secs(1)).await;
    assert!(store.get("person").await.unwrap_err().detail.contains("expired at"));
    store.feed("fake", made(2, now(&clock), 60)).unwrap();
    assert_eq!(key(&store.get("fake").await), "ASIA0000000000000002");
    sleep(Duration::from_secs(61)).await;
    assert!(key(&store.get("fake").await).starts_with("ASIAFAKE"));
}

#[tokio::test(start_paused = true)]
async fn a_session_of_unknown_end_is_asked_for_again_every_minute() {
    let endless = |token: Option<Secret>| {
        Script::new(move |n, now| {
            let keys = made(n.div_ceil(3), now, 0);
            (Duration::ZERO, Ok(Credentials { expiration: None, token: token.clone(), ..keys }))
        })
    };
    let (session, keys) = (endless(Some(Secret::new("token"))), endless(None));
    let (store, clock) =
        store_of(&[("a", Source::Scripted(session.clone())), ("b", Source::Scripted(keys.clone()))]);
    sleep(Duration::from_secs(59)).await;
    assert_eq!((session.calls(), keys.calls()), (1, 1));
    sleep(Duration::from_secs(300)).await;
    assert_eq!((session.calls(), keys.calls()), (6, 1));
    assert_eq!(key(&store.current("a", now(&clock)).unwrap()), "ASIA0000000000000002");
    assert_eq!(store.status().iter().map(|role| role.end_unknown).collect::<Vec<_>>(), [true, false]);
}

#[tokio::test(start_paused = true)]
async fn what_is_fed_must_be_of_use() {
    let (store, clock) = store_of(&[("person", Source::Fed)]);
    let said = |role: &str, credentials| store.feed(role, credentials).unwrap_err().to_string();
    let good = made(1, now(&clock), 3600);
    assert_eq!(said("web", good.clone()), r#"there is no role "web""#);
    assert!(said("person", made(1, now(&clock), 0)).starts_with("feed role person: they expired at 2027-"));
    assert!(said("person", Credentials { expiration: None, ..good.clone() }).contains("no expiration"));
    let split = Credentials { token: Some(Secret::new("a\r\nb")), ..good };
    assert!(said("person", split).contains("no key has"));
}

#[tokio::test(start_paused = true)]
async fn generated_roles_need_no_thread_no_waiting_and_no_refresh() {
    let clock = TestClock::new();
    let outgoing = Outgoing::own_thread();
    let specs = Specs::from([("a".into(), RoleSpec::default()), ("b".into(), RoleSpec::default())]);
    let store =
        Store::new(&specs, &Settings::default(), environment(clock.clone(), outgoing.clone())).unwrap();
    let mut keys = std::collections::BTreeSet::new();
    for _ in 0..3 * 24 * 4 {
        for role in ["a", "b", IDENTITY_ROLE] {
            let served = store.current(role, now(&clock)).expect("from memory").unwrap();
            assert!(served.expiration.unwrap().duration_since(now(&clock)) > SignedDuration::from_hours(1));
            keys.insert(served.access_key_id.clone());
        }
        advance(Duration::from_secs(900)).await;
    }
    assert_eq!(keys.len(), 3 * 3 * 24);
    let before = store.current("a", now(&clock)).unwrap().unwrap();
    advance(Duration::from_secs(60)).await;
    store.refresh("a").unwrap();
    assert_ne!(store.current("a", now(&clock)).unwrap().unwrap().access_key_id, before.access_key_id);
    assert!(!outgoing.started());
}

#[tokio::test(start_paused = true)]
async fn status_tells_source_age_expiry_refresh_error_and_who_asked() {
    let script =
        Script::new(|n, now| (Duration::ZERO, if n == 1 { Ok(made(1, now, 3600)) } else { failing(now) }));
    let (store, clock) = scripted(&script);
    store.get("app").await.unwrap();
    store.note_asked("app", "172.17.0.2", now(&clock));
    sleep(Duration::from_secs(120)).await;
    store.refresh("app").unwrap();
    settle().await;
    let at = |n: i64| Timestamp::from_second(START + n).unwrap();
    let status = store.status().remove(0);
    assert_eq!(
        (status.role.as_str(), status.source, status.serving, status.age),
        ("app", "scripted", true, Some(120))
    );
    assert_eq!((status.last_updated, status.expiration), (Some(at(0)), Some(at(3600))));
    assert!(status.next_refresh.unwrap() > at(120) && status.next_refresh.unwrap() < at(122));
    assert_eq!(status.last_error.as_deref(), Some("ask the script: it was told to fail"));
    assert_eq!((status.last_error_at, status.needs_person), (Some(at(120)), false));
    assert_eq!((status.asked_by.as_deref(), status.asked_at), (Some("172.17.0.2"), Some(at(0))));
    let json = serde_json::to_value(&status).unwrap();
    assert_eq!(json["next-refresh"], serde_json::json!(status.next_refresh.unwrap().to_string()));
    assert!(!json.to_string().contains("ASIA") && !json.to_string().contains("secret1"));
}

/// A store with a thread of its own, as in the daemon, and one file role.
fn file_store(path: &Path) -> Store {
    let spec = RoleSpec { source: crate::SourceKind::File, file: Some(path.into()), ..RoleSpec::default() };
    let specs = Specs::from([("app".into(), spec)]);
    Store::new(&specs, &Settings::default(), environment(Arc::new(SystemClock), Outgoing::own_thread()))
        .unwrap()
}

fn document(key: &str, lifetime: i64) -> String {
    let expiration = add(Timestamp::now(), seconds(lifetime));
    format!(r#"{{"AccessKeyId":"{key}","SecretAccessKey":"s","Token":"t","Expiration":"{expiration}"}}"#)
}

#[tokio::test]
async fn the_answer_after_a_file_was_replaced_is_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    fs::write(&path, document("ASIAFIRSTFIRSTFIRST0", 3600)).unwrap();
    let store = file_store(&path);
    assert_eq!(key(&store.get("app").await), "ASIAFIRSTFIRSTFIRST0");
    for n in 0..100 {
        let wanted = format!("ASIA{n:016}");
        if n % 2 == 0 {
            fs::write(&path, document(&wanted, 3600)).unwrap();
        } else {
            let other = folder.path().join("new.json");
            fs::write(&other, document(&wanted, 3600)).unwrap();
            fs::rename(&other, &path).unwrap();
        }
        assert!(store.current("app", Timestamp::now()).is_none());
        assert_eq!(key(&store.get("app").await), wanted);
    }
}

#[tokio::test]
async fn a_broken_file_keeps_the_last_good_ones_and_an_expired_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let store = file_store(&path);
    assert!(store.get("app").await.unwrap_err().detail.contains("there is no such file"));
    fs::write(&path, document("ASIAFIRSTFIRSTFIRST0", 3600)).unwrap();
    assert_eq!(key(&store.get("app").await), "ASIAFIRSTFIRSTFIRST0");
    fs::write(&path, &document("ASIASECONDSECOND0000", 3600)[..60]).unwrap();
    assert_eq!(key(&store.get("app").await), "ASIAFIRSTFIRSTFIRST0");
    assert!(store.status()[0].last_error.as_ref().unwrap().contains("incomplete"));
    fs::remove_file(&path).unwrap();
    assert_eq!(key(&store.get("app").await), "ASIAFIRSTFIRSTFIRST0");
    fs::write(&path, document("ASIATHIRDTHIRDTHIRD0", -1)).unwrap();
    let failure = store.get("app").await.unwrap_err();
    assert!(failure.detail.contains("they expired at"), "{failure:?}");
    fs::write(&path, document("ASIAFOURTHFOURTH0000", 3600)).unwrap();
    assert_eq!(key(&store.get("app").await), "ASIAFOURTHFOURTH0000");
}

#[tokio::test(start_paused = true)]
async fn the_instances_identity_is_nobodys_role() {
    let (store, clock) = store_of(&[]);
    let before = store.current(IDENTITY_ROLE, now(&clock)).unwrap();
    let fed = Source::Scripted(Script::lasting(3600, Duration::ZERO));
    let refused = store.install([(IDENTITY_ROLE.to_owned(), fed)].into()).unwrap_err().to_string();
    let specs = Specs::from([(IDENTITY_ROLE.into(), RoleSpec::default())]);
    assert_eq!(Store::check(&specs, &Settings::default()).unwrap_err().to_string(), refused);
    assert_eq!(refused, "name: is the instance's own identity (give the role another name)");
    assert_eq!(store.current(IDENTITY_ROLE, now(&clock)).unwrap(), before);
}

#[test]
fn specs_are_refused_whole_by_role_and_key() {
    let refused = |json: &str| {
        let spec: RoleSpec = serde_json::from_str(json).unwrap();
        let error = Store::check(&Specs::from([("app".into(), spec)]), &Settings::default()).unwrap_err();
        (error.role.clone(), error.to_string())
    };
    let said = |text: &str| ("app".to_owned(), text.to_owned());
    assert_eq!(
        refused(r#"{"source":"file"}"#),
        said("file: is missing (give the path of the JSON document)")
    );
    assert_eq!(refused(r#"{"source":"file","file":"keys.json"}"#), said("file: is not an absolute path"));
    assert_eq!(refused(r#"{"file":"/keys.json"}"#), said("file: goes with source = \"file\" only"));
    assert!(serde_json::from_str::<RoleSpec>(r#"{"flie":"/keys.json"}"#).is_err());
}
