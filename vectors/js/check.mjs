// Reproduces every golden vector without any WATT code: reads the JSON form, encodes it again, derives hashes, ids,
// addresses, roots and signatures by the rules of docs/spec/encoding.md and docs/spec/light.md, and compares.
import { readFileSync } from 'node:fs'
import { deepStrictEqual as same, ok } from 'node:assert'
import * as dagCbor from '@ipld/dag-cbor'
import { CID } from 'multiformats/cid'
import * as digest from 'multiformats/hashes/digest'
import { blake3 } from '@noble/hashes/blake3.js'
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { ed25519 } from '@noble/curves/ed25519.js'
import { bech32m } from '@scure/base'

// --- JSON form -------------------------------------------------------------------------------------------------------

const MARKS = {
  $bytes: hexToBytes,
  $cid: (text) => CID.parse(text),
  $int: BigInt,
}

/** JSON form to IPLD value. */
const revive = (json) => {
  if (Array.isArray(json)) return json.map(revive)
  if (json === null || typeof json !== 'object') return json
  const [[key, value], ...more] = [...Object.entries(json), [undefined]]
  if (more.length === 1 && key in MARKS) return MARKS[key](value)
  return Object.fromEntries(Object.entries(json).map(([key, value]) => [key, revive(value)]))
}

const read = (file) => JSON.parse(readFileSync(new URL(`../${file}`, import.meta.url), 'utf8'))

// --- Hashes and signatures (encoding.md 3, 4) ----------------------------------------------------------------------------

const u64 = (n) => {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(n))
  return bytes
}
const u16 = (n) => u64(n).subarray(6)
const lengthAnd = (bytes) => concatBytes(u64(bytes.length), bytes)
const domainBytes = (name) => lengthAnd(utf8ToBytes(`watt/1/${name}`))

const NOWHERE = new Uint8Array(0)
/** `network` is NOWHERE for hashes that hold on every network. */
const hash = (name, network, ...parts) => blake3(concatBytes(domainBytes(name), network, ...parts.map(lengthAnd)))
const signingBytes = (name, network, message) => concatBytes(domainBytes(name), network, message)

const checkSignature = (signature, name, network, message, key, seed) => {
  const bytes = signingBytes(name, network, message)
  ok(ed25519.verify(signature, bytes, key, { zip215: true }), 'signature holds')
  if (seed === undefined) return
  same(ed25519.getPublicKey(seed), key, 'key of the seed')
  same(ed25519.sign(bytes, seed), signature, 'signature from the seed')
}

/** Scheme byte and key: the preimage of an account. */
const keyBytes = (key) => {
  const schemes = ['ed25519', 'webauthn-p256', 'secp256k1']
  const [[scheme, bytes]] = Object.entries(key)
  return concatBytes(Uint8Array.of(schemes.indexOf(scheme)), bytes)
}

// --- Trees (encoding.md 5, light.md 2 and 4) ------------------------------------------------------------------------------

const ZERO = new Uint8Array(32)
// The two digests of a plain Merkle node carry no lengths of their own.
const merkleNode = (left, right) => blake3(concatBytes(domainBytes('merkle-node'), left, right))

const merkleRoot = (leaves) => {
  if (leaves.length === 0) return ZERO
  if (leaves.length === 1) return leaves[0]
  let left = 1
  while (left * 2 < leaves.length) left *= 2
  return merkleNode(merkleRoot(leaves.slice(0, left)), merkleRoot(leaves.slice(left)))
}

const merkleRootOfPath = (count, index, leaf, path) => {
  const rest = [...path]
  ok(index < count, 'place in the tree')
  for (let [at, width] = [index, count]; width > 1; at >>= 1, width = Math.ceil(width / 2)) {
    if ((at ^ 1) >= width) continue
    const sibling = rest.shift()
    leaf = at % 2 === 0 ? merkleNode(leaf, sibling) : merkleNode(sibling, leaf)
  }
  same(rest.length, 0, 'path length')
  return leaf
}

