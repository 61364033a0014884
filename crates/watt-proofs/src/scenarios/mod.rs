//! Scenarios of a provider and a verifier who share nothing but statements and bytes.

mod porep;
mod post;
mod provider;
