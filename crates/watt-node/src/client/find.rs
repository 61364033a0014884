//! From a link to a file that can be read: the deals of its manifest, their holders, and the objects that say what is where.

use super::stagger::{SILENCE, Staggered};
use super::wire::{Holder, Wire, WireError};
use crate::api::DealsFilter;
use crate::api::types::{DealInfo, DealStage, SlotInfo};
use crate::context::Context;
use crate::error::{CommandError, ErrorKind};
use futures::stream::{StreamExt as _, TryStreamExt as _};
use watt_content::reader::OpenError;
use watt_content::{FileReader, Header, Manifest, ShareLink, SlotRoots};
use watt_engine::transfer::Objects;
use watt_net::Net;
use watt_primitives::class::Class;
use watt_primitives::terms::Endpoint;
use watt_primitives::{BoundedString, BoundedVec, Cid, NetworkId, SlotIndexInDeal};

/// Holders that are asked for the same objects at once: the first answer counts, so one that hangs costs nothing.
const ASKED_AT_ONCE: usize = 4;

/// Bundles whose objects are fetched at once.
const BUNDLES_AT_ONCE: usize = 4;

/// Reads a link and refuses one of another network.
pub(super) fn parse_link(text: &str, network: &NetworkId) -> Result<ShareLink, CommandError> {
    let link = ShareLink::parse(text).map_err(|error| {
        let hint = "a link looks like watt:bafy...?v=1&n=...#key; put it in quotes, the shell would cut it at # or &";
        CommandError::new(ErrorKind::Usage, error.to_string(), hint)
    })?;
    link.check_network(network).map_err(|other| {
        let hint = "name a node of the link's network with --api URL or WATT_API";
        CommandError::new(ErrorKind::Usage, other.to_string(), hint)
    })?;
    Ok(link)
}

/// The encoding class that a deal names.
pub(super) fn class_of(deal: &DealInfo) -> Result<Class, CommandError> {
    match deal.class.as_str() {
        "devnet" => Ok(Class::Devnet),
        other => Err(CommandError::new(
            ErrorKind::Other,
            format!("the file is stored in class {other}, which this program does not know"),
            "update watt",
        )),
    }
}

/// Where the holder of a slot is reached.
pub(super) fn holder_of(context: &Context, deal: &DealInfo, slot: &SlotInfo) -> Result<Holder, CommandError> {
    let text = |text: &String| BoundedString::new(text.clone()).ok();
    let addresses = slot
        .addresses
        .iter()
        .take(4)
        .filter_map(|address| text_of(address))
        .collect();
    Ok(Holder {
        provider: context.parse_address(&slot.provider)?,
        deal: deal.id,
        slot: SlotIndexInDeal(slot.slot),
        endpoint: Endpoint {
            peer_id: text(&slot.peer_id).unwrap_or_default(),
            addresses: BoundedVec::new(addresses).unwrap_or_default(),
        },
    })
}

fn text_of(text: &str) -> Option<BoundedString<160>> {
    BoundedString::new(text.to_owned()).ok()
}

/// The deals under which a file is kept now.
pub(super) async fn live_deals(context: &Context, manifest: Cid) -> Result<Vec<DealInfo>, CommandError> {
    let mut deals = context.api.deals(DealsFilter::Manifest(manifest)).await?;
    deals.retain(|deal| match deal.stage {
        DealStage::Active { .. } | DealStage::Ending { .. } => true,
        DealStage::Open | DealStage::Matched { .. } | DealStage::Ended { .. } => false,
    });
    if deals.is_empty() {
        return Err(CommandError::new(
            ErrorKind::NotFound,
            "nobody is paid to keep this file: its term is over, it was removed, or its put was never finished",
            "ask whoever gave you the link to store it again",
        ));
    }
    Ok(deals)
}

/// Few holders of use: said in the words that the owner can act on.
pub(super) fn too_few(context: &Context, reachable: usize, need: usize, missing: &[Holder]) -> CommandError {
    let mut names: Vec<String> = missing
        .iter()
        .map(|holder| context.name_of(&holder.provider))
        .collect();
    names.sort_unstable();
    names.dedup();
    too_few_of(reachable, need, &names, context.is_devnet())
}