const treeKey = (entryKey) => hash('state-key', NOWHERE, entryKey)
const treeValue = (value) => hash('state-value', NOWHERE, value)
const leafHash = ({ key, value }) => hash('state-leaf', NOWHERE, key, value)
const bucketHash = (count, leavesRoot) => hash('state-bucket', NOWHERE, Uint8Array.of(count), leavesRoot)
const stateNode = (zero, one) => hash('state-node', NOWHERE, zero, one)
const stateRoot = (count, top) => hash('state-root', NOWHERE, u64(count), top)
const bit = (key, depth) => (key[depth >> 3] >> (7 - (depth & 7))) & 1

const compareBytes = (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))

const stateTop = (leaves, depth) => {
  if (leaves.length <= 64) {
    const sorted = [...leaves].sort((a, b) => compareBytes(a.key, b.key))
    return bucketHash(sorted.length, merkleRoot(sorted.map(leafHash)))
  }
  const side = (one) => stateTop(leaves.filter(({ key }) => bit(key, depth) === one), depth + 1)
  return stateNode(side(0), side(1))
}

const stateProofRoot = (proof, entryKey, entryValue) => {
  const key = treeKey(entryKey)
  let digest
  if (proof.bucket.member) {
    const { count, index, path } = proof.bucket.member
    const [value] = entryValue
    digest = bucketHash(count, merkleRootOfPath(count, index, leafHash({ key, value: treeValue(value) }), path))
  } else {
    const { leaves } = proof.bucket.absent
    same(entryValue, [], 'absence is shown')
    leaves.forEach((leaf, i) => {
      ok(i === 0 || compareBytes(leaves[i - 1].key, leaf.key) < 0, 'leaves ascend')
      ok(compareBytes(leaf.key, key) !== 0, 'key is absent')
      proof.siblings.forEach((_, depth) => same(bit(leaf.key, depth), bit(key, depth), 'leaf is from here'))
    })
    digest = bucketHash(leaves.length, merkleRoot(leaves.map(leafHash)))
  }
  for (let depth = proof.siblings.length - 1; depth >= 0; depth--) {
    const sibling = proof.siblings[depth]
    digest = bit(key, depth) ? stateNode(sibling, digest) : stateNode(digest, sibling)
  }
  return stateRoot(proof.leaf_count, digest)
}

// --- Ranks (trust.md 2 to 4) -------------------------------------------------------------------------------------------------

const MASS = 2n ** 56n
const WEIGHT = { online: 1n, 'in-person': 2n, close: 3n }

/** Gives `amount` to the seeds in equal parts, the odd units to the first. */
const receive = (mass, seeds, amount) => {
  const n = BigInt(seeds.length)
  seeds.forEach((seed, k) => mass.set(seed, mass.get(seed) + amount / n + (BigInt(k) < amount % n ? 1n : 0n)))
}

/** Ranks by account in hexadecimal, ascending, of everyone whom live trust connects to the seeds. */
const ranksOf = (circles, seeds, now) => {
  const live = ([person, { edges }]) => [
    bytesToHex(person),
    edges.filter((edge) => now < edge.expires_at).map(({ to, level }) => [bytesToHex(to), WEIGHT[level]]),
  ]
  const trust = new Map(circles.map(live))
  const found = new Set(seeds.map(bytesToHex).sort())
  const start = [...found]
  found.forEach((person) => trust.get(person)?.forEach(([to]) => found.add(to)))
  const people = [...found].sort()
  if (people.length === 0) return []
  const nothing = () => new Map(people.map((person) => [person, 0n]))
  let mass = nothing()
  receive(mass, start, MASS)
  for (let round = 0; round < 50; round++) {
    const arrived = nothing()
    let sum = 0n
    for (const person of people) {
      const edges = trust.get(person) ?? []
      const given = edges.reduce((all, [, weight]) => all + weight, 0n)
      for (const [to, weight] of edges) {
        const share = ((mass.get(person) * 217n) / 256n / given) * weight
        arrived.set(to, arrived.get(to) + share)
        sum += share
      }
    }
    receive(arrived, start, MASS - sum)
    mass = arrived
  }
  return people.map((person) => [hexToBytes(person), mass.get(person)])
}

