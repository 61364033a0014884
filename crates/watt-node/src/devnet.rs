//! A whole network of separate processes on this machine: validators and providers, each with its own key, folder and ports.
//!
//! One process, the supervisor (`watt devnet up`, or `watt demo`), makes the folders, starts the nodes and holds their
//! processes. Other commands ask the supervisor through an owner-only listener, so a node is only ever killed by the process
//! that started it: no process id is trusted. Nodes end when the supervisor does, however it ends, because each watches the
//! pipe that the supervisor holds open.

mod control;
mod parameters;
mod plan;
mod ports;
mod process;
mod registry;
mod supervisor;

pub use control::{ControlClient, ControlServer};
pub use parameters::{DevnetRules, DevnetSize};
pub use plan::{NodePlan, NodeRole, Plan};
pub use process::{NodeState, ParentWatch};
pub use registry::{Registered, Registry};
pub use supervisor::{Devnet, DevnetStatus, NodeReport};

#[cfg(test)]
mod tests;
