//! Runs a node: the loop that brings events to the engine and performs its effects. No rule of the protocol is here.

mod apply;
mod checkpoints;
mod circle;
mod committee;
pub(crate) mod folded;
pub(crate) mod hand_overs;
pub(crate) mod jobs;
pub(crate) mod node_loop;
pub mod pace;
mod payload;
mod receiving;
pub(crate) mod restarts;
pub(crate) mod seat_keys;
pub(crate) mod storage;
mod transfer_server;

use crate::api::NodeView;
use crate::config::{NodeConfig, ProviderConfig, Role};
use crate::error::{CommandError, ErrorKind};
use crate::node::{NodeHandle, Shared};
use crate::scp_log::Recorder;
use circle::Watch;
use jobs::{Jobs, Kept, Scrub, keep};
use node_loop::NodeLoop;
use std::sync::Arc;
use std::time::Duration;
use storage::Storage;
use tokio::sync::mpsc;
use watt_engine::provider::{self, LocalSector};
use watt_engine::seat::{SeatConfig, TermSecrets};
use watt_engine::{Engine, EngineConfig, VotingKeys};
use watt_ledger::Genesis;
use watt_light::Restart;
use watt_net::{Multiaddr, Net, NetConfig};
use watt_primitives::terms::{AskTerms, Endpoint};
use watt_primitives::{BoundedString, BoundedVec, SecretKey};
use watt_proofs::ProofParams;

/// Events that wait for the loop.
const EVENTS_WAITING_MAX: usize = 1024;

/// Starts a node: opens its folder, rebuilds what a crash left behind, joins the network.
///
/// # Errors
/// The folder is in use, copied or damaged; an address is taken; the genesis is refused.
pub async fn start(config: NodeConfig) -> Result<Arc<dyn NodeView>, CommandError> {
    let genesis = Arc::new(config.genesis.clone());
    let (storage, recorder, config) = tokio::task::spawn_blocking({
        let genesis = Arc::clone(&genesis);
        move || {
            let storage = Storage::open(&config, &genesis)?;
            let recorder = config.record_scp.as_deref().map(Recorder::open).transpose()?;
            Ok::<_, CommandError>((storage, recorder, config))
        }
    })
    .await
    .map_err(|error| {
        CommandError::new(
            ErrorKind::Other,
            format!("opening the node failed: {error}"),
            "report this",
        )
    })??;

    let identity_seed = match &config.network_key {
        Some(seed) => *seed.expose(),
        None => storage.network_identity()?,
    };
    let identity = SecretKey::from_seed(identity_seed);
    let net_config = NetConfig {
        identity_seed,
        listen: addresses(&config.listen)?,
        bootstrap: addresses(&config.bootstrap)?,
        limits: watt_net::Limits::default(),
    };
    let (net, net_events) = watt_net::start(net_config)
        .await
        .map_err(|error| net_error(&error))?;

    let params = proof_params(&genesis);
    let jobs = config
        .provider
        .as_ref()
        .map(|provider| Jobs::open(&storage, provider, &genesis, params))
        .transpose()?;
    let local = jobs.as_ref().map(Jobs::local_sectors).unwrap_or_default();
    let mut engine = engine(&config, &genesis, &storage, &net, params, local)?;
    if config.circle_in_quorum {
        if config.owner().is_none() {
            return Err(CommandError::new(
                ErrorKind::Usage,
                "node.circle_in_quorum is set, but nobody is named whose circle it is",
                "name your account's address in node.owner",
            ));
        }
        engine.follow_with_circle();
    }

    let (events, events_in) = mpsc::channel(EVENTS_WAITING_MAX);
    let provider = jobs.as_ref().map(Jobs::account);
    let scrub = match (&jobs, &config.provider) {
        (Some(jobs), Some(provider)) => {
            let interval = Duration::from_millis(provider.scrub_interval_ms);
            Some(Scrub::start(jobs.clone(), interval).map_err(|error| storage::trouble(&error))?)
        }
        (_, _) => None,
    };
    let folds = jobs.as_ref().and_then(Jobs::folds);
    let labelling = jobs.as_ref().map(Jobs::labelling).unwrap_or_default();
    let shared = Arc::new(Shared::new(
        genesis, identity, &storage, provider, scrub, folds, labelling,
    )?);
    if let (Some(jobs), Some(provider)) = (&jobs, &config.provider) {
        let kept = if provider.hot { Kept::Hot } else { Kept::Cold };
        keep(jobs.clone(), Arc::downgrade(&shared), kept).map_err(|error| storage::trouble(&error))?;
    }
    let handle = NodeHandle::new(Arc::clone(&shared), events.clone());
    if let Some(owner) = config.owner() {
        let shown = Arc::clone(&shared);
        let watch = Watch {
            owner,
            node: Arc::new(handle.clone()),
            net: net.clone(),
            show: Box::new(move |info| shown.show_circle(info)),
            wanted: shared.wanted(),
            tell: config.circle_in_quorum.then(|| events.clone()),
        };
        tokio::spawn(watch.run());
    }
    let node_loop = NodeLoop::new(
        engine,
        storage,
        config.checkpoint_blocks,
        jobs,
        net,
        shared,
        events,
    )
    .recording(recorder);
    tokio::spawn(node_loop.run(net_events, events_in));
    Ok(Arc::new(handle))
}

