//! The owner's accounts: key files under the data folder, by name.

use crate::config::Home;
use crate::error::{CommandError, ErrorKind};
use crate::keyfile;
use std::path::{Path, PathBuf};
use watt_primitives::{AccountId, SecretKey};

/// The most letters of an account's name.
const NAME_LETTERS_MAX: usize = 32;

/// An account with the key that acts for it here.
#[derive(Clone, Debug)]
pub struct Account {
    /// Name on this machine.
    pub name: String,
    /// Which account.
    pub id: AccountId,
    /// The key that signs.
    pub key: SecretKey,
    /// The key's position in the account's list.
    pub key_index: u16,
}

impl Account {
    /// The account that `key` opens as its first key.
    #[must_use]
    pub fn of_first_key(name: &str, key: SecretKey) -> Self {
        Self {
            name: name.to_owned(),
            id: AccountId::of_first_key(&key.public()),
            key,
            key_index: 0,
        }
    }

    /// Reads the key in `path`.
    ///
    /// # Errors
    /// No key file, or one that others can read.
    pub fn read(name: &str, path: &Path) -> Result<Self, CommandError> {
        Ok(Self::of_first_key(name, keyfile::read(path)?))
    }
}

/// The folder of account keys.
#[derive(Clone, Debug)]
pub struct Wallet {
    dir: PathBuf,
}

impl Wallet {
    /// The owner's wallet.
    #[must_use]
    pub fn of(home: &Home) -> Self {
        Self {
            dir: home.accounts_dir(),
        }
    }

    /// Makes an account with a new key; a name is never used twice.
    ///
    /// # Errors
    /// A bad or taken name, or the file can't be written.
    pub fn create(&self, name: &str) -> Result<(Account, PathBuf), CommandError> {
        let path = self.path(name)?;
        if path.exists() {
            let message = format!("there is an account called {name} already");
            return Err(CommandError::new(
                ErrorKind::Conflict,
                message,
                "choose another name: watt account new NAME",
            ));
        }
        let key = keyfile::create(&path)?;
        Ok((Account::of_first_key(name, key), path))
    }

    /// The account called `name`.
    ///
    /// # Errors
    /// There is none, or its key can't be read.
    pub fn load(&self, name: &str) -> Result<Account, CommandError> {
        let path = self.path(name)?;
        if !path.exists() {
            let message = format!("there is no account called {name} on this machine");
            return Err(CommandError::new(
                ErrorKind::NotFound,
                message,
                "see `watt account list`, or make one: `watt account new`",
            ));
        }
        Account::read(name, &path)
    }

    /// Names of all accounts, sorted.
    ///
    /// # Errors
    /// The folder can't be read.
    pub fn names(&self) -> Result<Vec<String>, CommandError> {
        let entries = match std::fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(CommandError::file("read", &self.dir, &error)),
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| {
                let file = entry.ok()?.file_name().into_string().ok()?;
                let name = file.strip_suffix(".key")?;
                is_name(name).then(|| name.to_owned())
            })
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    fn path(&self, name: &str) -> Result<PathBuf, CommandError> {
        if is_name(name) {
            return Ok(self.dir.join(format!("{name}.key")));
        }
        Err(CommandError::new(
            ErrorKind::Usage,
            format!("`{name}` can't be the name of an account"),
            format!("use up to {NAME_LETTERS_MAX} of a-z, 0-9 and -, beginning with a letter"),
        ))
    }
}

fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase();
    name.len() <= NAME_LETTERS_MAX
        && name.bytes().next().is_some_and(is_letter)
        && name
            .bytes()
            .all(|byte| is_letter(byte) || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_again_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let wallet = Wallet::of(&Home::under(folder.path().to_owned()));
        assert_eq!(wallet.names().unwrap(), Vec::<String>::new());
        let (made, _) = wallet.create("savings").unwrap();
        wallet.create("main").unwrap();
        assert_eq!(wallet.names().unwrap(), ["main", "savings"]);
        assert_eq!(wallet.load("savings").unwrap().id, made.id);
        assert_eq!(wallet.create("savings").unwrap_err().kind, ErrorKind::Conflict);
        assert_eq!(wallet.load("none").unwrap_err().kind, ErrorKind::NotFound);
    }

    #[test]
    fn a_name_never_leaves_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let wallet = Wallet::of(&Home::under(folder.path().to_owned()));
        for name in ["../x", "", "a/b", ".", "A", "1a", &"a".repeat(33)] {
            assert_eq!(wallet.create(name).unwrap_err().kind, ErrorKind::Usage, "{name}");
        }
    }
}
