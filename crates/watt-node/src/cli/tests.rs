//! The command line without a network: help, usage errors, exit codes.

use super::*;
use crate::error::ErrorKind;
use expect_test::expect_file;

fn parse(arguments: &[&str]) -> Result<Cli, CommandError> {
    let all = std::iter::once("watt").chain(arguments.iter().copied());
    Cli::try_parse_from(all).map_err(|error| usage::in_words(&error))
}

fn refusal(arguments: &[&str]) -> (String, String) {
    let error = parse(arguments).expect_err("these arguments are wrong");
    assert_eq!(error.kind, ErrorKind::Usage);
    assert!(
        !error.message.contains('\n') && !error.hint.contains('\n'),
        "{error:?}"
    );
    (error.message, error.hint)
}

#[test]
fn definition_is_consistent() {
    command().debug_assert();
}

/// The whole help text, so that a change of it is seen.
#[test]
fn help_of_every_command() {
    fn collect(command: &mut clap::Command, path: &str, page: &mut String) {
        let path = format!("{path}{}", command.get_name());
        page.push_str(&format!(
            "==== {path} ====\n{}\n",
            command.clone().term_width(100).render_long_help()
        ));
        for sub in command.get_subcommands_mut() {
            collect(sub, &format!("{path} "), page);
        }
    }
    let mut page = String::new();
    let mut root = command().term_width(100).disable_version_flag(true);
    root.build();
    collect(&mut root, "", &mut page);
    let page: String = page
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect();
    expect_file!["./help.txt"].assert_eq(&page);
}

#[test]
fn every_command_has_help_with_an_example() {
    fn check(command: &clap::Command, path: &str) {
        let path = format!("{path} {}", command.get_name());
        assert!(command.get_about().is_some(), "{path} has no help");
        let mut subs = command.get_subcommands().peekable();
        if subs.peek().is_none() {
            let after = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(after.contains("Examples:\n  watt "), "{path} has no example");
        }
        for sub in subs {
            check(sub, &path);
        }
    }
    for sub in command().get_subcommands() {
        check(sub, "watt");
    }
}

#[test]
fn every_exit_code_is_in_the_help() {
    let help = command()
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    for kind in ErrorKind::ALL {
        assert!(help.contains(&format!(" {} ", kind.exit_code())), "{kind:?}");
    }
}

#[test]
fn wrong_usage_is_two_lines_with_a_next_step() {
    assert_eq!(refusal(&["putt"]).1, "a similar subcommand exists: 'put'");
    let (message, hint) = refusal(&["put"]);
    assert_eq!(
        message,
        "the following required arguments were not provided: <PATH>"
    );
    assert!(hint.starts_with("usage: watt put"), "{hint}");
    refusal(&["--jason", "ls"]);
}

#[test]
fn amounts_and_ids_are_refused_in_one_line() {
    let (message, _) = refusal(&["account", "send", "savings", "1,5"]);
    assert!(
        message.contains("an amount is digits with at most one point"),
        "{message}"
    );
    let (message, _) = refusal(&["account", "send", "savings", "0.000000001"]);
    assert!(message.contains("at most 8 decimals"), "{message}");
    let (message, _) = refusal(&["chain", "tx", "123"]);
    assert!(message.contains("64 hexadecimal digits"), "{message}");
    let (message, _) = refusal(&["put", "file", "--term", "soon"]);
    assert!(message.contains("no length of time"), "{message}");
    let (message, _) = refusal(&["demo", "--size", "big"]);
    assert!(message.contains("no size"), "{message}");
}

#[test]
fn global_options_stand_before_or_after_the_command() {
    for arguments in [["--json", "--home", "/h", "ls"], ["ls", "--json", "--home", "/h"]] {
        let cli = parse(&arguments).unwrap();
        assert!(cli.globals.json);
        assert_eq!(cli.globals.home, Some(PathBuf::from("/h")));
    }
}

fn code(arguments: &[&str], home: &std::path::Path) -> ExitCode {
    let all = std::iter::once("watt")
        .chain(arguments.iter().copied())
        .map(OsString::from);
    let home = home.to_str().expect("temporary folders have plain names");
    run(all, &Environment::of(&[("WATT_HOME", home)]))
}

/// What a script sees. `ExitCode` can't be compared, so its debug text is.
#[test]
fn exit_codes_follow_the_kind_of_error() {
    let folder = tempfile::tempdir().unwrap();
    let seen = |arguments: &[&str]| format!("{:?}", code(arguments, folder.path()));
    let expected = |code: u8| format!("{:?}", ExitCode::from(code));
    assert_eq!(seen(&["--version"]), expected(0));
    assert_eq!(seen(&["put"]), expected(2));
    assert_eq!(seen(&["account", "new", "savings"]), expected(0));
    assert_eq!(seen(&["account", "new", "savings"]), expected(7));
    assert_eq!(seen(&["account", "list"]), expected(0));
    assert_eq!(seen(&["devnet", "status"]), expected(3));
    assert_eq!(seen(&["devnet", "up", "--validators", "0"]), expected(2));
    assert_eq!(seen(&["node", "run"]), expected(2));
    assert_eq!(seen(&["cat", "watt:x", "--json"]), expected(2));
    assert_eq!(seen(&["config", "show", "--origin"]), expected(0));
    std::fs::write(folder.path().join("config.toml"), "[nod]\n").unwrap();
    assert_eq!(seen(&["config", "show"]), expected(2));
}

#[test]
fn nobody_at_the_address_is_temporary() {
    let folder = tempfile::tempdir().unwrap();
    let dead = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let seen = code(&["chain", "head", "--api", &dead, "--json"], folder.path());
    assert_eq!(format!("{seen:?}"), format!("{:?}", ExitCode::from(4)));
}

#[test]
fn completion_scripts_are_made_for_every_shell() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let seen = code(&["completion", shell, "--json"], folder.path());
        assert_eq!(format!("{seen:?}"), format!("{:?}", ExitCode::SUCCESS), "{shell}");
    }
}