const rankRoot = (ranks, network, term) => {
  if (ranks.length === 0) return ZERO
  const leaves = ranks.map(([person, rank]) => hash('rank-leaf', network, person, u64(rank)))
  return hash('rank-root', network, u64(term), u64(leaves.length), merkleRoot(leaves))
}

// --- What follows from a value, by type -----------------------------------------------------------------------------------

const encode = dagCbor.encode
const headerHash = (header) => hash('header', header.network, encode(header))
const proposalValue = (proposal) => hash('proposal', proposal.network, encode(proposal))
const emptyValue = (network, value) => hash('empty', network, value)
const quorumSetHash = (set, network) => hash('quorum-set', network, encode(set))
const transactionId = (transaction, network) => hash('transaction', network, encode(transaction))
const bodyLeaf = ({ transaction, signature }, network) =>
  hash('body-leaf', network, transactionId(transaction, network), signature)
const address = (prefix, account) => bech32m.encode(prefix, bech32m.toWords(account))
const networkId = (genesis) => hash('network', NOWHERE, genesis, u64(0))
/** After its restart number `n` by `plan`: what stood in hashes before, then what stands in signatures from now on. */
const restarted = (network, n, plan) => concatBytes(network.subarray(0, 32), hash('network', NOWHERE, network.subarray(0, 32), u64(n), plan))

const checkProposal = ({ proposal, signature }, seed) =>
  checkSignature(signature, 'proposal', proposal.network, encode(proposal), proposal.proposer, seed)

const members = (set) => {
  const all = [...set.nodes, ...set.inner.flatMap(members)].sort(compareBytes)
  return all.filter((node, i) => i === 0 || compareBytes(all[i - 1], node) !== 0)
}

/** The statement behind a vote of a finality proof. */
const statementOf = ({ slot, value }, [member, counters], set, network) => {
  const [first, second, c_counter, h_counter] = counters
  const pledges =
    counters.length === 4
      ? { confirm: { ballot: { counter: first, value }, prepared_counter: second, c_counter, h_counter } }
      : { externalize: { commit: { counter: first, value }, h_counter: second } }
  return { node: members(set)[member], slot, quorum_set: quorumSetHash(set, network), pledges }
}

const checkFinality = ({ header, proposal, decision }, { network, quorum_set }) => {
  same(header.network, network)
  same(proposal.proposal.network, network)
  same(header.next_backbone, quorumSetHash(quorum_set, network))
  same(proposal.proposal.slot, header.height + 1)
  same(proposal.proposal.parent, headerHash(header))
  same(decision.slot, proposal.proposal.slot)
  same(decision.value, proposalValue(proposal.proposal))
  checkProposal(proposal)
  const ranges = decision.votes.map((vote, i) => {
    const [member, counters, signature] = vote
    ok(i === 0 || decision.votes[i - 1][0] < member, 'votes ascend')
    const statement = statementOf(decision, vote, quorum_set, network)
    checkSignature(signature, 'statement', network, encode(statement), statement.node)
    return counters.length === 4 ? [counters[2], counters[3]] : [counters[0], Infinity]
  })
  const [low, high] = [Math.max(...ranges.map((r) => r[0])), Math.min(...ranges.map((r) => r[1]))]
  ok(low <= high, 'one counter lies in every range')
  ok(ranges.length >= quorum_set.threshold && quorum_set.inner.length === 0, 'a slice of the flat set')
}

