//! The plan of a devnet: its nodes with keys, ports and files, written once and read again on the next start.
//!
//! ```text
//! DIR/devnet.json      this plan                DIR/genesis.cbor    the network
//! DIR/client.key       the funded account       DIR/lock            held by the supervisor
//! DIR/council/c1.key   and six more: who decides about rules (`watt upgrade`)
//! DIR/proof-parameters of folded proofs, made once for all nodes
//! DIR/nodes/NAME/      config.toml, account.key, seat.key, voting.key, network.key, data/, node.log, scp.log
//! ```

use super::parameters::{self, DevnetRules, DevnetSize};
use super::ports::{self, Ports};
use crate::config::{create_private_dir, read_genesis};
use crate::error::{CommandError, ErrorKind, OrFail};
use crate::keyfile;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use watt_ledger::genesis::{COUNCIL_TERMS_MAX, GenesisAccount};
use watt_ledger::rows::COUNCIL_SEATS;
use watt_ledger::{Genesis, NetworkParameters};
use watt_light::BackboneEntry;
use watt_light::duty::cold_key_hash;
use watt_primitives::id::AddressKind;
use watt_primitives::{AccountId, Amount, BoundedString, BoundedVec, SecretKey, Term, Timestamp, codec};

/// Version of the plan's format.
const VERSION: u32 = 1;

/// What a node does in the devnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeRole {
    /// Votes.
    Validator,
    /// Stores.
    Provider,
}

impl std::fmt::Display for NodeRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Validator => "validator",
            Self::Provider => "provider",
        })
    }
}

/// One node of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePlan {
    /// `v1`, `v2`, … and `p1`, `p2`, …
    pub name: String,
    /// What it does.
    pub role: NodeRole,
    /// Address of its account.
    pub account: String,
    /// Address of the account that holds its seat; empty for a provider.
    #[serde(default)]
    pub seat: String,
    /// The voting key of a validator, as hexadecimal; empty for a provider.
    pub voting_key: String,
    /// Its libp2p peer id.
    pub peer_id: String,
    /// Port of connections between nodes, for TCP and QUIC.
    pub p2p_port: u16,
    /// Port of the public listener.
    pub api_port: u16,
    /// Port of the owner's listener.
    pub owner_port: u16,
}

impl NodePlan {
    /// Address of the public listener.
    #[must_use]
    pub fn api(&self) -> String {
        format!("http://127.0.0.1:{}", self.api_port)
    }

    /// Address of the owner's listener.
    #[must_use]
    pub fn owner_api(&self) -> String {
        format!("http://127.0.0.1:{}", self.owner_port)
    }
}

/// The plan of a devnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    version: u32,
    /// The network, as hexadecimal.
    pub network: String,
    /// Address of the funded account.
    pub client: String,
    /// Addresses of the council that decides about rules: `c1`, `c2`, …
    #[serde(default)]
    pub council: Vec<String>,
    /// The nodes, validators first.
    pub nodes: Vec<NodePlan>,
    #[serde(skip)]
    dir: PathBuf,
    /// Whether validators record SCP's inputs; said anew at every start.
    #[serde(skip)]
    records_scp: bool,
    /// How many providers, the last ones, settle their windows by folded proofs; said anew at every start.
    #[serde(skip)]
    n_folding: u32,
}

