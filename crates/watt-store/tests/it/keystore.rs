use watt_store::{KeyError, Keystore, Seed};

fn store() -> (tempfile::TempDir, Keystore) {
    let temp = tempfile::tempdir().unwrap();
    let store = Keystore::open(&temp.path().join("keys")).unwrap();
    (temp, store)
}

/// A key is stored once and comes back; another can't take its place. Covers: B10.
#[test]
fn a_key_is_never_overwritten() {
    let (temp, store) = store();
    store.create("voting", &Seed::new([7; 32])).unwrap();
    let error = store.create("voting", &Seed::new([8; 32])).unwrap_err();
    assert!(matches!(error, KeyError::Exists { .. }), "{error}");
    assert_eq!(store.load("voting").unwrap().expose(), &[7; 32]);
    store.create("account-2", &Seed::new([9; 32])).unwrap();
    assert_eq!(store.names().unwrap(), ["account-2", "voting"]);
    assert!(store.contains("voting") && !store.contains("other"));
    let files = std::fs::read_dir(temp.path().join("keys")).unwrap().count();
    assert_eq!(files, 2, "nothing unfinished stays");
}

/// Nothing that is shown of a key or of an error gives it away.
#[test]
fn seeds_are_not_printed() {
    let (temp, store) = store();
    assert_eq!(format!("{:?}", Seed::new([0xAB; 32])), "Seed(secret)");
    store.create("k", &Seed::new([0xAB; 32])).unwrap();
    std::fs::write(temp.path().join("keys/k.key"), "watt-key-1\nabab\n").unwrap();
    let text = format!("{:?} {}", store.load("k"), store.load("k").unwrap_err());
    assert!(!text.contains("abab"), "{text}");
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_refused_with_the_cure() {
    use std::os::unix::fs::PermissionsExt as _;
    let (temp, store) = store();
    store.create("k", &Seed::new([1; 32])).unwrap();
    let (dir, path) = (temp.path().join("keys"), temp.path().join("keys/k.key"));
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(
        std::fs::metadata(dir).unwrap().permissions().mode() & 0o777,
        0o700
    );
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = store.load("k").unwrap_err();
    assert!(
        matches!(error, KeyError::NotPrivate { mode: 0o644, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("chmod 600"), "{error}");
}

#[test]
fn a_spoilt_key_file_is_no_key() {
    let (temp, store) = store();
    store.create("k", &Seed::new([1; 32])).unwrap();
    let path = temp.path().join("keys/k.key");
    let sound = std::fs::read(&path).unwrap();
    for at in 0..sound.len() {
        let mut bad = sound.clone();
        bad[at] ^= 1;
        std::fs::write(&path, &bad).unwrap();
        assert!(
            matches!(store.load("k"), Err(KeyError::Damaged { .. })),
            "byte {at}"
        );
    }
    std::fs::write(&path, &sound[..20]).unwrap();
    assert!(matches!(store.load("k"), Err(KeyError::Damaged { .. })));
    assert!(matches!(store.load("absent"), Err(KeyError::Unknown { .. })));
    assert!(matches!(store.load("../k"), Err(KeyError::BadName { .. })));
}
