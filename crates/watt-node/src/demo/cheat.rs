//! A provider that has thrown its data away and says that it has it: what it says is said here, in its name, with its key.

use super::story::{POLL_MS, wait_height};
use crate::api::types::HandedHeartbeat;
use crate::config::Home;
use crate::context::Context;
use crate::devnet::Devnet;
use crate::error::{CommandError, ErrorKind};
use crate::keyfile;
use crate::ui::Ui;
use std::ops::Range;
use std::time::Duration;
use watt_ledger::Refused;
use watt_light::transaction::witness_hash;
use watt_light::{Heartbeat, Operation, ProviderNumber};
use watt_primitives::{Amount, BlockHeight, BoundedVec, Hash, Window};
use watt_proofs::Element;

/// Windows in which it is tried: each is over in eight blocks, and what comes too late for one is refused.
const TRIES: u32 = 8;

/// Blocks of a window after which what it asks is known.
const OPEN_AFTER: u64 = 4;

/// About as many bytes as real openings have.
const OPENINGS_BYTES: usize = 10_000;

/// What became of the cheat.
pub(super) struct Caught {
    /// The ledger's words.
    pub(super) reason: String,
    /// What it cost.
    pub(super) penalty: Amount,
    /// The window that it claimed.
    pub(super) window: u64,
}

/// Stops a provider, deletes all that it stores, and claims a window in its name.
pub(super) async fn cheat(ui: &Ui, devnet: &Devnet, home: &Home, name: &str) -> Result<Caught, CommandError> {
    devnet.stop(name).await?;
    let data = devnet.plan().node_dir(name).join("data");
    for folder in ["replicas", "pieces"] {
        let folder = data.join(folder);
        std::fs::remove_dir_all(&folder).map_err(|error| CommandError::file("remove", &folder, &error))?;
    }
    let context = devnet.context_of(home, name)?;
    let id = context.account()?.id;
    let window = claim(ui, &context).await?;
    wait_height(ui, &context, first_height(&context, window + 1) + OPEN_AFTER).await?;

    let before = context.api.account(&id).await?.balance;
    let openings: Vec<u8> = std::iter::repeat_with(keyfile::random_bytes::<32>)
        .take(OPENINGS_BYTES / 32)
        .collect::<Result<Vec<_>, _>>()?
        .concat();
    let prove = Operation::ProveWindow {
        window: Window(window),
        openings: witness_hash(&context.network, &openings),
    };
    let transaction = context.prepare_with(vec![prove], vec![openings]).await?;
    let transaction_id = transaction.transaction.id(&context.network);
    let Err(refused) = context.submit_and_wait(ui, &transaction).await else {
        return Err(CommandError::new(
            ErrorKind::VerificationFailed,
            format!("window {window} was taken for proven, and {name} stores nothing"),
            "this must not happen: run it again with --keep and report it",
        ));
    };
    let expected = Refused::WindowProof {
        window: Window(window),
    };
    let reason = context.api.transaction(transaction_id).await?.reason;
    if reason.as_deref() != Some(expected.to_string().as_str()) {
        return Err(refused);
    }
    let after = context.api.account(&id).await?.balance;
    Ok(Caught {
        reason: expected.to_string(),
        penalty: before.saturating_sub(after),
        window,
    })
}

/// Commits to answers that nobody computed, in the running window; returns which that was.
async fn claim(ui: &Ui, context: &Context) -> Result<u64, CommandError> {
    let account = context.account()?;
    let address = context.address(&account.id);
    let providers = context.api.providers().await?;
    let provider = providers.iter().find(|provider| provider.address == address);
    let number = provider.map(|provider| provider.number).ok_or_else(|| {
        CommandError::new(
            ErrorKind::NotFound,
            format!("{address} is no provider"),
            "run it again with --keep and report it",
        )
    })?;
    let mut refused = None;
    for _ in 0..TRIES {
        let window = wait_open(context).await?;
        let made_up = Element::of_hash(&Hash(keyfile::random_bytes()?));
        let heartbeat = Heartbeat {
            account: account.id,
            window: Window(window),
            response_root: Hash(made_up.to_bytes()),
            faults: BoundedVec::empty(),
        };
        let handed = HandedHeartbeat {
            window: Window(window),
            heartbeat: heartbeat.sign(ProviderNumber(number), &account.key, &context.network),
        };
        let head = context.api.head().await?.height;
        match context.api.submit_heartbeat(&handed).await {
            Ok(()) => {
                if wait_recorded(ui, context, number, head..first_height(context, window + 1)).await? {
                    return Ok(window);
                }
            }
            // It came too late for its window, or its provider had answered before it ended.
            Err(error) => {
                refused = Some(error);
                wait_height(ui, context, first_height(context, window + 1)).await?;
            }
        }
    }
    Err(refused.unwrap_or_else(CommandError::interrupted))
}

/// Waits until one of these blocks holds a heartbeat of this provider; whether one does.
async fn wait_recorded(
    ui: &Ui,
    context: &Context,
    number: u32,
    heights: Range<u64>,
) -> Result<bool, CommandError> {
    for height in heights {
        wait_height(ui, context, height).await?;
        let block = context.api.block(BlockHeight(height)).await?;
        if block.heartbeats.contains(&number) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Waits until what a window asks is known, and blocks are left in it; returns which.
async fn wait_open(context: &Context) -> Result<u64, CommandError> {
    let slots = context.genesis.parameters.window_slots;
    loop {
        let height = context.api.head().await?.height;
        let place = height.checked_rem(slots).unwrap_or(0);
        if place + 1 >= OPEN_AFTER && place + 2 < slots {
            return Ok(height.checked_div(slots).unwrap_or(0));
        }
        tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
    }
}

const fn first_height(context: &Context, window: u64) -> u64 {
    window.saturating_mul(context.genesis.parameters.window_slots)
}