impl Plan {
    /// The plan in `dir`, or a new network there. A plan of another size, or with other rules than are asked for, is a conflict: its keys
    /// and its history stay.
    ///
    /// # Errors
    /// The folder can't be used, or holds something else.
    pub fn load_or_create(
        dir: &Path,
        size: Option<DevnetSize>,
        rules: DevnetRules,
        now: Timestamp,
    ) -> Result<Self, CommandError> {
        let dir = std::path::absolute(dir).map_err(|error| CommandError::file("use", dir, &error))?;
        if !dir.join("devnet.json").exists() {
            let parameters = parameters::network_parameters(rules)?;
            return Self::create(
                &dir,
                size.unwrap_or(DevnetSize::DEFAULT).check()?,
                parameters,
                now,
            );
        }
        let plan = Self::load(&dir)?;
        let parameters = plan.genesis()?.parameters;
        if rules.secure_proofs && parameters.insecure_proofs {
            return Err(CommandError::new(
                ErrorKind::Conflict,
                format!("the devnet in {} has small, insecure proofs", dir.display()),
                "start it without --secure-proofs, forget it with --fresh, or use another --dir",
            ));
        }
        let found = parameters.term_windows;
        if let Some(asked) = rules.term_windows.filter(|asked| *asked != found) {
            return Err(CommandError::new(
                ErrorKind::Conflict,
                format!(
                    "a term of the devnet in {} has {found} windows, not {asked}",
                    dir.display()
                ),
                "start it without --term-windows, forget it with --fresh, or use another --dir",
            ));
        }
        match size {
            Some(size) if size != plan.size() => Err(CommandError::new(
                ErrorKind::Conflict,
                format!(
                    "the devnet in {} has {} validators and {} providers",
                    dir.display(),
                    plan.size().validators,
                    plan.size().providers
                ),
                "start it without --validators and --providers, forget it with --fresh, or use another --dir",
            )),
            Some(_) | None => Ok(plan),
        }
    }

    /// The plan in `dir`.
    ///
    /// # Errors
    /// None there, or damaged.
    pub fn load(dir: &Path) -> Result<Self, CommandError> {
        let path = dir.join("devnet.json");
        let text =
            std::fs::read_to_string(&path).map_err(|error| CommandError::file("read", &path, &error))?;
        let hint = "forget this devnet with `watt devnet up --fresh`, or use another --dir";
        let mut plan: Self = serde_json::from_str(&text).or_fail(
            ErrorKind::VerificationFailed,
            &format!("{} is damaged", path.display()),
            hint,
        )?;
        if plan.version != VERSION {
            let message = format!("{} was written by another version of watt", path.display());
            return Err(CommandError::new(ErrorKind::Conflict, message, hint));
        }
        dir.clone_into(&mut plan.dir);
        Ok(plan)
    }

