//! Promises, checked when they can be broken: at every statement, every disconnection, every block of every node.

mod answers;
mod chain;
mod pay;
mod seats;
mod speech;

pub use answers::AnswerCheck;
pub use chain::ChainCheck;
pub use pay::PayCheck;
pub use seats::SeatCheck;
pub use speech::{Observer, Speech};
