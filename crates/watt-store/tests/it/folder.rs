use std::path::{Path, PathBuf};
use std::process::Command;
use watt_store::{Folder, FolderError, Origin};

/// Set for the second process of [`a_second_process_is_told_who_has_the_folder`].
const FOLDER_VARIABLE: &str = "WATT_STORE_TEST_FOLDER";

fn temp() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn open(path: &Path) -> Result<Folder, FolderError> {
    Folder::open(path, Origin::Unsaid)
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// A restart is counted, and the folder's id stays. Covers: A1.
#[test]
fn each_start_is_counted() {
    let temp = temp();
    let path = temp.path().join("deep/node");
    let first = open(&path).unwrap().incarnation().clone();
    let second = open(&path).unwrap().incarnation().clone();
    assert_eq!((first.n_boots, second.n_boots), (1, 2));
    assert_eq!(first.id, second.id);
    assert_ne!(first.id, [0; 16]);
}

/// The other half of the test below: does nothing unless that one started it.
#[test]
fn second_process() {
    let Some(path) = std::env::var_os(FOLDER_VARIABLE) else {
        return;
    };
    let error = open(Path::new(&path)).unwrap_err();
    let FolderError::InUse { pid: Some(pid), .. } = error else {
        panic!("{error}");
    };
    assert_eq!(pid, parent_pid());
    assert!(
        error
            .to_string()
            .starts_with(&format!("another watt process ({pid}) is using the data folder"))
    );
}

fn parent_pid() -> u32 {
    std::env::var("WATT_STORE_TEST_PARENT").unwrap().parse().unwrap()
}

/// Two nodes on one folder would contradict each other: the second stops with a sentence. Covers: A1.
#[test]
fn a_second_process_is_told_who_has_the_folder() {
    let temp = temp();
    let folder = open(temp.path()).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "folder::second_process"])
        .env(FOLDER_VARIABLE, temp.path())
        .env("WATT_STORE_TEST_PARENT", std::process::id().to_string())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert!(
        matches!(open(temp.path()), Err(FolderError::InUse { .. })),
        "in one process too"
    );
    drop(folder);
    open(temp.path()).unwrap();
}

/// A copied folder holds a second life of one identity; it runs only when its owner says that the first is over.
/// Covers: A1.
#[test]
fn a_copied_folder_is_refused_until_it_is_said_to_be_moved() {
    let temp = temp();
    let (original, copy) = (temp.path().join("a"), temp.path().join("b"));
    let id = open(&original).unwrap().incarnation().id;
    copy_dir(&original, &copy);
    for _ in 0..2 {
        let error = open(&copy).unwrap_err();
        let FolderError::Copied { recorded_path, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(*recorded_path, std::fs::canonicalize(&original).unwrap());
        assert!(
            error.to_string().contains("start with an empty folder"),
            "{error}"
        );
    }
    open(&original).unwrap();
    let moved = Folder::open(&copy, Origin::MovedOnPurpose).unwrap();
    assert_eq!(moved.incarnation().id, id);
    drop(moved);
    open(&copy).unwrap();
}

/// A folder restored from a copy to its old place is another folder: what it had signed since is forgotten.
#[test]
fn a_restored_folder_is_a_copy() {
    let temp = temp();
    let (place, backup) = (temp.path().join("a"), temp.path().join("backup"));
    open(&place).unwrap();
    copy_dir(&place, &backup);
    // The old one is kept, or its numbers could be given to the new one.
    std::fs::rename(&place, temp.path().join("old")).unwrap();
    copy_dir(&backup, &place);
    assert!(matches!(open(&place), Err(FolderError::Copied { .. })));
}

/// Renaming a folder is no copy.
#[test]
fn a_renamed_folder_opens() {
    let temp = temp();
    let (before, after) = (temp.path().join("a"), temp.path().join("b"));
    let id = open(&before).unwrap().incarnation().id;
    std::fs::rename(&before, &after).unwrap();
    assert_eq!(open(&after).unwrap().incarnation().id, id);
    open(&after).unwrap();
}

/// A folder of a newer program is left alone.
#[test]
fn a_newer_format_is_refused_and_untouched() {
    let temp = temp();
    open(temp.path()).unwrap();
    let format = temp.path().join("format");
    std::fs::write(&format, "watt-data 2\n").unwrap();
    let before = std::fs::read(temp.path().join("incarnation")).unwrap();
    let error = open(temp.path()).unwrap_err();
    assert!(
        matches!(error, FolderError::NewerFormat { found: 2, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("install the newer version"), "{error}");
    assert_eq!(std::fs::read(temp.path().join("incarnation")).unwrap(), before);
    std::fs::write(&format, "something else").unwrap();
    assert!(matches!(open(temp.path()), Err(FolderError::Damaged { .. })));
}

#[test]
fn a_damaged_incarnation_record_is_not_guessed() {
    let temp = temp();
    open(temp.path()).unwrap();
    let path: PathBuf = temp.path().join("incarnation");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen('1', "2", 1)).unwrap();
    assert!(matches!(open(temp.path()), Err(FolderError::Damaged { .. })));
}
