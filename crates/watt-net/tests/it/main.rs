//! Scenarios over real sockets on the loopback.

mod foreign;
mod hostile;
mod messages;
mod ports;
mod redial;
mod transfers;
mod world;