    /// Removes the devnet in `dir`, and only a devnet: files that are not its own stop it.
    ///
    /// # Errors
    /// Something else lies there, or it can't be removed.
    pub fn forget(dir: &Path) -> Result<(), CommandError> {
        if !dir.exists() {
            return Ok(());
        }
        let entries = std::fs::read_dir(dir).map_err(|error| CommandError::file("read", dir, &error))?;
        const OWN: [&str; 8] = [
            "client.key",
            "council",
            "devnet.json",
            "devnet.new",
            "genesis.cbor",
            "lock",
            "nodes",
            "proof-parameters",
        ];
        for entry in entries {
            let name = entry
                .map_err(|error| CommandError::file("read", dir, &error))?
                .file_name();
            if !OWN.iter().any(|own| name == *own) {
                return Err(CommandError::new(
                    ErrorKind::Conflict,
                    format!(
                        "{} holds more than a devnet: {}",
                        dir.display(),
                        name.to_string_lossy()
                    ),
                    "move it away, or use another --dir",
                ));
            }
        }
        // The lock stays: whoever calls this holds it.
        for own in OWN.into_iter().filter(|own| *own != "lock") {
            let path = dir.join(own);
            let removed = if path.is_dir() {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            match removed {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(CommandError::file("remove", &path, &error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Names of the nodes by the addresses of their accounts, and of the council's members by theirs.
    #[must_use]
    pub fn names(&self) -> BTreeMap<String, String> {
        let named = |node: &NodePlan| [&node.account, &node.seat].map(|of| (of.clone(), node.name.clone()));
        let mut names: BTreeMap<String, String> = self.nodes.iter().flat_map(named).collect();
        names.remove("");
        let council = (1..).zip(&self.council);
        names.extend(council.map(|(number, address)| (address.clone(), council_name(number))));
        names
    }

    /// How many nodes of each sort.
    #[must_use]
    pub fn size(&self) -> DevnetSize {
        let count = |role| {
            u32::try_from(self.nodes.iter().filter(|node| node.role == role).count()).unwrap_or(u32::MAX)
        };
        DevnetSize {
            validators: count(NodeRole::Validator),
            providers: count(NodeRole::Provider),
        }
    }

    /// From the next [`Self::prepare`] on, validators record SCP's inputs in `scp.log` in their folders.
    pub const fn record_scp(&mut self) {
        self.records_scp = true;
    }

    /// From the next [`Self::prepare`] on, the last `n` providers settle their windows by folded proofs.
    pub const fn fold(&mut self, n: u32) {
        self.n_folding = n;
    }

    /// The providers that settle their windows by folded proofs.
    pub fn folding(&self) -> impl Iterator<Item = &NodePlan> {
        let providers = self
            .nodes
            .iter()
            .rev()
            .filter(|node| node.role == NodeRole::Provider);
        providers.take(usize::try_from(self.n_folding).unwrap_or(0))
    }

    /// The devnet's folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The key of the funded account.
    #[must_use]
    pub fn client_key(&self) -> PathBuf {
        self.dir.join("client.key")
    }

    /// The key of the member of the council with this name, if there is one.
    #[must_use]
    pub fn council_key(dir: &Path, name: &str) -> Option<PathBuf> {
        let is_one = (1..=COUNCIL_SEATS).any(|number| council_name(number) == name);
        let path = dir.join("council").join(format!("{name}.key"));
        (is_one && path.exists()).then_some(path)
    }

    /// Folder of a node.
    #[must_use]
    pub fn node_dir(&self, name: &str) -> PathBuf {
        self.dir.join("nodes").join(name)
    }

    /// Log of a node.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        self.node_dir(name).join("node.log")
    }

    /// The node called `name`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with the names there are.
    pub fn node(&self, name: &str) -> Result<&NodePlan, CommandError> {
        self.nodes.iter().find(|node| node.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.nodes.iter().map(|node| node.name.as_str()).collect();
            CommandError::new(
                ErrorKind::NotFound,
                format!("this devnet has no node called {name}"),
                format!("its nodes are {}", names.join(", ")),
            )
        })
    }

    /// The network's genesis.
    ///
    /// # Errors
    /// The file is missing or damaged.
    pub fn genesis(&self) -> Result<Genesis, CommandError> {
        read_genesis(&self.dir.join("genesis.cbor"))
    }

    /// Public addresses, validators first: what a client tries in this order.
    #[must_use]
    pub fn apis(&self) -> Vec<String> {
        self.nodes.iter().map(NodePlan::api).collect()
    }

    /// Draws new ports for all nodes if any of the planned ones is taken, and writes every node's configuration.
    ///
    /// # Errors
    /// No free ports, or the files can't be written.
    pub fn prepare(&mut self, force_new_ports: bool) -> Result<(), CommandError> {
        let is_taken = |node: &NodePlan| {
            [node.p2p_port, node.api_port, node.owner_port]
                .into_iter()
                .any(|port| port == 0 || !ports::is_free(port))
        };
        if force_new_ports || self.nodes.iter().any(is_taken) {
            let mut ports = Ports::new()?;
            for node in &mut self.nodes {
                (node.p2p_port, node.api_port, node.owner_port) =
                    (ports.draw()?, ports.draw()?, ports.draw()?);
            }
        }
        for (position, node) in self.nodes.iter().enumerate() {
            let path = self.node_dir(&node.name).join("config.toml");
            keyfile::replace_private(&path, self.config(position, node).as_bytes())?;
        }
        let text = serde_json::to_string_pretty(self).or_fail(
            ErrorKind::Other,
            "can't write the plan",
            "report this",
        )?;
        keyfile::replace_private(&self.dir.join("devnet.json"), text.as_bytes())
    }

    fn create(
        dir: &Path,
        size: DevnetSize,
        parameters: NetworkParameters,
        now: Timestamp,
    ) -> Result<Self, CommandError> {
        let is_unused = || {
            std::fs::read_dir(dir)
                .is_ok_and(|entries| entries.flatten().all(|entry| entry.file_name() == "lock"))
        };
        if dir.exists() && !is_unused() {
            return Err(CommandError::new(
                ErrorKind::Conflict,
                format!("{} holds something that is not a devnet", dir.display()),
                "use an empty folder: --dir DIR; if an earlier start was cut off here, --fresh clears it",
            ));
        }
        create_private_dir(dir)?;
        let client = keyfile::create(&dir.join("client.key"))?;
        let mut plan = Self {
            version: VERSION,
            network: String::new(),
            client: address(&client),
            council: Vec::new(),
            nodes: Vec::new(),
            dir: dir.to_owned(),
            records_scp: false,
            n_folding: 0,
        };
        let mut genesis = Genesis {
            name: BoundedString::new(parameters::NAME.to_owned()).unwrap_or_default(),
            is_main: false,
            time: now,
            parameters,
            accounts: BoundedVec::empty(),
            protocol: 1,
            council: BoundedVec::empty(),
            council_until: Term(COUNCIL_TERMS_MAX),
            trust_seeds: BoundedVec::empty(),
            backbone: BoundedVec::empty(),
        };
        let mut accounts = vec![funded(&client, parameters::CLIENT_BALANCE)];
        // Trust begins in who runs the network: the client's owner and those of the validators.
        let (mut backbone, mut seeds) = (Vec::new(), vec![AccountId::of_first_key(&client.public())]);
        let validators = (1..=size.validators).map(|number| (format!("v{number}"), NodeRole::Validator));
        let providers = (1..=size.providers).map(|number| (format!("p{number}"), NodeRole::Provider));
        for (name, role) in validators.chain(providers) {
            let folder = plan.node_dir(&name);
            let account = keyfile::create(&folder.join("account.key"))?;
            accounts.push(funded(&account, parameters::NODE_BALANCE));
            let identity = keyfile::create_seed(&folder.join("network.key"))?;
            let peer_id = watt_net::peer_id(*identity.expose()).to_string();
            let (mut seat_address, mut voting_key) = (String::new(), String::new());
            if role == NodeRole::Validator {
                let voting = keyfile::create(&folder.join("voting.key"))?;
                // Its node sends this account's transactions by itself: nobody else should use its key.
                let seat = keyfile::create(&folder.join("seat.key"))?;
                accounts.push(funded(&seat, Amount::ZERO));
                // On a real network it would lie elsewhere.
                let cold = keyfile::create(&folder.join("cold.key"))?;
                let holder = AccountId::of_first_key(&seat.public());
                backbone.push(BackboneEntry {
                    account: holder,
                    key: voting.node_id(),
                    cold_key: Some(cold_key_hash(&cold.public())),
                });
                seeds.push(AccountId::of_first_key(&account.public()));
                seat_address = address(&seat);
                voting_key = voting.node_id().to_string();
            }
            let account = address(&account);
            plan.nodes.push(NodePlan {
                name,
                role,
                account,
                seat: seat_address,
                voting_key,
                peer_id,
                p2p_port: 0,
                api_port: 0,
                owner_port: 0,
            });
        }
        let mut council = Vec::new();
        for number in 1..=COUNCIL_SEATS {
            let path = dir.join("council").join(format!("{}.key", council_name(number)));
            let member = keyfile::create(&path)?;
            accounts.push(funded(&member, Amount::ZERO));
            council.push(AccountId::of_first_key(&member.public()));
            plan.council.push(address(&member));
        }
        let too_many = "a devnet of this size does not fit a genesis document";
        genesis.accounts =
            BoundedVec::new(accounts).or_fail(ErrorKind::Usage, too_many, "start fewer nodes")?;
        genesis.council =
            BoundedVec::new(council).or_fail(ErrorKind::Usage, too_many, "start fewer nodes")?;
        genesis.backbone =
            BoundedVec::new(backbone).or_fail(ErrorKind::Usage, too_many, "start fewer nodes")?;
        genesis.trust_seeds =
            BoundedVec::new(seeds).or_fail(ErrorKind::Usage, too_many, "start fewer nodes")?;
        plan.network = genesis.network().to_string();
        keyfile::write_new_private(&dir.join("genesis.cbor"), &codec::encode(&genesis))?;
        plan.prepare(true)?;
        Ok(plan)
    }

    /// The TOML file of one node; every validator knows the others, every provider knows the validators.
    fn config(&self, position: usize, node: &NodePlan) -> String {
        let bootstrap: Vec<String> = self
            .nodes
            .iter()
            .filter(|other| other.role == NodeRole::Validator && other.name != node.name)
            .map(|other| format!("/ip4/127.0.0.1/tcp/{}/p2p/{}", other.p2p_port, other.peer_id))
            .collect();
        let mut text = format!(
            "# Written by `watt devnet up`; changes are overwritten on the next start.\n\
             [node]\n\
             data_dir = \"data\"\n\
             genesis = \"../../genesis.cbor\"\n\
             network_key = \"network.key\"\n\
             listen = [\"/ip4/127.0.0.1/tcp/{p2p}\", \"/ip4/127.0.0.1/udp/{p2p}/quic-v1\"]\n\
             bootstrap = {bootstrap:?}\n\
             checkpoint_blocks = {checkpoint_blocks}\n",
            p2p = node.p2p_port,
            checkpoint_blocks = parameters::CHECKPOINT_BLOCKS,
        );
        if node.role == NodeRole::Validator {
            text.push_str("validator_key = \"voting.key\"\nseat_account_key = \"seat.key\"\n");
            if self.records_scp {
                text.push_str("record_scp = \"scp.log\"\n");
            }
        }
        if node.role == NodeRole::Provider {
            // Who runs a validator runs some of the providers, too: what they prove is the power of its seat.
            let seats = || {
                self.nodes
                    .iter()
                    .map(|node| &node.seat)
                    .filter(|seat| !seat.is_empty())
            };
            let owner = position
                .checked_rem(seats().count())
                .and_then(|at| seats().nth(at));
            if let Some(owner) = owner {
                text.push_str(&format!("owner = \"{owner}\"\n"));
            }
        }
        text.push_str(&format!(
            "\n[api]\npublic = \"127.0.0.1:{}\"\nowner = \"127.0.0.1:{}\"\n",
            node.api_port, node.owner_port
        ));
        if node.role == NodeRole::Provider {
            let steps = u128::try_from(position).unwrap_or(0);
            let price = parameters::PRICE_FIRST
                .mul_ratio_floor(100 + steps, 100)
                .unwrap_or(parameters::PRICE_FIRST);
            text.push_str(&format!(
                "\n[provider]\naccount_key = \"account.key\"\ncapacity = \"{}\"\nprice = \"{price}\"\nhot = true\n",
                parameters::CAPACITY_BYTES
            ));
            if self.folding().any(|folding| folding.name == node.name) {
                text.push_str("settle = \"folded\"\n");
            }
        }
        text
    }
}

/// What a member of the council is called, by its number from 1.
fn council_name(number: usize) -> String {
    format!("c{number}")
}

fn address(key: &SecretKey) -> String {
    AccountId::of_first_key(&key.public()).to_address(AddressKind::Test)
}

fn funded(key: &SecretKey, balance: Amount) -> GenesisAccount {
    GenesisAccount {
        key: key.public(),
        balance,
    }
}
