//! The story of a stored file, told by a real network of processes on this machine. Every number is measured or read from
//! the ledger; any step that does not hold ends the story with an error.

mod cheat;
mod file;
mod proving;
mod report;
mod settlement;
mod story;

use crate::config::Home;
use crate::devnet::{Devnet, DevnetRules, DevnetSize};
use crate::error::{CommandError, ErrorKind};
use crate::keyfile;
use crate::ui::Ui;
use std::path::{Path, PathBuf};
use watt_primitives::Hash;

pub use report::{DemoReport, table};

/// What the demo stores, and on which network.
#[derive(Clone, Debug)]
pub struct DemoRequest {
    /// The file to store; `None` makes one.
    pub file: Option<PathBuf>,
    /// Size of the file that is made, in bytes.
    pub size_bytes: u64,
    /// Whether the folder stays.
    pub keeps_folder: bool,
    /// How many nodes.
    pub size: DevnetSize,
    /// `watt` itself, to start the nodes with.
    pub executable: PathBuf,
}

/// Tells the story. Whatever happens, also when `interrupted` resolves, every node is ended and the folder removed.
///
/// # Errors
/// The first step that did not hold.
pub async fn run(
    ui: &Ui,
    request: DemoRequest,
    interrupted: impl Future<Output = ()>,
) -> Result<DemoReport, CommandError> {
    let folder = Folder::create(request.keeps_folder)?;
    let mut devnet = Devnet::open(
        &folder.path.join("devnet"),
        Some(request.size),
        DevnetRules::default(),
        false,
        request.executable.clone(),
    )?;
    let home = Home::under(folder.path.join("home"));
    let told = {
        let story = Box::pin(story::tell(ui, &mut devnet, &home, &folder.path, &request));
        tokio::select! {
            told = story => told,
            () = interrupted => Err(CommandError::interrupted()),
        }
    };
    devnet.stop_all().await;
    match (&told, request.keeps_folder) {
        (_, true) => ui.note(&format!("everything is kept in {}", folder.path.display())),
        (Err(error), false) if error.kind != ErrorKind::Interrupted => {
            ui.note("run it again with --keep to look at the nodes' logs");
        }
        (Ok(_) | Err(_), false) => {}
    }
    told
}

/// A folder that is removed at the end, unless it is to be kept.
struct Folder {
    path: PathBuf,
    is_kept: bool,
}

impl Folder {
    fn create(is_kept: bool) -> Result<Self, CommandError> {
        let name = Hash(keyfile::random_bytes()?).to_string();
        let path = std::env::temp_dir().join(format!("watt-demo-{}", &name[..12]));
        crate::config::create_private_dir(&path)?;
        Ok(Self { path, is_kept })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.is_kept {
            // What can't be removed stays in the system's folder for temporary files.
            drop(std::fs::remove_dir_all(&self.path as &Path));
        }
    }
}