const DERIVE = {
  PublicKey(key, { seed }) {
    const account = hash('account', NOWHERE, keyBytes(key)).subarray(0, 20)
    if (seed) same(ed25519.getPublicKey(seed), key.ed25519)
    return { account, main_address: address('watt', account), test_address: address('twatt', account) }
  },
  Cid(cid, { block }) {
    const made = CID.createV1(dagCbor.code, digest.create(0x1e, blake3(block)))
    ok(made.equals(cid), 'CID of the block')
    return { text: made.toString() }
  },
  Genesis(genesis) {
    const own = hash('genesis', NOWHERE, encode(genesis))
    const network = networkId(own)
    const k = genesis.backbone.length
    const set = { threshold: k - Math.floor((k - 1) / 3), nodes: genesis.backbone.map(([, key]) => key).sort(compareBytes), inner: [] }
    const backbone = quorumSetHash(set, network)
    return { hash: own, network, network_after_restart: restarted(network, 1, own), backbone }
  },
  QuorumSet: (set, { network }) => ({ hash: quorumSetHash(set, network) }),
  Transaction: (transaction, { network }) => ({ id: transactionId(transaction, network) }),
  SignedTransaction(signed, { network, seed }) {
    const { transaction, signature, witness } = signed
    checkSignature(signature, 'transaction', network, encode(transaction), transaction.key.ed25519, seed)
    return {
      id: transactionId(transaction, network),
      body_leaf: bodyLeaf(signed, network),
      witness_hashes: witness.map((entry) => hash('witness', network, entry)),
    }
  },
  SignedHeartbeat([, response_root, ...rest], { network, seed, account, window }) {
    const signature = rest.pop()
    const [faults = []] = rest
    const message = encode({ account, window, response_root, faults })
    checkSignature(signature, 'heartbeat', network, message, ed25519.getPublicKey(seed), seed)
    return { signed_bytes: signingBytes('heartbeat', network, message) }
  },
  Body([transactions, heartbeats], { network }) {
    const leaves = transactions.map((signed) => bodyLeaf(signed, network))
    return { root: merkleRoot([...leaves, hash('heartbeats', network, encode(heartbeats))]) }
  },
  Proposal(proposal) {
    const value = proposalValue(proposal)
    return { value, empty_value: emptyValue(proposal.network, value) }
  },
  SignedProposal(signed, { seed }) {
    checkProposal(signed, seed)
    return {}
  },
  Header: (header) => ({ hash: headerHash(header) }),
  Envelope({ statement, signature }, { network, seed }) {
    checkSignature(signature, 'statement', network, encode(statement), statement.node, seed)
    return { signed_bytes: signingBytes('statement', network, encode(statement)) }
  },
  Acceptance({ slot, key, signature }, { network, seed, terms }) {
    same(slot, terms.slot)
    checkSignature(signature, 'acceptance', network, encode(terms), key.ed25519, seed)
    return {}
  },
  Verdicts({ openings, given }, { network, seed, said }) {
    same(openings, said.openings)
    for (const [, signature] of given) {
      checkSignature(signature, 'porep-verdict', network, encode(said), ed25519.getPublicKey(seed), seed)
    }
    return {}
  },
  VotingKey({ key, onion, possession }, { network, seed, account, term }) {
    checkSignature(possession, 'voting-key', network, encode({ account, term, onion }), key, seed)
    return {}
  },
  Onion({ seed, n_windows }, { network }) {
    const wrap = (layers) => Array.from({ length: layers }).reduce((inner) => hash('onion', network, inner), seed)
    return {
      outermost: wrap(n_windows),
      layers_0_1_143: [0, 1, 143].map((at) => wrap(n_windows - 1 - at)),
    }
  },
  ColdKey: ({ ed25519 }) => ({
    hash: hash('cold-key', NOWHERE, concatBytes(Uint8Array.of(0), ed25519)),
  }),
  Succession([term, account, generation, key, cold, possession, signature], { network, seed, cold_seed }) {
    const claim = encode({ term, account, generation, key })
    checkSignature(possession, 'succession', network, claim, key, seed)
    checkSignature(signature, 'succession', network, claim, cold.ed25519, cold_seed)
    return {}
  },
  WindowBeacon: (layers, { network, before, window, who, filler }) => ({
    beacon: hash('beacon', network, before, utf8ToBytes('window'), u64(window), who, ...layers, filler),
  }),
  DealName: ({ account, key_index, nonce, bid_index }, { network }) => ({
    id: hash('deal', network, account, u16(key_index), u64(nonce), u16(bid_index)),
  }),
  MerkleTree: (leaves) => ({ root: merkleRoot(leaves) }),
  Slot: (length) => ({ root: blake3(Uint8Array.from({ length }, (_, i) => (i * 31) % 251)) }),
  State(count) {
    const entries = Array.from({ length: count }, (_, n) => ({
      key: treeKey(concatBytes(utf8ToBytes('E'), u64(n))),
      value: treeValue(u64(n)),
    }))
    return { root: stateRoot(count, stateTop(entries, 0)) }
  },
  StateProof: (proof, { entry_key, entry_value }) => ({ root: stateProofRoot(proof, entry_key, entry_value) }),
  HistoryProof({ path }, { later, earlier }) {
    const history_root = merkleRootOfPath(later.height, earlier.height, headerHash(earlier), path)
    same(later.history_root, history_root)
    return { history_root }
  },
  Circles(circles, { network, seeds, now, term }) {
    const ranks = ranksOf(circles, seeds, now)
    // Integers up to 2^53 are numbers in a vector, larger ones are not.
    const plain = (rank) => (rank <= Number.MAX_SAFE_INTEGER ? Number(rank) : rank)
    return { ranks: ranks.map(([person, rank]) => [person, plain(rank)]), root: rankRoot(ranks, network, term) }
  },
  FinalityProof(proof, inputs) {
    checkFinality(proof, inputs)
    return { header: headerHash(proof.header), value: proof.decision.value }
  },
}