fn too_few_of(reachable: usize, need: usize, missing: &[String], is_devnet: bool) -> CommandError {
    let message = format!("{reachable} of the {need} shares needed are reachable");
    let how = if is_devnet {
        " (`watt devnet start NODE`)"
    } else {
        ""
    };
    let hint = match missing {
        [] => "try again later, or ask the providers that `watt status LINK` names".to_owned(),
        [one] => format!("bring back the provider {one}{how}, then run the same command again"),
        names => format!(
            "bring back {} of these providers{how}, then run the same command again: {}",
            need.saturating_sub(reachable).clamp(1, names.len()),
            names.join(", ")
        ),
    };
    CommandError::new(ErrorKind::Temporary, message, hint)
}

/// One bundle of a file and who holds it.
#[derive(Debug)]
pub(super) struct FoundBundle {
    pub(super) header: Header,
    pub(super) roots: SlotRoots,
    pub(super) holders: Vec<Holder>,
}

/// A file whose objects and key fit each other; nothing of its content was read yet.
pub(super) struct FoundFile {
    pub(super) reader: FileReader,
    pub(super) bundles: Vec<FoundBundle>,
}

/// Finds the file of `link` at its holders.
pub(super) async fn find(context: &Context, net: &Net, link: &ShareLink) -> Result<FoundFile, CommandError> {
    let deals = live_deals(context, link.manifest).await?;
    find_with(context, net, link, &deals).await
}

/// As [`find`], with the deals known.
pub(super) async fn find_with(
    context: &Context,
    net: &Net,
    link: &ShareLink,
    deals: &[DealInfo],
) -> Result<FoundFile, CommandError> {
    let mut some = Vec::new();
    for deal in deals {
        for slot in &deal.slots {
            some.push(holder_of(context, deal, slot)?);
        }
    }
    let manifest = fetch(net, context.network, &some, |objects| {
        let is_named = Cid::of_block(&objects.manifest) == link.manifest;
        is_named
            .then(|| Manifest::decode(&objects.manifest).ok())
            .flatten()
    })
    .await;
    let need = usize::from(deals.first().map_or(Ok(Class::Devnet), class_of)?.k());
    let manifest = manifest.ok_or_else(|| too_few(context, 0, need, &some))?;
    let all = manifest.bundles().iter().enumerate();
    let finding = all.map(|(index, entry)| find_bundle(context, net, deals, index, entry.header));
    let bundles: Vec<FoundBundle> = futures::stream::iter(finding.collect::<Vec<_>>())
        .buffered(BUNDLES_AT_ONCE)
        .try_collect()
        .await?;
    let headers = bundles.iter().map(|bundle| bundle.header.clone()).collect();
    let reader = FileReader::new(&manifest, headers, &link.key).map_err(|error| cannot_open(&error))?;
    Ok(FoundFile { reader, bundles })
}

fn cannot_open(error: &OpenError) -> CommandError {
    let hint = match error {
        OpenError::WrongKey(_) | OpenError::Info(_) => {
            "the part of the link behind # is not this file's: copy the whole link again"
        }
        OpenError::OtherHeader { .. }
        | OpenError::HeaderCount { .. }
        | OpenError::BundleLength { .. }
        | OpenError::MixedCiphers { .. } => {
            "the file was made wrongly; ask whoever gave you the link to store it again"
        }
    };
    CommandError::new(ErrorKind::VerificationFailed, error.to_string(), hint)
}

