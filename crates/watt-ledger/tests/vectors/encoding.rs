//! A value of every wire type, with keys from fixed seeds.

use crate::Vector;
use serde::{Deserialize, Serialize};
use watt_ledger::genesis::{GenesisAccount, NetworkParameters};
use watt_ledger::{Beacon, Genesis};
use watt_light::duty::cold_key_hash;
use watt_light::operation::AcceptanceTerms;
use watt_light::proposal::empty_value;
use watt_light::succession::Claim;
use watt_light::transaction::{body_root, witness_hash};
use watt_light::{
    BackboneEntry, Evidence, FoldedWindows, Header, Heartbeat, KeyRole, NewVotingKey, Onion, Operation,
    PorepVerdict, Proposal, ProviderNumber, SeenSector, ShownTo, SignedHeartbeat, SignedProposal,
    SignedTransaction, SlotRef, Succession, Transaction, Verdict, Verdicts, WindowShape,
};
use watt_primitives::class::Class;
use watt_primitives::id::AddressKind;
use watt_primitives::key::{CompressedPoint, signing_bytes};
use watt_primitives::terms::{AskTerms, BundleTerms, Device, Endpoint, Piece};
use watt_primitives::{
    AccountId, Amount, BlockHeight, BoundedBytes, BoundedString, BoundedVec, Cid, DealId, Domain, Hash,
    NetworkId, PublicKey, SecretKey, SectorNumber, SlotIndex, SlotIndexInDeal, Term, Timestamp, TrustLevel,
    Window, codec,
};
use watt_scp::{Ballot, Envelope, Pledges, QuorumSet, Statement, Value};

pub(crate) fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32])
}

fn text<const MAX: usize>(text: &str) -> BoundedString<MAX> {
    BoundedString::new(text.to_owned()).unwrap()
}

fn list<T, const MAX: usize>(list: impl Into<Vec<T>>) -> BoundedVec<T, MAX> {
    BoundedVec::new(list.into()).unwrap()
}

pub(crate) fn genesis() -> Genesis {
    let poor = |seed| GenesisAccount {
        key: key(seed).public(),
        balance: Amount::ZERO,
    };
    Genesis {
        name: text("vectors"),
        is_main: false,
        time: Timestamp(1_700_000_000_000),
        parameters: NetworkParameters {
            slot_ms: 1_000,
            window_slots: 120,
            term_windows: 144,
            settlement_windows: 144,
            failed_window_cost: 9,
            block_transactions_max: 10_000,
            block_bytes_max: 3 << 20,
            certify_slots: 100,
            certify_slots_per_gb: 10,
            commit_slots: 50,
            dispute_slots: 60,
            grace_windows: watt_ledger::genesis::GRACE_WINDOWS_MAIN,
            power_unit_bytes: 1 << 20,
            standby_power_bytes: 0,
            insecure_proofs: true,
            porep_committee: 0,
            audit_windows: 0,
            restart_windows: watt_ledger::genesis::RESTART_WINDOWS_MAIN,
        },
        accounts: list([
            GenesisAccount {
                key: key(1).public(),
                balance: Amount(u64::MAX),
            },
            GenesisAccount {
                key: key(2).public(),
                balance: Amount(1),
            },
            poor(3),
            poor(4),
        ]),
        protocol: 1,
        council: BoundedVec::empty(),
        council_until: Term(0),
        trust_seeds: list([1, 2].map(|seed| AccountId::of_first_key(&key(seed).public()))),
        backbone: list([1, 2, 3, 4].map(|seed| BackboneEntry {
            account: AccountId::of_first_key(&key(seed).public()),
            key: key(10 + seed).node_id(),
            cold_key: None,
        })),
    }
}

pub(crate) fn network() -> NetworkId {
    genesis().network()
}

