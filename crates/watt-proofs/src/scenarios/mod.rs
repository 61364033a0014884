//! Scenarios of a provider and a verifier who share nothing but statements and bytes.

mod porep;
mod post;
mod provider;

/// Whoever audits the verifier need not read the prover. Covers: D1, E3.
#[test]
fn the_verifier_uses_no_proving_code() {
    let sources = [
        include_str!("../verify.rs"),
        include_str!("../challenge.rs"),
        include_str!("../openings.rs"),
        include_str!("../chunk.rs"),
        include_str!("../graph.rs"),
        include_str!("../label.rs"),
        include_str!("../element.rs"),
        include_str!("../octal.rs"),
        include_str!("../poseidon.rs"),
        include_str!("../poseidon/permutation.rs"),
        include_str!("../tree.rs"),
        include_str!("../sector.rs"),
        include_str!("../sector_set.rs"),
    ];
    for prover in ["crate::seal", "crate::replica", "crate::porep", "crate::post:"] {
        let used = sources.iter().filter(|source| {
            let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
            code.into_iter().any(|line| line.contains(prover))
        });
        assert_eq!(used.count(), 0, "{prover}");
    }
}