fn net_error(error: &watt_net::StartError) -> CommandError {
    let (kind, hint) = match error {
        watt_net::StartError::AddressTaken { .. } => (
            ErrorKind::AddressTaken,
            "choose another address with --listen, or stop what uses it",
        ),
        watt_net::StartError::CannotListen { .. }
        | watt_net::StartError::ListenAddressUnknown { .. }
        | watt_net::StartError::BootstrapAddressUnknown { .. }
        | watt_net::StartError::Encryption { .. } => {
            (ErrorKind::Other, "check node.listen and node.bootstrap")
        }
    };
    CommandError::new(kind, error.to_string(), hint)
}

fn proof_params(genesis: &Genesis) -> ProofParams {
    if genesis.parameters.insecure_proofs {
        ProofParams::DEVNET
    } else {
        ProofParams::MAIN
    }
}

fn engine(
    config: &NodeConfig,
    genesis: &Genesis,
    storage: &Storage,
    net: &Net,
    params: ProofParams,
    local: Vec<LocalSector>,
) -> Result<Engine, CommandError> {
    let provider = match &config.provider {
        None => None,
        Some(offer) => Some((provider_config(config, offer, net, params)?, local)),
    };
    let seat = match &config.seat_account_key {
        None => None,
        Some(account_key) => Some(SeatConfig {
            account_key: account_key.clone(),
            secrets: storage.seat_keys().read_all()?,
        }),
    };
    let mut voting_keys = match &config.role {
        Role::Follower => VotingKeys::none(),
        Role::Validator { key } => {
            let key = (**key).clone();
            check_seat(&key, genesis, storage)?;
            VotingKeys::fixed(key)
        }
    };
    let network = storage.restarts().network(genesis)?;
    let given = storage.seat_keys().successions(&network)?;
    let is_successor = |secrets: &&TermSecrets| {
        let node = secrets.voting_key.node_id();
        given.iter().any(|one| one.key == node)
    };
    // A seat's own keys, and those with which this node succeeds lost ones.
    let secrets = storage.seat_keys().read_all()?;
    for secrets in secrets.iter().filter(|one| seat.is_some() || is_successor(one)) {
        voting_keys.add(secrets.term, secrets.voting_key.clone());
    }
    let mut successions = storage.successions();
    successions.extend(given);
    let engine_config = EngineConfig {
        network,
        parameters: genesis.parameters.clone(),
        protocol: config.protocol,
        walk: storage
            .hand_overs()
            .walk(genesis, storage.restarts().followed()?)?,
        voting_keys,
        successions,
        voted_to: storage.voted_to(),
        checkpoint_gap: config.checkpoint_blocks,
        incoming: storage.incoming(),
        provider,
        seat,
        verdicts: storage.verdicts(),
        restarts: storage.restarts().log()?,
        logs_scp: config.record_scp.is_some(),
    };
    let state = storage.snapshot();
    let engine = state.read(|rows| {
        Engine::new(
            engine_config,
            storage.head().clone(),
            rows,
            storage.journal_entries(),
        )
    });
    engine.map_err(|error| storage::trouble(&error))
}

/// A voting key that was never in a backbone is most likely another network's: those of the genesis, and of the restarts that the node
/// follows or looks at, are known.
fn check_seat(key: &SecretKey, genesis: &Genesis, storage: &Storage) -> Result<(), CommandError> {
    let (node, restarts) = (key.node_id(), storage.restarts());
    let looked_at = restarts.log()?.looked_at.map(|known| known.restart);
    let all: Vec<Restart> = restarts.followed()?.into_iter().chain(looked_at).collect();
    let of_restarts = all.iter().flat_map(|restart| restart.plan.backbone.entries());
    if genesis
        .backbone
        .iter()
        .chain(of_restarts)
        .any(|entry| entry.key == node)
    {
        return Ok(());
    }
    Err(CommandError::new(
        ErrorKind::NotAllowed,
        format!("the voting key {node} is not in this network's backbone"),
        "use the right key or genesis, or leave node.validator_key out to follow without voting",
    ))
}

fn provider_config(
    config: &NodeConfig,
    offer: &ProviderConfig,
    net: &Net,
    params: ProofParams,
) -> Result<provider::ProviderConfig, CommandError> {
    let too_long = |_| {
        CommandError::new(
            ErrorKind::Usage,
            "an address to listen on is too long",
            "use fewer or shorter addresses",
        )
    };
    let mut listed = Vec::new();
    for address in net.listen_addresses().iter().take(4) {
        listed.push(BoundedString::new(address.to_string()).map_err(too_long)?);
    }
    let endpoint = Endpoint {
        peer_id: BoundedString::new(net.local_peer().to_string()).map_err(too_long)?,
        addresses: BoundedVec::new(listed).map_err(too_long)?,
    };
    let ask = AskTerms {
        price: offer.price,
        slot_bytes_min: offer.slot_bytes_min,
        slot_bytes_max: offer.slot_bytes_max,
        term_ms_max: offer.term_ms_max,
        hot: offer.hot,
    };
    Ok(provider::ProviderConfig {
        account_key: offer.account_key.clone(),
        capacity_bytes: offer.capacity_bytes,
        endpoint,
        person: config.owner(),
        device: offer.device,
        ask,
        units: provider::ProviderConfig::units_of(&params),
        settle: offer.settle,
    })
}

fn addresses(texts: &[String]) -> Result<Vec<Multiaddr>, CommandError> {
    let parse = |text: &String| {
        text.parse().map_err(|_| {
            let hint = "a multiaddress looks like /ip4/127.0.0.1/tcp/28470";
            CommandError::new(
                ErrorKind::Usage,
                format!("`{text}` is not a network address"),
                hint,
            )
        })
    };
    texts.iter().map(parse).collect()
}
