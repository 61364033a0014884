//! Configuration: precedence, errors that name the line, and values as people write them.

use super::value::settle_name;
use super::*;
use crate::error::ErrorKind;
use std::path::Path;

fn refusal(text: &str) -> String {
    let error = ConfigFile::parse(text, Path::new("/etc/watt/config.toml")).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Usage);
    format!("{} | {}", error.message, error.hint)
}

/// An unknown key is an error with file, line and the nearest known key. Covers: I1.
#[test]
fn unknown_key_names_line_and_nearest_key() {
    assert_eq!(
        refusal("[node]\ndata_dir = \"x\"\n\nbootstrp = []\n"),
        "/etc/watt/config.toml:4: unknown key `bootstrp` | did you mean `bootstrap`?"
    );
    assert_eq!(
        refusal("[nod]\n"),
        "/etc/watt/config.toml:1: unknown key `nod` | did you mean `node`?"
    );
    assert_eq!(
        refusal("[log]\ncompletely_else = 1\n"),
        "/etc/watt/config.toml:2: unknown key `completely_else` | known here: level, format"
    );
}

#[test]
fn wrong_type_and_broken_text_name_the_line() {
    assert!(refusal("[provider]\nhot = 3\n").starts_with("/etc/watt/config.toml:2: invalid type"));
    assert!(refusal("[node\n").starts_with("/etc/watt/config.toml:1: "));
}

fn settings(
    overrides: &Overrides,
    environment: &[(&str, &str)],
    file: &str,
) -> Result<Settings, crate::error::CommandError> {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::under(folder.path().to_owned());
    std::fs::write(home.config_file(), file).unwrap();
    Settings::resolve(overrides, &Environment::of(environment), &home, None)
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let file = "[client]\napi = \"http://file\"\n";
    let flag = Overrides {
        api: Some("http://flag".into()),
        ..Overrides::default()
    };
    let environment = [("WATT_API", "http://environment")];
    let api = |overrides: &Overrides, environment: &[(&str, &str)], file: &str| {
        let setting = settings(overrides, environment, file).unwrap().client_api;
        (setting.value.unwrap_or_default(), setting.origin)
    };
    assert_eq!(
        api(&flag, &environment, file),
        ("http://flag".into(), Origin::Flag("--api"))
    );
    let none = Overrides::default();
    assert_eq!(
        api(&none, &environment, file),
        ("http://environment".into(), Origin::Environment("WATT_API"))
    );
    let (value, origin) = api(&none, &[], file);
    assert_eq!(value, "http://file");
    assert!(matches!(origin, Origin::File(_)));
    assert_eq!(api(&none, &[], ""), (String::new(), Origin::Default));
}

#[test]
fn bad_value_says_where_it_stands_and_what_is_right() {
    let error = settings(&Overrides::default(), &[], "[provider]\ncapacity = \"many\"\n").unwrap_err();
    assert!(error.message.ends_with(
        "config.toml: provider.capacity: `many` is no size; write for example 64MiB, 10GB or 4096"
    ));
    let flag = Overrides {
        price: Some("1,5".into()),
        ..Overrides::default()
    };
    let error = settings(&flag, &[], "").unwrap_err();
    assert_eq!(
        error.message,
        "--price: an amount is digits with at most one point, for example 12.5"
    );
}

#[test]
fn paths_in_the_file_are_relative_to_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.toml");
    std::fs::write(&path, "[node]\ngenesis = \"genesis.cbor\"\n").unwrap();
    let home = Home::under(folder.path().join("home"));
    let settings =
        Settings::resolve(&Overrides::default(), &Environment::default(), &home, Some(&path)).unwrap();
    assert_eq!(settings.genesis.value, Some(folder.path().join("genesis.cbor")));
}

#[test]
fn named_file_that_is_missing_is_an_error_and_the_default_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::under(folder.path().to_owned());
    let resolve = |path| Settings::resolve(&Overrides::default(), &Environment::default(), &home, path);
    assert!(resolve(None).is_ok());
    assert_eq!(
        resolve(Some(Path::new("/nowhere/x.toml"))).unwrap_err().kind,
        ErrorKind::Usage
    );
}

/// What sleeps now and then folds its windows, unless its owner says otherwise. Covers: D3.
#[test]
fn machines_that_sleep_fold() {
    let settle = |file: &str| {
        let settings = settings(&Overrides::default(), &[], file).unwrap();
        (
            settle_name(settings.provider_settle.value),
            settings.provider_settle.origin,
        )
    };
    assert_eq!(settle(""), ("windows", Origin::Default));
    for (device, expected) in [("always-on", "windows"), ("daily", "folded"), ("phone", "folded")] {
        let file = format!("[provider]\ndevice = \"{device}\"\n");
        assert_eq!(settle(&file), (expected, Origin::Default));
        let (said, origin) = settle(&format!("{file}settle = \"windows\"\n"));
        assert_eq!(said, "windows");
        assert!(matches!(origin, Origin::File(_)));
    }
    let flag = Overrides {
        device: Some("phone".into()),
        ..Overrides::default()
    };
    let settings = settings(&flag, &[], "").unwrap();
    assert_eq!(settle_name(settings.provider_settle.value), "folded");
}

#[test]
fn every_key_of_the_file_is_shown() {
    let shown: Vec<&str> = settings(&Overrides::default(), &[], "")
        .unwrap()
        .rows()
        .iter()
        .map(|(key, ..)| *key)
        .collect();
    for section in ["client", "log", "node", "api", "provider"] {
        let unknown = refusal(&format!("[{section}]\nzzzzzzzzzzzz = 1\n"));
        let (_, known) = unknown.split_once("known here: ").unwrap();
        for key in known.split(", ") {
            assert!(
                shown.contains(&format!("{section}.{key}").as_str()),
                "{section}.{key}"
            );
        }
    }
}

#[test]
fn sizes_and_times_are_read_as_people_write_them() {
    assert_eq!(parse_bytes("64MiB"), Ok(64 << 20));
    assert_eq!(parse_bytes("10 GB"), Ok(10_000_000_000));
    assert_eq!(parse_bytes("4096"), Ok(4096));
    assert_eq!(parse_duration_ms("30d"), Ok(2_592_000_000));
    assert_eq!(parse_duration_ms("10min"), Ok(600_000));
    for text in ["", "MiB", "1.5GB", "-1", "99999999999999TiB", "1 parsec"] {
        assert!(parse_bytes(text).is_err(), "{text}");
        assert!(parse_duration_ms(text).is_err(), "{text}");
    }
}

#[test]
fn folders_follow_xdg_and_one_variable_moves_them_all() {
    let at = |variables: &[(&str, &str)]| Home::resolve(None, &Environment::of(variables)).unwrap();
    if !cfg!(target_os = "macos") {
        let home = at(&[("HOME", "/home/a"), ("XDG_DATA_HOME", "/data")]);
        assert_eq!(home.config_file(), Path::new("/home/a/.config/watt/config.toml"));
        assert_eq!(home.devnet_dir(), Path::new("/data/watt/devnet"));
        assert_eq!(
            home.devnet_registry(),
            Path::new("/home/a/.local/state/watt/devnet.json")
        );
    }
    let home = at(&[("HOME", "/home/a"), ("WATT_HOME", "/w")]);
    assert_eq!(home.config_file(), Path::new("/w/config.toml"));
    assert_eq!(
        Home::resolve(None, &Environment::default()).unwrap_err().kind,
        ErrorKind::Usage
    );
}
