//! The man page and the completions that the package ships.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::process::Command;

fn generated(what: &str) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_fake-metadata-setup")).args(["generate", what]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_man_page_has_every_subcommand_and_no_hidden_one() {
    let page = generated("man");
    assert!(page.contains(".TH fake-metadata-setup 8"), "{page}");
    for subcommand in ["apply", "remove", "status", "plan"] {
        assert!(
            page.contains(&format!(".SS \"fake-metadata-setup {subcommand}\"")),
            "{subcommand} is not in {page}"
        );
    }
    for flag in ["\\-\\-boot", "\\-\\-force", "\\-\\-watch", "\\-\\-dry\\-run", "\\-\\-json"] {
        assert!(page.contains(flag), "{flag} is not in {page}");
    }
    assert!(!page.contains("generate") && !page.contains("kill"), "{page}");
}

#[test]
fn each_shell_gets_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let text = generated(shell);
        assert!(text.contains("fake-metadata-setup") && text.contains("apply"), "{shell}: {text}");
    }
}
