//! A network of real node processes on one machine.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`layout`] | what a localnet directory holds, and its manifest |
//! | [`ports`] | free ports on loopback |
//! | [`create`] | genesis, keys, configurations |
//! | [`process`] | starting, recognizing and stopping nodes |
//! | [`ready`] | waiting until all nodes serve and see each other |
//! | [`demo`] | opening and funding wallets to play with |
//! | [`cut`] | the money of several chains at heights that fit each other |
//! | [`mod@reshard`] | doubling the shards of a currency |

pub mod create;
pub mod cut;
pub mod demo;
pub mod layout;
pub mod ports;
pub mod process;
pub mod ready;
pub mod reshard;