/// All vectors of this file.
pub(crate) fn all() -> Vec<Vector> {
    [
        keys(),
        cids(),
        foundations(),
        transactions(),
        heartbeats(),
        proposals(),
        envelopes(),
        acceptances(),
        verdicts(),
        seats(),
        deals(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn keys() -> Vec<Vector> {
    let vector = |detail, key: PublicKey| {
        let account = AccountId::of_first_key(&key);
        Vector::new("PublicKey", detail, &key)
            .derived("account", &account)
            .derived("main_address", &account.to_address(AddressKind::Main))
            .derived("test_address", &account.to_address(AddressKind::Test))
    };
    let mut point = [7; 33];
    point[0] = 2;
    vec![
        vector("Ed25519", key(1).public()).input("seed", serde_bytes::Bytes::new(&[1; 32])),
        vector("P-256", PublicKey::WebAuthnP256(CompressedPoint(point))),
        vector("secp256k1", PublicKey::Secp256k1(CompressedPoint(point))),
    ]
}

fn cids() -> Vec<Vector> {
    let blocks = [codec::encode(&genesis()), Vec::new()];
    blocks
        .iter()
        .zip(["genesis document", "no bytes"])
        .map(|(block, detail)| {
            let cid = Cid::of_block(block);
            Vector::new("Cid", detail, &cid)
                .input("block", serde_bytes::Bytes::new(block))
                .derived("text", &cid.to_string())
        })
        .collect()
}

fn foundations() -> Vec<Vector> {
    let (genesis, network) = (genesis(), network());
    let nested = QuorumSet {
        threshold: 2,
        nodes: list([key(11).node_id()]),
        inner: list([
            QuorumSet::flat(2, vec![key(12).node_id(), key(13).node_id()]),
            QuorumSet::flat(1, vec![key(14).node_id()]),
        ]),
    };
    let set = |detail, set: &QuorumSet| {
        Vector::new("QuorumSet", detail, set)
            .input("network", &network)
            .derived("hash", &set.hash(&network))
    };
    vec![
        Vector::new("Genesis", "small test network", &genesis)
            .derived("hash", &genesis.hash())
            .derived("network", &network)
            .derived(
                "network_after_restart",
                &genesis.network().restarted(1, &genesis.hash()),
            )
            .derived("backbone", &genesis.quorum_set().hash(&network)),
        set("flat", &genesis.quorum_set()),
        set("nested", &nested),
    ]
}

pub(crate) fn operations() -> Vec<(&'static str, Operation)> {
    let (hash, deal) = (Hash([0xaa; 32]), DealId([0xdd; 32]));
    let account = AccountId::of_first_key(&key(2).public());
    let terms = BundleTerms {
        class: Class::Devnet,
        header: Cid::of_block(b"header"),
        manifest: Cid::of_block(b"manifest"),
        slot_bytes: 32 << 20,
        slot_roots: list((0..10).map(|n| Hash([n; 32])).collect::<Vec<_>>()),
    };
    let ask = AskTerms {
        price: Amount(25),
        slot_bytes_min: 1,
        slot_bytes_max: u64::MAX,
        term_ms_max: 1 << 53,
        hot: true,
    };
    let endpoint = Endpoint {
        peer_id: text("12D3KooWExample"),
        addresses: list([text("/ip4/127.0.0.1/tcp/28470")]),
    };
    let pieces = [
        Piece::Slot {
            deal,
            slot: SlotIndexInDeal(3),
            root: hash,
            offset: 0,
            len: 16_384,
        },
        Piece::Filler {
            offset: 16_384,
            len: 65_536,
        },
    ];
    let acceptance = AcceptanceTerms {
        deal,
        slot: SlotIndexInDeal(3),
        root: hash,
    }
    .accept(&key(3), &network());
    vec![
        (
            "transfer",
            Operation::Transfer {
                to: account,
                amount: Amount(2_000_000_000_000_000_000),
                memo: BoundedBytes::new(b"thanks".to_vec()).unwrap(),
            },
        ),
        (
            "add-key",
            Operation::AddKey {
                key: key(4).public(),
                role: KeyRole::Daily,
            },
        ),
        ("remove-key", Operation::RemoveKey { key_index: 1 }),
        (
            "pledge",
            Operation::Pledge {
                capacity_bytes: 1 << 40,
                endpoint,
                person: AccountId([7; 20]),
                heartbeat_key: Some(1),
                device: Device::Daily,
            },
        ),
        ("place-ask", Operation::PlaceAsk { terms: ask }),
        ("withdraw-ask", Operation::WithdrawAsk {}),
        (
            "place-bid",
            Operation::PlaceBid {
                terms,
                price_max: Amount(30),
                escrow: Amount(1_000_000),
                term_ms: 86_400_000,
                exclude: list([account]),
            },
        ),
        (
            "certify",
            Operation::Certify {
                deal,
                acceptances: list([acceptance]),
            },
        ),
        (
            "pre-commit",
            Operation::PreCommit {
                sector: SectorNumber(7),
                units: 64,
                seal_window: Window(1_000),
                pieces: list(pieces),
                comm_c: Hash([0xcc; 32]),
                comm_r: Hash([0x3b; 32]),
            },
        ),
        (
            "commit-sectors",
            Operation::CommitSectors {
                batch: SectorNumber(7),
                openings: witness_hash(&network(), b"openings"),
            },
        ),
        (
            "prove-window",
            Operation::ProveWindow {
                window: Window(9),
                openings: witness_hash(&network(), b""),
            },
        ),
        (
            "settle-windows",
            Operation::SettleWindows {
                windows: FoldedWindows {
                    shape: WindowShape::Large,
                    from: Hash([1; 32]),
                    to: Hash([2; 32]),
                    n_windows: 144,
                    n_good: 143,
                },
                proof: witness_hash(&network(), b""),
            },
        ),
        (
            "claim",
            Operation::Claim {
                slots: list([SlotRef {
                    deal,
                    slot: SlotIndexInDeal(3),
                }]),
            },
        ),
        ("terminate", Operation::Terminate { deal }),
        ("settle", Operation::Settle { deal }),
        (
            "dispute",
            Operation::Dispute {
                deal,
                slot: SlotIndexInDeal(3),
                group: 1_983,
            },
        ),
        (
            "answer-dispute",
            Operation::AnswerDispute {
                deal,
                slot: SlotIndexInDeal(3),
                group: 5,
                shown: witness_hash(&network(), b""),
            },
        ),
        (
            "answer-audit",
            Operation::AnswerAudit {
                sector: SectorNumber(3),
                shown_to: ShownTo::Committee,
                openings: witness_hash(&network(), b""),
            },
        ),
        (
            "add-trust",
            Operation::AddTrust {
                to: account,
                level: TrustLevel::InPerson,
            },
        ),
        ("remove-trust", Operation::RemoveTrust { to: account }),
        (
            "stand-for-backbone",
            Operation::StandForBackbone {
                vouchers: [1, 2, 3].map(|seed| AccountId::of_first_key(&key(seed).public())),
            },
        ),
        ("withdraw-from-backbone", Operation::WithdrawFromBackbone {}),
        (
            "set-cold-key",
            Operation::SetColdKey {
                hash: cold_key_hash(&key(6).public()),
            },
        ),
        (
            "register-voting-keys",
            Operation::RegisterVotingKeys {
                first_term: Term(3),
                keys: list([voting_key(3), voting_key(4)]),
            },
        ),
        (
            "attend",
            Operation::Attend {
                window: Window(9),
                header: hash,
                knows: 2,
                reveal: Some(onion().layer(9)),
            },
        ),
        (
            "report-evidence",
            Operation::ReportEvidence {
                evidence: Box::new(Evidence::Proposals {
                    one: proposal(),
                    other: proposal(),
                }),
            },
        ),
        (
            "approve-upgrade",
            Operation::ApproveUpgrade {
                version: 2,
                not_before: Term(5),
            },
        ),
        (
            "succeed",
            Operation::Succeed {
                succession: Box::new(succession()),
            },
        ),
    ]
}

/// Of account 1, in term 3.
fn succession() -> Succession {
    let claim = Claim {
        term: Term(3),
        account: AccountId::of_first_key(&key(1).public()),
        generation: 1,
        key: key(65).node_id(),
    };
    Succession::sign(claim, &key(65), &key(6), &network())
}

fn onion() -> Onion {
    Onion::new(network(), Hash([0x0e; 32]), 144)
}

/// Of account 1, for `term`.
fn voting_key(term: u8) -> NewVotingKey {
    let account = AccountId::of_first_key(&key(1).public());
    NewVotingKey::sign(
        &key(60 + term),
        &account,
        Term(term.into()),
        onion().outermost(),
        &network(),
    )
}

/// A hash onion, as who has its seed knows it.
#[derive(PartialEq, Serialize, Deserialize)]
struct OnionSeed {
    seed: Hash,
    n_windows: u64,
}

fn seats() -> Vec<Vector> {
    let network = network();
    let account = AccountId::of_first_key(&key(1).public());
    let seed = OnionSeed {
        seed: Hash([0x0e; 32]),
        n_windows: 144,
    };
    let layers: Vec<Hash> = [0, 1, 143].map(|at| onion().layer(at)).into();
    let beacon = Beacon::of_window(
        &network,
        &Beacon::first(&network),
        Window(7),
        &[0b101],
        &layers[..2],
        Some(&Hash([0x77; 32])),
    );
    vec![
        Vector::new("VotingKey", "of term 3", &voting_key(3))
            .input("network", &network)
            .input("seed", serde_bytes::Bytes::new(&[63; 32]))
            .input("account", &account)
            .input("term", &Term(3)),
        Vector::new("Onion", "a day", &seed)
            .input("network", &network)
            .derived("outermost", &onion().outermost())
            .derived("layers_0_1_143", &layers),
        Vector::new("Succession", "of term 3", &succession())
            .input("network", &network)
            .input("seed", serde_bytes::Bytes::new(&[65; 32]))
            .input("cold_seed", serde_bytes::Bytes::new(&[6; 32])),
        Vector::new("ColdKey", "Ed25519", &key(6).public()).derived("hash", &cold_key_hash(&key(6).public())),
        Vector::new("WindowBeacon", "two layers and a filler", &layers[..2].to_vec())
            .input("network", &network)
            .input("before", Beacon::first(&network).value())
            .input("window", &Window(7))
            .input("who", serde_bytes::Bytes::new(&[0b101]))
            .input("filler", &Hash([0x77; 32]))
            .derived("beacon", beacon.value()),
    ]
}

fn transaction(operations: Vec<Operation>) -> Transaction {
    Transaction {
        account: AccountId::of_first_key(&key(1).public()),
        key_index: 0,
        key: key(1).public(),
        nonce: 5,
        valid_until: BlockHeight(1_234),
        fee: Amount(100),
        operations: list(operations),
    }
}

fn signed(operations: Vec<Operation>, witness: Vec<Vec<u8>>) -> SignedTransaction {
    transaction(operations)
        .sign(&key(1), &network(), witness)
        .unwrap()
}

fn transactions() -> Vec<Vector> {
    let network = network();
    let mut vectors: Vec<Vector> = operations()
        .into_iter()
        .map(|(name, operation)| {
            let transaction = transaction(vec![operation]);
            Vector::new("Transaction", name, &transaction)
                .input("network", &network)
                .derived("id", &transaction.id(&network))
        })
        .collect();
    let all = operations();
    let of = |names: &[&str]| -> Vec<Operation> {
        let is_named = |(name, _): &&(&str, Operation)| names.contains(name);
        all.iter()
            .filter(is_named)
            .map(|(_, operation)| operation.clone())
            .collect()
    };
    let with_witness = signed(
        of(&["transfer", "commit-sectors", "prove-window"]),
        vec![b"openings".to_vec(), Vec::new()],
    );
    let body = [
        signed(of(&["transfer"]), Vec::new()),
        with_witness.clone(),
        signed(of(&["settle"]), Vec::new()),
    ];
    for (detail, signed) in [
        ("without witness", &body[0]),
        ("with two witnesses", &with_witness),
    ] {
        assert_eq!(signed.check_shape(&network), Ok(()));
        let hashes: Vec<Hash> = signed
            .witness
            .iter()
            .map(|entry| witness_hash(&network, entry))
            .collect();
        let vector = Vector::new("SignedTransaction", detail, signed)
            .input("network", &network)
            .input("seed", serde_bytes::Bytes::new(&[1; 32]))
            .derived("id", &signed.transaction.id(&network))
            .derived("body_leaf", &signed.body_leaf(&network))
            .derived("witness_hashes", &hashes);
        vectors.push(vector);
    }
    for count in 0..=body.len() {
        let heartbeats: Vec<SignedHeartbeat> = (0..u32::try_from(count).unwrap())
            .map(|number| heartbeat(number, &[]))
            .collect();
        let root = body_root(&network, &body[..count], &heartbeats);
        let detail = format!("{count} transactions and {count} heartbeats");
        let vector = Vector::new("Body", &detail, &(body[..count].to_vec(), heartbeats));
        vectors.push(vector.input("network", &network).derived("root", &root));
    }
    vectors
}

/// The heartbeat of a provider with this number, for window 9.
fn heartbeat(number: u32, faults: &[u64]) -> SignedHeartbeat {
    let faults: Vec<SectorNumber> = faults.iter().copied().map(SectorNumber).collect();
    let heartbeat = Heartbeat {
        account: AccountId([7; 20]),
        window: Window(9),
        response_root: Hash([0xaa; 32]),
        faults: list(faults),
    };
    heartbeat.sign(ProviderNumber(number), &key(5), &network())
}

fn heartbeats() -> Vec<Vector> {
    let all = [
        ("of one of the first", 7, &[][..]),
        ("of a number of two bytes", 65_535, &[]),
        ("of a number of four bytes", u32::MAX, &[]),
        ("with faults", 65_535, &[7, 300]),
    ];
    let vector = |(detail, number, faults): (&str, u32, &[u64])| {
        let (signed, network) = (heartbeat(number, faults), network());
        let said = signed.of(AccountId([7; 20]), Window(9));
        let message = signing_bytes(Domain::Heartbeat, &network, &codec::encode(&said));
        Vector::new("SignedHeartbeat", detail, &signed)
            .input("network", &network)
            .input("seed", serde_bytes::Bytes::new(&[5; 32]))
            .input("account", &said.account)
            .input("window", &said.window)
            .derived("signed_bytes", serde_bytes::Bytes::new(&message))
    };
    all.map(vector).into()
}

pub(crate) fn header() -> Header {
    let set = genesis().quorum_set();
    Header {
        version: 1,
        network: network(),
        parent: Hash([0x11; 32]),
        value: Hash([0x22; 32]),
        height: BlockHeight(41),
        is_empty: false,
        close_time: Timestamp(1_700_000_041_000),
        state_root: Hash([0x33; 32]),
        receipts_root: Hash([0x44; 32]),
        rank_root: Hash::ZERO,
        next_backbone: set.hash(&network()),
        history_root: Hash([0x55; 32]),
    }
}

pub(crate) fn proposal() -> SignedProposal {
    Proposal {
        network: network(),
        slot: SlotIndex(42),
        version: 1,
        parent: header().hash(),
        close_time: Timestamp(1_700_000_042_000),
        body_root: Hash([0x66; 32]),
        n_transactions: 3,
        body_bytes: 1_000,
        proposer: key(11).node_id(),
    }
    .sign(&key(11))
}

fn proposals() -> Vec<Vector> {
    let (signed, header) = (proposal(), header());
    let value = signed.proposal.value();
    vec![
        Vector::new("Proposal", "slot 42", &signed.proposal)
            .derived("value", &value)
            .derived("empty_value", &empty_value(&network(), &value)),
        Vector::new("SignedProposal", "slot 42", &signed).input("seed", serde_bytes::Bytes::new(&[11; 32])),
        Vector::new("Header", "height 41", &header).derived("hash", &header.hash()),
    ]
}

fn envelopes() -> Vec<Vector> {
    let (network, set) = (network(), genesis().quorum_set());
    let value = |byte| Value(Hash([byte; 32]));
    let ballot = |counter, byte| Ballot {
        counter,
        value: value(byte),
    };
    let all = [
        (
            "nominate",
            Pledges::Nominate {
                votes: list([value(1), value(2)]),
                accepted: list([value(2)]),
            },
        ),
        (
            "prepare, nothing prepared",
            Pledges::Prepare {
                ballot: ballot(1, 1),
                prepared: None,
                prepared_prime: None,
                c_counter: 0,
                h_counter: 0,
            },
        ),
        (
            "prepare, both prepared",
            Pledges::Prepare {
                ballot: ballot(u32::MAX, 1),
                prepared: Some(ballot(4, 1)),
                prepared_prime: Some(ballot(3, 2)),
                c_counter: 2,
                h_counter: 4,
            },
        ),
        (
            "confirm",
            Pledges::Confirm {
                ballot: ballot(5, 1),
                prepared_counter: 4,
                c_counter: 2,
                h_counter: 3,
            },
        ),
        (
            "externalize",
            Pledges::Externalize {
                commit: ballot(2, 1),
                h_counter: 3,
            },
        ),
    ];
    all.into_iter()
        .map(|(detail, pledges)| {
            let statement = Statement {
                node: key(11).node_id(),
                slot: SlotIndex(42),
                quorum_set: set.hash(&network),
                pledges,
            };
            let message = signing_bytes(Domain::Statement, &network, &codec::encode(&statement));
            Vector::new("Envelope", detail, &Envelope::sign(statement, &key(11), &network))
                .input("network", &network)
                .input("seed", serde_bytes::Bytes::new(&[11; 32]))
                .derived("signed_bytes", serde_bytes::Bytes::new(&message))
        })
        .collect()
}

fn acceptances() -> Vec<Vector> {
    let network = network();
    let terms = AcceptanceTerms {
        deal: DealId([0xdd; 32]),
        slot: SlotIndexInDeal(255),
        root: Hash([0xaa; 32]),
    };
    vec![
        Vector::new("Acceptance", "slot 255", &terms.accept(&key(3), &network))
            .input("network", &network)
            .input("seed", serde_bytes::Bytes::new(&[3; 32]))
            .input("terms", &terms),
    ]
}

fn verdicts() -> Vec<Vector> {
    let network = network();
    let said = PorepVerdict {
        provider: AccountId([0xaa; 20]),
        batch: SectorNumber(7),
        sectors: list([SeenSector {
            sector: SectorNumber(7),
            comm_c: Hash([0xcc; 32]),
            comm_r: Hash([0x0d; 32]),
        }]),
        window: Window(9),
        openings: Hash([0xee; 32]),
    };
    let verdicts = Verdicts {
        openings: said.openings,
        given: list([Verdict {
            member: 14,
            signature: said.sign(&key(3), &network),
        }]),
    };
    vec![
        Vector::new("Verdicts", "one of member 14", &verdicts)
            .input("network", &network)
            .input("seed", serde_bytes::Bytes::new(&[3; 32]))
            .input("said", &said),
    ]
}

/// What names a deal.
#[derive(PartialEq, Serialize, Deserialize)]
struct DealName {
    account: AccountId,
    key_index: u16,
    nonce: u64,
    bid_index: u16,
}

fn deals() -> Vec<Vector> {
    let name = DealName {
        account: AccountId::of_first_key(&key(1).public()),
        key_index: 2,
        nonce: u64::MAX,
        bid_index: 1,
    };
    let id = DealId::derive(
        &network(),
        &name.account,
        name.key_index,
        name.nonce,
        name.bid_index,
    );
    vec![
        Vector::new("DealName", "second bid", &name)
            .input("network", &network())
            .derived("id", &id),
    ]
}