const checkVector = ({ type, value, inputs, bytes, derived }) => {
  const ipld = revive(value)
  same(bytesToHex(encode(ipld)), bytes, 'encoding')
  same(dagCbor.decode(hexToBytes(bytes)), ipld, 'decoding')
  same(DERIVE[type](ipld, revive(inputs)), revive(derived), 'derived')
}

// --- What must be refused ---------------------------------------------------------------------------------------------

const throws = (attempt) => {
  try {
    attempt()
    return false
  } catch {
    return true
  }
}

const isRefusedEncoding = (hex) => {
  let again
  return throws(() => (again = bytesToHex(encode(dagCbor.decode(hexToBytes(hex)))))) || again !== hex
}

const isRefusedKey = (hex) => {
  let point
  // Strict decoding, and encoding again: noble reads "minus zero" as zero.
  return throws(() => (point = ed25519.Point.fromHex(hex, false))) || point.isSmallOrder() || point.toHex() !== hex
}

const isRefusedAddress = (text) => {
  let decoded
  return (
    throws(() => (decoded = bech32m.decode(text))) ||
    decoded.prefix !== 'twatt' ||
    bech32m.fromWords(decoded.words).length !== 20
  )
}

const checkRefusal = ({ type, input, is_generic }) => {
  if (type === 'Ed25519Key') return ok(isRefusedKey(input), 'key refused')
  if (type === 'Address') return ok(isRefusedAddress(input), 'address refused')
  // The others are well-formed DAG-CBOR; only the schema refuses them.
  if (is_generic) return ok(isRefusedEncoding(input), 'encoding refused')
  return ok(!isRefusedEncoding(input), 'canonical, though of no such type')
}

// --- Run -------------------------------------------------------------------------------------------------------------

let checked = 0
const failures = []
const run = (file, check) => {
  for (const vector of read(file)) {
    try {
      check(vector)
      checked += 1
    } catch (error) {
      failures.push(`${file}: ${vector.name}: ${error.message}`)
    }
  }
}
run('encoding.json', checkVector)
run('light.json', checkVector)
run('refused.json', checkRefusal)
failures.forEach((failure) => console.error(failure))
console.log(`${checked} vectors agree, ${failures.length} differ`)
process.exitCode = failures.length === 0 && checked > 0 ? 0 : 1