async fn find_bundle(
    context: &Context,
    net: &Net,
    deals: &[DealInfo],
    index: usize,
    cid: Cid,
) -> Result<FoundBundle, CommandError> {
    let name = cid.to_string();
    let mut slots = Vec::new();
    for deal in deals.iter().filter(|deal| deal.header == name) {
        for slot in &deal.slots {
            slots.push((slot.root, holder_of(context, deal, slot)?));
        }
    }
    if slots.is_empty() {
        return Err(CommandError::new(
            ErrorKind::NotFound,
            format!("part {} of the file is not kept by anybody any more", index + 1),
            "ask whoever gave you the link to store it again",
        ));
    }
    let asked: Vec<Holder> = slots.iter().map(|(_, holder)| holder.clone()).collect();
    let found = fetch(net, context.network, &asked, |objects| {
        let header = (Cid::of_block(&objects.header) == cid)
            .then(|| Header::decode(&objects.header).ok())
            .flatten()?;
        let roots = SlotRoots::decode(&objects.slot_roots, &header).ok()?;
        Some((header, roots))
    })
    .await;
    let need = usize::from(deals.first().map_or(Ok(Class::Devnet), class_of)?.k());
    let (header, roots) = found.ok_or_else(|| too_few(context, 0, need, &asked))?;
    // Anybody can pay for a deal that names this file: only slots with the header's own roots are of use.
    let holders = slots
        .into_iter()
        .filter(|(root, holder)| roots.get(holder.slot.0) == Some(root));
    Ok(FoundBundle {
        holders: holders.map(|(_, holder)| holder).collect(),
        header,
        roots,
    })
}

/// Objects from the first holder whose answer passes `check`.
async fn fetch<T>(
    net: &Net,
    network: NetworkId,
    holders: &[Holder],
    check: impl Fn(&Objects) -> Option<T>,
) -> Option<T> {
    let asking: Vec<_> = holders.iter().map(|holder| ask(net, network, holder)).collect();
    let mut answers = Staggered::new(asking, SILENCE);
    while let Some(answer) = answers.next(ASKED_AT_ONCE).await {
        match answer {
            Ok(objects) => {
                if let Some(checked) = check(&objects) {
                    return Some(checked);
                }
            }
            Err(error) => tracing::debug!(%error, "a holder gives no objects"),
        }
    }
    None
}

async fn ask(net: &Net, network: NetworkId, holder: &Holder) -> Result<Objects, WireError> {
    Wire::open(net, network, holder).await?.objects(holder.deal).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sentence that scripts and people rely on, with what to do about it. Covers: C1.
    #[test]
    fn too_few_shares_is_said_in_numbers_and_names() {
        let names = ["twatt1a".to_owned(), "twatt1b".to_owned(), "twatt1c".to_owned()];
        let error = too_few_of(3, 4, &names, false);
        assert_eq!(error.kind, ErrorKind::Temporary);
        assert_eq!(error.message, "3 of the 4 shares needed are reachable");
        assert_eq!(
            error.hint,
            "bring back 1 of these providers, then run the same command again: twatt1a, twatt1b, twatt1c"
        );
        let names = ["p3 (twatt1a)".to_owned(), "p7 (twatt1b)".to_owned()];
        assert_eq!(
            too_few_of(2, 4, &names, true).hint,
            "bring back 2 of these providers (`watt devnet start NODE`), then run the same command again: \
             p3 (twatt1a), p7 (twatt1b)"
        );
    }

    /// What was pasted is refused in one line, with a next step. Covers: C1.
    #[test]
    fn bad_links_are_refused_with_a_next_step() {
        let network = NetworkId::new([7; 32]);
        for text in ["hello", "watt:bafy", "watt:bafyrkqabc?v=1"] {
            let error = parse_link(text, &network).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Usage, "{text}");
            assert!(!error.hint.is_empty() && !error.message.contains('\n'), "{text}");
        }
    }

    /// A link of another network is named as such, not as a file that is gone. Covers: C1.
    #[test]
    fn a_link_of_another_network_is_refused() {
        let link = ShareLink {
            manifest: Cid::of_block(b"manifest"),
            network: None,
            key: watt_content::FileKey::from_bytes([3; 32]),
        };
        let (here, there) = (NetworkId::new([7; 32]), NetworkId::new([8; 32]));
        assert!(parse_link(&link.to_text(&here), &here).is_ok());
        let error = parse_link(&link.to_text(&there), &here).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Usage);
        assert!(error.hint.contains("--api"));
    }
}
